package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-suite/gatehouse/services/gateway/pages"
	"github.com/gatehouse-suite/gatehouse/services/gateway/spool"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// gateway is a running gateway.
type gateway struct {
	ctx         context.Context //nolint:containedctx // ends when the gateway is told to
	tunnels     context.Context //nolint:containedctx // the life of tunnels: ends ShutdownGrace later
	log         *slog.Logger
	tracer      trace.Tracer
	tracing     bool
	plan        atomic.Pointer[plan]
	certificate *web.Certificate // nil: plain HTTP
	follower    *configlog.Follower
	tokens      *tokenlog.Follower
	identities  *identities
	members     *members
	spool       *spool.Spool
	records     *records
	counts      *counts
	buffers     *buffers
	pages       *pages.Pages
	signIns     *guesses // that have begun, by address; nil: not bound
	bodyTimeout time.Duration
	heardAt     atomic.Int64 // unix nanoseconds; the log was last known to be followed
	// tokensHeardAt is that of the log of tokens; 0: never read.
	tokensHeardAt atomic.Int64
	calls         sync.WaitGroup
}

// Run runs a gateway until ctx ends and every call it had begun has ended.
func Run(ctx context.Context, host *service.Host, s Settings) error {
	home, err := openHome(s)
	if err != nil {
		return err
	}
	nc, err := bus.Connect(context.WithoutCancel(ctx), host.Log, topology.GatewayUser(home.id), s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	g := &gateway{ctx: ctx, log: host.Log, tracer: host.Tracer, tracing: host.Tracing, buffers: newBuffers(), records: newRecords(), bodyTimeout: s.BodyTimeout}
	if g.spool, err = openSpool(host.Log, home.id, s); err != nil {
		return err
	}
	defer closeSpool(host.Log, g.spool)
	g.counts = newCounts(host.Metrics, newStateMetrics(g))
	if err := g.openCaches(nc, s, home); err != nil {
		return err
	}
	if err := s.way(); err != nil {
		return err
	}
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx)) // outlives the last call
	fleet := upstream.NewFleet(background, s.Upstream)
	opener := secret.NewOpener(js, home.identity, settings.SecretEnv(s.LookupEnv), s.SecretsDir)
	keeper := &keeper{gw: g, home: home, opener: opener, fleet: fleet, planner: &planner{fleet: fleet, opener: opener, counts: g.counts, opened: map[string]string{}}}
	g.followers(nc, js, s, keeper, keeper.begin(ctx, home.load(host.Log, opener)))
	host.Health.Set(g.health)
	if g.certificate, err = certificate(s); err != nil {
		endBackground()
		return err
	}
	listener, err := listen(ctx, s)
	if err != nil {
		endBackground()
		return err
	}
	var work sync.WaitGroup
	work.Go(func() { g.follower.Run(background) })
	work.Go(func() { g.tokens.Run(background) })
	work.Go(func() { _ = newShipper(g.spool, js, host.Log, s).Run(background, s.AuditGrace) })
	work.Go(func() { newBeat(g, js, home.id).run(background) })
	work.Go(func() { keeper.keep(background) })
	serving := web.Settings{Drain: s.ShutdownGrace, MaxHeaderBytes: 128 << 10, Log: host.Log}
	if g.certificate != nil {
		serving.TLS = g.certificate.Config()
		work.Go(func() { g.certificate.Watch(background, s.CertificateCheck, host.Log) })
	}
	host.Log.LogAttrs(ctx, slog.LevelInfo, "gateway listens", slog.String("address", listener.Addr().String()), slog.String("id", home.id))
	err = (&trials{gw: g, id: home.id, nc: nc, opener: opener, settings: s}).during(background, func() error { return g.serve(ctx, listener, serving) })
	_ = note(g.spool, audittrail.GatewayStopped)
	endBackground()
	work.Wait()
	fleet.Wait()
	return err
}

// followers gives the gateway the logs it decides under, to be followed from what was kept over a restart.
func (g *gateway) followers(nc *nats.Conn, js jetstream.JetStream, s Settings, k *keeper, start *configlog.Snapshot) {
	every := eventlog.Options{Check: s.Check}
	g.follower = configlog.NewFollower(g.log, eventlog.New(js, topology.ConfigLog(), every), configlog.Options{
		Start: start, OnSnapshot: k.take, Repair: configlog.RepairFrom(nc),
	})
	g.tokens = tokenlog.NewFollower(g.log, eventlog.New(js, topology.TokenLog(), every), tokenlog.Options{
		OnPublish: func() { g.tokensHeardAt.CompareAndSwap(0, time.Now().UnixNano()) },
	})
}

