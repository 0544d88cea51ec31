package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/audit"
	"github.com/gatehouse-suite/gatehouse/services/config"
	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
	"github.com/gatehouse-suite/gatehouse/services/ratelimit"
)

// Main runs the suite as a process and gives its exit code. What a person pastes goes to stdout, the log to
// stderr.
func Main(args, environ []string, stdout, stderr io.Writer) int {
	s, err := Load(environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	const usage = "usage: gatehouse-suite [--lab]; settings come from GATEHOUSE_… variables\n"
	for _, arg := range args {
		switch arg {
		case "--lab", "-lab":
			s.Lab = true
		case "--help", "-help", "-h":
			_, _ = io.WriteString(stdout, usage)
			return 0
		default:
			_, _ = fmt.Fprintf(stderr, "unknown argument %q\n%s", arg, usage)
			return 2
		}
	}
	return service.MainProcess("suite", environ, stderr, func(ctx context.Context, p *service.Process) error {
		suite, err := Start(ctx, p, s)
		if ctx.Err() != nil && suite == nil {
			return nil // told to stop before it was up; what was started is stopped again
		}
		if err != nil {
			return err
		}
		_, _ = io.WriteString(stdout, suite.greeting())
		select {
		case <-ctx.Done():
		case <-suite.Ended():
		}
		return suite.Stop()
	})
}

// Suite is a running suite.
type Suite struct {
	// Gateway, Admin and NATS are the addresses listened on.
	Gateway, Admin, NATS net.Addr
	// AdminToken is the first admin's token.
	AdminToken string
	// Lab is the lab, nil when none was asked for.
	Lab *lab.Lab

	settings   Settings
	tokenIsNew bool // the first admin's token was made by this start
	log        *slog.Logger
	ended      chan struct{}
	parts      []part // in the order they were started
}

// part is something that was started and must be stopped.
type part struct {
	name string
	stop func() error
}

// Start starts everything, from the bottom up, and waits a while until every service says it is ready. What was
// started is stopped again when something fails. A service that is not ready in time, because its database is away,
// is no failure: the log says so, and the others work.
func Start(ctx context.Context, p *service.Process, s Settings) (*Suite, error) {
	host := p.Host("suite", "")
	suite := &Suite{settings: s, log: host.Log, ended: make(chan struct{}, 8)}
	if err := suite.start(ctx, p); err != nil {
		err = errors.Join(err, suite.Stop())
		if ctx.Err() != nil {
			host.Log.LogAttrs(ctx, slog.LevelInfo, "stopped while it started", slog.Any("error", err))
		}
		return nil, err
	}
	host.Health.Set(func() service.Check { return service.Check{Ready: true} }) // every part was started; each says the rest
	if !suite.becomes(ctx, p.Ready) {
		host.Log.LogAttrs(ctx, slog.LevelWarn, "not every service is ready; /readyz says which and why")
	}
	return suite, nil
}

// becomes waits until the suite is ready, for at most 15 s, and tells whether it is.
func (u *Suite) becomes(ctx context.Context, ready func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return false
		case <-u.ended:
			u.ended <- struct{}{} // for whoever waits for the end
			return false
		case <-again.C:
		}
	}
	return true
}

func (u *Suite) start(ctx context.Context, p *service.Process) error {
	if err := u.openData(); err != nil {
		return err
	}
	keys := filepath.Join(u.settings.DataDir, "keys")
	if err := secret.Init(keys); err != nil {
		return err
	}
	s := &u.settings
	s.Gateway.DataDir = s.DataDir
	id, err := gateway.ID(s.Gateway)
	if err != nil {
		return err
	}
	nats, err := u.startNATS(keys, id)
	if err != nil {
		return err
	}
	database, err := u.startPostgres(ctx)
	if err != nil {
		return err
	}
	connect := func(who topology.Service) bus.Settings {
		return bus.Settings{InProcess: nats, SeedFile: bus.SeedFile(keys, who)}
	}
	s.Audit.Settings, s.Audit.DatabaseURL, s.Audit.AdminToken = connect(topology.Audit), database, u.AdminToken
	s.Introspection.Settings, s.Introspection.KeysDir = connect(topology.Introspection), keys
	s.RateLimit.Settings = connect(topology.RateLimit)
	s.Config.Settings, s.Config.KeysDir, s.Config.AdminToken = connect(topology.Config), keys, adminauth.Hash(u.AdminToken)
	s.Gateway.Settings, s.Gateway.KeysDir = connect(topology.GatewayUser(id)), keys
	if err := u.listen(ctx); err != nil {
		return err
	}
	u.run(ctx, p, "config", func(ctx context.Context, h *service.Host) error { return config.Run(ctx, h, s.Config) })
	u.run(ctx, p, "audit", func(ctx context.Context, h *service.Host) error { return audit.Run(ctx, h, s.Audit) })
	u.run(ctx, p, "ratelimit", func(ctx context.Context, h *service.Host) error { return ratelimit.Run(ctx, h, s.RateLimit) })
	u.run(ctx, p, "introspection", func(ctx context.Context, h *service.Host) error { return introspection.Run(ctx, h, s.Introspection) })
	u.run(ctx, p, "gateway", func(ctx context.Context, h *service.Host) error { return gateway.Run(ctx, h, s.Gateway) })
	return u.startLab(ctx)
}

