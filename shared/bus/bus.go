package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// Settings say where NATS is and who asks.
type Settings struct {
	// URL of one or more servers, separated by commas.
	URL string `env:"NATS_URL"`
	// SeedFile holds the NKey seed of the service's user; empty: the URL carries the credentials.
	SeedFile string `env:"NATS_SEED_FILE"`
	// CAFile is the certificate authority of the servers (PEM); empty: the system's.
	CAFile string `env:"NATS_CA_FILE"`
	// InProcess is an embedded server to talk to without a socket; it wins over URL.
	InProcess nats.InProcessConnProvider
}

// Connect gives a connection for a service. It returns before the server answers: see the package comment.
func Connect(ctx context.Context, log *slog.Logger, service topology.Service, s Settings) (*nats.Conn, error) {
	opts := options(ctx, log, service, s.InProcess != nil)
	if s.SeedFile != "" {
		auth, err := nats.NkeyOptionFromSeed(s.SeedFile)
		if err != nil {
			return nil, fmt.Errorf("NATS seed file %s: %w", s.SeedFile, err)
		}
		opts = append(opts, auth)
	}
	if s.CAFile != "" {
		opts = append(opts, nats.RootCAs(s.CAFile))
	}
	if s.InProcess != nil {
		opts = append(opts, nats.InProcessServer(s.InProcess))
	} else if s.URL == "" {
		return nil, errors.New("no NATS server: set GATEHOUSE_NATS_URL")
	}
	nc, err := nats.Connect(s.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

func options(ctx context.Context, log *slog.Logger, service topology.Service, inProcess bool) []nats.Option {
	say := &complaints{log: log.With(slog.String("component", "nats")), inProcess: inProcess}
	return []nats.Option{
		nats.Name("gatehouse-" + string(service)),
		nats.CustomInboxPrefix(topology.Inbox(service) + "." + rand.Text()), // the client's own names can be guessed
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // else the second refusal closes the connection for good
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.RetryOnFailedConnect(true),
		nats.Timeout(2 * time.Second),
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(2 * time.Second), // a write that hangs holds up the pings
		nats.ReconnectOnFlusherError(),
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			say.warn(ctx, "the server or the client complains", err, slog.String("subject", subject))
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			say.warn(ctx, "not reached", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				say.warn(ctx, "disconnected", err)
			}
		}),
		nats.ConnectHandler(func(nc *nats.Conn) { say.connected(ctx, nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { say.connected(ctx, nc) }),
	}
}

// complaints logs what is wrong with a connection: the same words once in a while only, because a connection that
// cannot be made is tried ten times a second.
type complaints struct {
	log       *slog.Logger
	inProcess bool // the connection has no address, whatever the client makes of it

	mu   sync.Mutex
	said map[string]time.Time
}

func (c *complaints) warn(ctx context.Context, what string, err error, more ...slog.Attr) {
	const again, most = 30 * time.Second, 100
	key := what + err.Error()
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.said[key]; ok && time.Since(at) < again {
		return
	}
	if c.said == nil || len(c.said) >= most {
		c.said = map[string]time.Time{}
	}
	c.said[key] = time.Now()
	c.log.LogAttrs(ctx, slog.LevelWarn, "trouble with NATS", append(more, slog.String("trouble", what), slog.Any("error", err))...)
}

func (c *complaints) connected(ctx context.Context, nc *nats.Conn) {
	c.mu.Lock()
	c.said = nil
	c.mu.Unlock()
	where := nc.ConnectedUrlRedacted()
	if c.inProcess {
		where = "in this process"
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "connected to NATS", slog.String("server", where))
}