// serve takes calls until ctx ends, and returns when the last of them has: those that run, tunnels too, have the grace to
// end by themselves, and leave a record when they are cut off.
func (g *gateway) serve(ctx context.Context, listener net.Listener, s web.Settings) error {
	tunnels, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g.tunnels = tunnels
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.Drain, end) })()
	err := web.Serve(ctx, listener, g, s)
	if err != nil {
		end()
	}
	g.calls.Wait()
	return err
}

// way completes the settings of the way to the nodes.
func (s *Settings) way() error {
	s.Upstream.ReplyTimeout = s.ReplyTimeout
	if s.UpstreamCAFile == "" {
		return nil
	}
	roots, err := web.ReadRoots(s.UpstreamCAFile)
	if err != nil {
		return fmt.Errorf("GATEHOUSE_UPSTREAM_CA_FILE: %w", err)
	}
	s.Upstream.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return nil
}

// openCaches makes the caches of what introspection says.
func (g *gateway) openCaches(nc *nats.Conn, s Settings, home *home) (err error) {
	asked := func(result string) { g.counts.asked.WithLabelValues(result).Inc() }
	if g.identities, err = newIdentities(over(nc), s, home.identity.String(), asked); err != nil {
		return fmt.Errorf("identity cache: %w", err)
	}
	if g.members, err = newMembers(over(nc), s, asked); err != nil {
		return fmt.Errorf("cache of groups: %w", err)
	}
	if g.signIns, err = newGuesses(s.UnknownBurst, s.UnknownPerSecond); err != nil {
		return fmt.Errorf("bound of sign-ins: %w", err)
	}
	g.pages, err = pages.New()
	return err
}

// certificate reads what clients are shown; nil when they speak plain HTTP.
func certificate(s Settings) (*web.Certificate, error) {
	switch {
	case s.TLSCert == "" && s.TLSKey == "":
		return nil, nil //nolint:nilnil // plain HTTP is no error
	case s.TLSCert == "" || s.TLSKey == "":
		return nil, errors.New("GATEHOUSE_GATEWAY_TLS_CERT and GATEHOUSE_GATEWAY_TLS_KEY are needed together")
	}
	c, err := web.ReadCertificate(s.TLSCert, s.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_GATEWAY_TLS_CERT, GATEHOUSE_GATEWAY_TLS_KEY: %w", err)
	}
	return c, nil
}

func listen(ctx context.Context, s Settings) (net.Listener, error) {
	if s.Listener != nil {
		return s.Listener, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("gateway listener (GATEHOUSE_GATEWAY_LISTEN): %w", err)
	}
	return l, nil
}

// health tells whether calls can be answered: as long as there is a plan that is not too old for every site. How old it
// is, is in the detail.
func (g *gateway) health() service.Check {
	p := g.plan.Load()
	if p == nil {
		return service.Check{Detail: map[string]any{"trouble": "no configuration was ever loaded", "log": g.follower.Status()}}
	}
	heard := time.Unix(0, g.heardAt.Load())
	detail := map[string]any{
		"config_version": p.state.Seq, "config_heard_at": heard.UTC().Format(time.RFC3339), "log": g.follower.Status(),
		"audit": g.auditHealth(),
	}
	if tokens, ok := g.tokens.State(); ok {
		detail["token_version"] = tokens.Seq
	}
	if status := g.tokens.Status(); status.Trouble != "" {
		detail["token_log"] = status
	}
	if g.certificate != nil {
		detail["certificate_expires"] = g.certificate.Expires().UTC().Format(time.RFC3339)
	}
	problems, closed := map[string][]string{}, []string{}
	for _, s := range p.sites {
		if len(s.problems) > 0 {
			problems[s.config.ID] = s.problems
		}
		if s.config.Enabled && g.tooOld(s, time.Now()) {
			closed = append(closed, s.config.ID)
		}
	}
	if len(problems) > 0 {
		detail["upstream_credentials"] = problems
	}
	if len(closed) > 0 {
		detail["configuration_stale"] = closed
	}
	if g.ctx.Err() != nil {
		detail["stopping"] = true
		return service.Check{Detail: detail}
	}
	return service.Check{Ready: (len(closed) == 0 || len(closed) < len(p.sites)) && !g.unrecordable(p), Detail: detail}
}

// tooOld tells whether the plan was not heard of for longer than a site allows.
func (g *gateway) tooOld(s *site, now time.Time) bool {
	allowed := s.config.Stale.Max.Std()
	return allowed > 0 && now.UnixNano()-g.heardAt.Load() > int64(allowed)
}
