package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/audit/logcopy"
	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
	"github.com/gatehouse-suite/gatehouse/services/audit/retention"
)

// Run keeps the audit trail until ctx ends, every search it had begun has ended, and what the stream then held is
// committed or the time for that is up. It fails only for settings that cannot work: what is away is waited for.
func Run(ctx context.Context, host *service.Host, s Settings) error {
	s = s.withDefaults()
	token, err := s.adminToken()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer db.close()
	nc, err := bus.Connect(context.WithoutCancel(ctx), host.Log, topology.Audit, s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	listener, err := listen(ctx, s)
	if err != nil {
		return err
	}
	every := eventlog.Options{Check: s.Intervals.Log, Attempt: s.Intervals.Attempt}
	events := eventlog.New(js, topology.ConfigLog(), every)
	follower := configlog.NewFollower(host.Log, events, configlog.Options{Repair: configlog.RepairFrom(nc)})
	copying := logcopy.Options{
		Log: host.Log, JetStream: js, Pool: db.writing, Of: logcopy.Config(), Events: events, Repair: configlog.RepairFrom(nc),
		Attempt: s.Intervals.Attempt, Transaction: s.Intervals.Transaction, Retry: s.Intervals.Retry, Resend: s.Intervals.Resend,
	}
	configCopy := logcopy.New(copying)
	copying.Of, copying.Events, copying.Repair = logcopy.Tokens(), eventlog.New(js, topology.TokenLog(), every), nil
	tokenCopy := logcopy.New(copying)
	status := &status{role: roleStarting, copied: func() (config, tokens logcopy.Status) {
		return configCopy.Status(sequence(follower.Snapshot())), tokenCopy.Status(0)
	}}
	trail := audittrail.NewRecorder(js, host.Log, audittrail.FromAudit)
	keeper := retention.New(retention.Settings{
		Log: host.Log, Metrics: host.Metrics, Pool: db.removing, Trail: trail, Active: status.active, Poll: s.Intervals.Retention,
		Policy: func() (configlog.Retention, error) { return policy(follower.Snapshot()) },
	})
	status.kept = keeper.View
	meters := newMeters(host.Metrics, status)
	host.Health.Set(func() service.Check { return status.check(func() any { return follower.Status() }) })
	in := &ingest{
		log: host.Log, js: js, pool: db.writing, databaseURL: s.DatabaseURL, every: s.Intervals,
		partitionRows: s.PartitionRows, status: status, meters: meters, copies: []*logcopy.Copy{configCopy, tokenCopy},
	}
	reader := reading.New(reading.Settings{
		Log: host.Log, Metrics: host.Metrics, Pool: db.reading, Trail: trail, Searches: s.Searches, Exports: s.Exports,
		Timeout: s.SearchTimeout, Budget: s.Intervals.Search, Patience: s.Intervals.Export,
	})
	journal := adminauth.NewJournal(host.Log, trail, adminauth.JournalOptions{Every: s.SignInEvery, RequestID: requestID})
	auth := adminauth.New(host.Log, adminauth.Hash(token), follower.Snapshot, journal)
	host.Log.LogAttrs(ctx, slog.LevelInfo, "audit listens", slog.String("address", listener.Addr().String()))
	running, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { follower.Run(running) })
	work.Go(func() { in.run(running) })
	work.Go(func() { journal.Run(running) })
	work.Go(func() { keeper.Run(running) })
	defer trail.Start(ctx, trailGrace)() // after all who write to it have ended
	err = web.Serve(running, listener, routes(auth, reader, keeper), web.Settings{})
	stop()
	work.Wait()
	return err
}

// database is the connections to Postgres, apart for each of what is done there, so that none waits for another.
type database struct {
	writing  *pgxpool.Pool // the active consumer, what indexes, and the second copies
	reading  *pgxpool.Pool // searches and exports
	removing *pgxpool.Pool // retention
}

// openDatabase makes the pools; they connect when they are used.
func openDatabase(ctx context.Context, s Settings) (db database, err error) {
	if s.DatabaseURL == "" {
		return db, errors.New("no database: set GATEHOUSE_DATABASE_URL")
	}
	for _, p := range []struct {
		pool  **pgxpool.Pool
		name  string
		conns int32
	}{{&db.writing, "gatehouse-audit", 4}, {&db.reading, "gatehouse-audit-search", s.Searches + s.Exports}, {&db.removing, "gatehouse-audit-retention", 4}} {
		*p.pool, err = postgres.Open(ctx, postgres.Settings{URL: s.DatabaseURL, Application: p.name, MaxConns: p.conns})
		if err != nil {
			db.close()
			return db, fmt.Errorf("GATEHOUSE_DATABASE_URL: %w", err)
		}
	}
	return db, nil
}

func (db database) close() {
	for _, p := range []*pgxpool.Pool{db.writing, db.reading, db.removing} {
		if p != nil {
			p.Close()
		}
	}
}

// trailGrace is how long records of this service's own may take to go out at the end.
const trailGrace = 2 * time.Second

// policy is how long the trail is to be kept.
func policy(s *configlog.Snapshot) (configlog.Retention, error) {
	if s == nil {
		return configlog.Retention{}, fault.New(fault.Unavailable, "the configuration was not loaded yet")
	}
	return s.Config.Audit.Retention, nil
}

// sequence is that of a configuration; none has 0.
func sequence(s *configlog.Snapshot) uint64 {
	if s == nil {
		return 0
	}
	return s.State.Seq
}

func listen(ctx context.Context, s Settings) (net.Listener, error) {
	if s.Listener != nil {
		return s.Listener, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("audit listener (GATEHOUSE_AUDIT_LISTEN): %w", err)
	}
	return l, nil
}
