package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// Run serves the admin API and keeps the configuration log, until ctx ends and running requests are done.
func Run(ctx context.Context, host *service.Host, s Settings) error {
	s, err := s.complete(host.Log)
	if err != nil {
		return err
	}
	nc, err := bus.Connect(ctx, host.Log, topology.Config, s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	a, err := newAPI(ctx, host, s, js)
	if err != nil {
		return err
	}
	defer a.transport.CloseIdleConnections()
	listener := s.Listener
	if listener == nil {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.AdminListen); err != nil {
			return fmt.Errorf("admin listener: %w", err)
		}
	}

	// What runs behind the API outlives ctx by the drain, so that a change under way is finished.
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	requests, err := ask.NewServer(behind, nc, host.Log, host.Tracer, ask.Settings{
		Name: "gatehouse-config", Version: service.Version, Queue: topology.QueueConfig, Workers: 16,
	})
	if err == nil {
		err = ask.Handle(requests, "readlog", topology.ConfigReadLog, a.readLog)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	var running sync.WaitGroup
	streams := &ensurer{log: host.Log, js: js, follower: a.follower, tokens: a.tokens, stale: a.stale, settings: s}
	follow := sync.OnceFunc(func() { running.Go(func() { a.follower.Run(behind) }) })
	running.Go(func() { streams.run(behind, follow) })
	listing := make(chan error, 1)
	running.Go(func() { a.lookout.run(behind) })
	running.Go(func() { a.tokens.Run(behind) })
	running.Go(func() { listing <- a.gateways.Run(behind, js) })
	running.Go(func() { a.journal.Run(behind) })
	defer a.trail.Start(ctx, trailGrace)() // after the journal has ended
	host.Health.Set(a.check)

	err = web.Serve(ctx, listener, a.handler(), web.Settings{Drain: s.Drain})
	if err := requests.Stop(); err != nil { // NATS is away: there is nobody to tell
		host.Log.LogAttrs(ctx, slog.LevelDebug, "requests over NATS not drained", slog.Any("error", err))
	}
	stop()
	running.Wait()
	return errors.Join(err, <-listing)
}

// trailGrace is how long records may take to go out at the end.
const trailGrace = 2 * time.Second

// newAPI puts together what the API decides with.
func newAPI(ctx context.Context, host *service.Host, s Settings, js jetstream.JetStream) (*api, error) {
	sealer, err := secret.NewSealer(js, s.KeysDir)
	if err != nil {
		return nil, err
	}
	prints, err := secret.ReadFingerprinter(s.KeysDir)
	if err != nil {
		return nil, err
	}
	past, stale := new(history), new(staleness)
	mends := newHealer(host.Log, js, topology.ConfigLog(), s.LogCheck, past.stored)
	follower := configlog.NewFollower(host.Log, mends.events, configlog.Options{
		OnCommit: func(c eventlog.Commit, meta *configv1.Commit, facts []proto.Message) {
			stale.add(c, meta, facts)
			past.add(c, meta, facts)
		},
		Repair: mends.repair, Retry: s.Retry,
	})
	var a *api
	desk := newDesk(host, s, js, func(ctx context.Context) error { return a.sameTokens(ctx) })
	a = &api{
		tokens: desk,
		log:    host.Log, tracer: host.Tracer, settings: s, nc: js.Conn(), events: mends.events, follower: follower, history: past, stale: stale,
		healer: mends, sealer: sealer, prints: prints, transport: newTransport(), turn: make(chan struct{}, 1), ending: ctx,
		gateways: gateways.NewTracker(host.Log, gateways.Options{
			LiveWithin: s.GatewayLiveWithin, Every: s.GatewayListEvery, At: func(of gateways.Log, seq uint64) (eventlog.State, bool) {
				if of == gateways.Tokens {
					return desk.At(seq)
				}
				return past.state(seq)
			},
			ListedFor: func() time.Duration { return s.limits(stale.at(time.Now(), enlisted)).GatewayTTL },
		}),
		trail: audittrail.NewRecorder(js, host.Log, audittrail.FromConfig),
	}
	a.journal = adminauth.NewJournal(host.Log, a.trail, adminauth.JournalOptions{Every: s.SignInEvery, RequestID: requestID})
	a.auth = adminauth.New(host.Log, s.AdminToken, follower.Snapshot, a.journal)
	a.lookout = &lookout{api: a}
	if a.metrics, err = newMetrics(host.Metrics, a); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return a, nil
}
