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
	// Users are the public NKeys of the services, the gateways and the operator; one that is missing cannot connect.
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
	if s.Listen != "" { // so that a taken port is named before anything is written
		l, err := net.Listen("tcp", net.JoinHostPort(opts.Host, strconv.Itoa(max(opts.Port, 0)))) //nolint:noctx // nothing to cancel
		if err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
		_ = l.Close()
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	lines := &logger{log: log.With(slog.String("component", "nats-server")), fatal: make(chan string, 1)}
	srv.SetLoggerV2(lines, false, false, false)
	srv.Start()
	select {
	case reason := <-lines.fatal: // the server would go on without what it could not start
		err = fmt.Errorf("embedded NATS, store %s: %s", s.StoreDir, reason)
	default:
		const patience = 30 * time.Second // a store is read before the server is ready
		if srv.ReadyForConnections(patience) {
			return &Broker{Server: srv}, nil
		}
		err = fmt.Errorf("embedded NATS: not ready after %s", patience)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil, err
}

// Stop ends the server and waits until it has.
func (b *Broker) Stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

func options(s Settings) (*server.Options, error) {
	users := Users(s.Users)
	if len(users) == 0 { // a server without users lets everybody do everything
		return nil, errors.New("embedded NATS: no service has a valid public NKey")
	}
	opts := &server.Options{
		ServerName: "gatehouse",
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   s.StoreDir,
		SyncAlways: !s.Lax,
		DontListen: s.Listen == "",
		MaxPayload: 1 << 20,
		Nkeys:      users,
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

// Users gives the NATS users of the services with their rights; a service whose public NKey is not valid gets none.
func Users(public map[topology.Service]string) []*server.NkeyUser {
	var users []*server.NkeyUser
	for _, s := range topology.Users(public) {
		key := public[s]
		if !nkeys.IsValidPublicUserKey(key) {
			continue
		}
		r := topology.RightsOf(s)
		users = append(users, &server.NkeyUser{Nkey: key, Permissions: permissions(r)})
	}
	return users
}

func permissions(r topology.Rights) *server.Permissions {
	p := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: r.Publish},
		Subscribe: &server.SubjectPermission{Allow: r.Subscribe},
	}
	if r.Answers {
		p.Response = &server.ResponsePermission{MaxMsgs: 1, Expires: topology.AnswerWithin}
	}
	return p
}
