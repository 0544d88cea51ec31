package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// Settings of an embedded server.
type Settings struct {
	// Listen is the address for clients, e.g. 127.0.0.1:4222; port 0 takes a free one; empty: in-process only.
	Listen string
	// StoreDir is where the streams are kept.
	StoreDir string
	// Users are the public NKeys of the services; one that is missing cannot connect.
	Users map[topology.Service]string
	// Lax waits two minutes with fsync instead of none, for tests that append by the thousand.
	Lax bool
}

// Broker is a running server.
type Broker struct {
	*server.Server
}

// Start runs a server and returns when it takes connections.
func Start(log *slog.Logger, s Settings) (*Broker, error) {
	opts, err := options(s)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	srv.SetLoggerV2(&logger{log: log.With(slog.String("component", "nats-server"))}, false, false, false)
	if s.Listen != "" { // the server itself only logs a taken port, and waits
		l, err := net.Listen("tcp", net.JoinHostPort(opts.Host, strconv.Itoa(max(opts.Port, 0)))) //nolint:noctx // nothing to cancel
		if err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
		_ = l.Close()
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		return nil, errors.New("embedded NATS: not ready after 30 s")
	}
	return &Broker{Server: srv}, nil
}

// Stop ends the server and waits until it has.
func (b *Broker) Stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

func options(s Settings) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "gatehouse",
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   s.StoreDir,
		SyncAlways: !s.Lax,
		DontListen: s.Listen == "",
		MaxPayload: 1 << 20,
		Nkeys:      Users(s.Users),
	}
	if s.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return nil, fmt.Errorf("NATS listen address: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return nil, fmt.Errorf("NATS listen address %s: not a port", s.Listen)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	opts.Host, opts.Port = host, n
	return opts, nil
}

// Users gives the NATS users of the services with their rights.
func Users(public map[topology.Service]string) []*server.NkeyUser {
	var users []*server.NkeyUser
	for _, s := range topology.Services() {
		key := public[s]
		if !nkeys.IsValidPublicUserKey(key) {
			continue
		}
		r := topology.RightsOf(s)
		users = append(users, &server.NkeyUser{
			Nkey: key,
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: r.Publish},
				Subscribe: &server.SubjectPermission{Allow: r.Subscribe},
			},
		})
	}
	return users
}
