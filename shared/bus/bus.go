// Package bus is how every service connects to NATS: the client settings whose defaults are wrong for us,
// in one place.
//
// The defaults give up after 60 reconnects, notice a dead peer after four minutes, and replay buffered
// messages late and out of order after a reconnect. Here a connection is never given up, a dead peer is
// noticed within three seconds, and what is published while NATS is away fails at once, so that the caller
// decides what becomes of it.
//
// # When NATS is gone
//
//	at start    Connect returns at once with a connection that is being made; requests fail until it is
//	later       reconnects for ever, every 100 ms with jitter; publishing fails meanwhile, nothing is buffered
//	no rights   the server's refusal is logged with the subject
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	opts := options(ctx, log, service)
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

func options(ctx context.Context, log *slog.Logger, service topology.Service) []nats.Option {
	log = log.With(slog.String("component", "nats"))
	return []nats.Option{
		nats.Name("gatehouse-" + string(service)),
		nats.CustomInboxPrefix(topology.Inbox(service)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.RetryOnFailedConnect(true),
		nats.Timeout(2 * time.Second),
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.LogAttrs(ctx, slog.LevelWarn, "NATS reports an error", slog.String("subject", subject), slog.Any("error", err))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.LogAttrs(ctx, slog.LevelWarn, "disconnected", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.LogAttrs(ctx, slog.LevelInfo, "connected again", slog.String("server", nc.ConnectedUrlRedacted()))
		}),
	}
}
