package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// databaseName is the database of a private server that URL names, and the role that owns it.
	databaseName = "gatehouse"
	// port is a part of the socket's name and no more: the server listens on no address.
	port = 5432
)

// PrivateSettings say where a private server lives.
type PrivateSettings struct {
	// Dir holds all of it: data, log, lock and, unless its path is too long for one, the socket. It is made when it
	// is not there, belongs to the server's account, and nobody else may enter it.
	Dir string
	// User is the account to run the server as when we are root and Dir does not belong to a user yet.
	// Empty: postgres, else nobody.
	User string
	// Programs is the folder of initdb and postgres. Empty: the release that wrote the data, or the newest found.
	Programs string
	// Options are lines of postgresql.conf, over ours. (fsync: off makes initdb wait for no disk either.)
	Options map[string]string
	// StartTimeout bounds one start, recovery after a crash included. 0: 60 s.
	StartTimeout time.Duration
}

// Private is a PostgreSQL server of our own. It is safe for use by several goroutines.
type Private struct {
	cluster *cluster
	log     *slog.Logger
	release context.CancelFunc // ends the supervision
	ended   chan struct{}      // when it has ended

	mu  sync.Mutex
	now server // of the last start
}

// StartPrivate returns a running server with a database gatehouse. It makes the data when there are none, and adopts
// a server which runs on these data already. ctx bounds the start only: the server runs until Stop, and is started
// again when it ends before.
//
// It listens on a Unix socket only, in a folder that its account alone (and root) may enter, and trusts whoever gets
// there. Two callers on one Dir share one server; the first Stop ends it for both, and the other then starts it again.
//
// Errors: ErrNoServer; a folder its account cannot enter, named; data of another release; a server that does not
// answer in time; the end of its log when it ended instead of starting.
func StartPrivate(ctx context.Context, log *slog.Logger, s PrivateSettings) (*Private, error) {
	if s.StartTimeout <= 0 {
		s.StartTimeout = time.Minute
	}
	c, err := prepare(ctx, log, s)
	if err != nil {
		return nil, fmt.Errorf("private Postgres in %s: %w", s.Dir, err)
	}
	began := time.Now()
	srv, err := c.up(ctx)
	if err != nil {
		return nil, fmt.Errorf("private Postgres in %s: %w", s.Dir, err)
	}
	c.fixed = true
	log.Info("private Postgres runs", slog.String("dir", c.dir), slog.String("socket", c.socket),
		slog.Int("pid", srv.pid), slog.Bool("adopted", srv.adopted), slog.Duration("took", time.Since(began)))
	supervised, release := context.WithCancel(context.WithoutCancel(ctx))
	p := &Private{cluster: c, log: log, release: release, ended: make(chan struct{}), now: srv}
	go p.supervise(supervised)
	return p, nil
}

// URL names the database gatehouse, as its owner, who may make others.
func (p *Private) URL() string { return p.cluster.url(databaseName) }

// Release ends the supervision and leaves the server running, for the next StartPrivate to adopt.
func (p *Private) Release() {
	p.release()
	<-p.ended
}

// Stop ends the server, adopted or not, and returns when it is gone. Transactions in progress are rolled back and
// connections closed (PostgreSQL's fast shutdown). When ctx ends first the server stops at once, for the price of a recovery at its next
// start, and Stop returns ctx's error. Stop after Stop does nothing.
func (p *Private) Stop(ctx context.Context) error {
	p.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.now.stop(ctx)
	p.cluster.cleanUp()
	if err != nil {
		return fmt.Errorf("stop the private Postgres in %s: %w", p.cluster.dir, err)
	}
	p.log.Info("private Postgres stopped", slog.String("dir", p.cluster.dir))
	return nil
}

// supervise starts the server again whenever it ends, until Release.
func (p *Private) supervise(ctx context.Context) {
	defer close(p.ended)
	var pause time.Duration
	for srv := p.now; ; {
		began := time.Now()
		if srv.wait(ctx, 100*time.Millisecond) != nil {
			return
		}
		p.log.Warn("private Postgres ended; starting it again", slog.String("dir", p.cluster.dir),
			slog.Int("pid", srv.pid), slog.String("log", p.cluster.logFile()))
		if time.Since(began) > time.Minute {
			pause = 0
		}
		var err error
		if srv, pause, err = p.restart(ctx, pause); err != nil {
			return
		}
		p.mu.Lock()
		p.now = srv
		p.mu.Unlock()
	}
}

// restart tries until it succeeds or ctx ends. It returns the pause to make before the next start, should this one
// not last.
func (p *Private) restart(ctx context.Context, pause time.Duration) (server, time.Duration, error) {
	for {
		select {
		case <-ctx.Done():
			return server{}, 0, ctx.Err()
		case <-time.After(pause):
			pause = min(max(2*pause, 100*time.Millisecond), 10*time.Second)
		}
		srv, err := p.cluster.up(ctx)
		if err == nil {
			p.log.Info("private Postgres runs again", slog.String("dir", p.cluster.dir), slog.Int("pid", srv.pid))
			return srv, pause, nil
		}
		if ctx.Err() == nil {
			p.log.Error("private Postgres does not start; trying again", slog.String("dir", p.cluster.dir),
				slog.Duration("in", pause), slog.Any("error", err))
		}
	}
}

// url is the address of one of the server's databases.
func (c *cluster) url(name string) string {
	query := url.Values{"host": {c.socket}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	raw := strings.ReplaceAll(query.Encode(), "+", "%20") // a folder may have a space in its name, and pgx knows no plus for it
	return (&url.URL{Scheme: "postgres", User: url.User(databaseName), Path: "/" + name, RawQuery: raw}).String()
}

// cleanUp removes what lies outside Dir.
func (c *cluster) cleanUp() {
	if c.socket == c.dir {
		return
	}
	if err := os.Remove(c.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.log.Warn("cannot remove the socket's folder", slog.String("folder", c.socket), slog.Any("error", err))
	}
}