// listen opens the listeners before the services start, so that a taken port is named by its variable.
func (u *Suite) listen(ctx context.Context) error {
	open := func(variable, address string, to *net.Listener) error {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("GATEHOUSE_%s: %w", variable, err)
		}
		*to = l
		u.parts = append(u.parts, part{name: variable, stop: func() error { _ = l.Close(); return nil }})
		return nil
	}
	s := &u.settings
	err := errors.Join(
		open("ADMIN_LISTEN", s.Config.AdminListen, &s.Config.Listener),
		open("GATEWAY_LISTEN", s.Gateway.Listen, &s.Gateway.Listener),
		open("AUDIT_LISTEN", "127.0.0.1:0", &s.Audit.Listener),
	)
	if err != nil {
		return err
	}
	u.Admin, u.Gateway = s.Config.Listener.Addr(), s.Gateway.Listener.Addr()
	s.Config.AuditURL = "http://" + s.Audit.Listener.Addr().String()
	return nil
}

// run runs a service until the suite stops it; a service that ends by itself ends the suite.
func (u *Suite) run(ctx context.Context, p *service.Process, name string, run func(context.Context, *service.Host) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done, host := make(chan error, 1), p.Host(name, "") // now, so that the process is not ready before the service is
	go func() {
		err := run(ctx, host)
		if ctx.Err() == nil {
			err = fmt.Errorf("%s ended: %w", name, err)
			u.ended <- struct{}{}
		}
		done <- err
	}()
	u.parts = append(u.parts, part{name: name, stop: func() error { cancel(); return <-done }})
}

func (u *Suite) startNATS(keys, gatewayID string) (*broker.Broker, error) {
	users, err := bus.InitSeeds(keys, gatewayID)
	if err != nil {
		return nil, err
	}
	nats, err := broker.Start(u.log, broker.Settings{
		Listen: u.settings.NATSListen, StoreDir: filepath.Join(u.settings.DataDir, "nats"), Users: users,
	})
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_NATS_LISTEN: %w", err)
	}
	u.NATS = nats.Addr()
	u.parts = append(u.parts, part{name: "nats", stop: func() error { nats.Stop(); return nil }})
	return nats, nil
}

func (u *Suite) startPostgres(ctx context.Context) (url string, err error) {
	if u.settings.DatabaseURL != "" {
		return u.settings.DatabaseURL, nil
	}
	pg, err := postgres.StartPrivate(ctx, u.log, postgres.PrivateSettings{Dir: filepath.Join(u.settings.DataDir, "postgres")})
	if err != nil {
		return "", err
	}
	u.parts = append(u.parts, part{name: "postgres", stop: func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		return pg.Stop(ctx)
	}})
	return pg.URL(), nil
}

// Ended tells that a service has ended by itself.
func (u *Suite) Ended() <-chan struct{} { return u.ended }

// Stop stops everything, from the top down, and gives what went wrong.
func (u *Suite) Stop() error {
	var all error
	for _, p := range slices.Backward(u.parts) {
		if err := p.stop(); err != nil {
			all = errors.Join(all, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	u.parts = nil
	return all
}

// DataDir is where the suite keeps everything.
func (u *Suite) DataDir() string { return u.settings.DataDir }
