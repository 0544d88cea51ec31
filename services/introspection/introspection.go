package introspection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// Run answers whose credentials are until ctx ends, and returns when what was under way is answered.
func Run(ctx context.Context, host *service.Host, s Settings) error {
	s = s.withDefaults()
	nc, err := bus.Connect(ctx, host.Log, topology.Introspection, s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	work, end := context.WithCancel(context.WithoutCancel(ctx)) // what is under way outlives ctx
	defer end()
	keep, err := newKeeper(nc, host, s)
	if err != nil {
		return err
	}
	answer, err := newAnswering(work, host, s, keep)
	if err != nil {
		return err
	}
	defer answer.close()
	unregister, err := answer.counters.register(host.Metrics, keep)
	if err != nil {
		return err
	}
	defer unregister()
	host.Health.Set(keep.loading)

	var loops sync.WaitGroup
	defer loops.Wait()
	defer end()
	loops.Go(func() { keep.follower.Run(work) })
	loops.Go(func() { keep.run(work) })
	loops.Go(func() { answer.tokens.asker.collect(work, keep, s.StaleRecheck) })
	if _, err := keep.follower.AtLeast(ctx, 0); err != nil {
		return nil //nolint:nilerr // ended before it knew anything; until then questions go to instances that do
	}
	server, err := ask.NewServer(work, nc, host.Log, host.Tracer, ask.Settings{
		Name: "introspection", Version: service.Version, Queue: topology.QueueIntrospection, Workers: s.Workers,
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		ask.Handle(server, "introspect", topology.Introspect, answer.tokens.introspect),
		ask.Handle(server, "whoami", topology.WhoAmI, answer.people.whoAmI),
		ask.Handle(server, "groups", topology.Groups, answer.groups.groups),
		ask.Handle(server, "authorize", topology.Authorize, answer.authorize),
		ask.Handle(server, "exchange", topology.Exchange, answer.exchange),
		ask.Handle(server, "draft", topology.Draft, answer.draft),
		ask.Handle(server, "trial", topology.Trial, answer.trial))
	if err == nil {
		host.Health.Set(keep.health) // not before questions reach us
		<-ctx.Done()
	}
	err = errors.Join(err, server.Stop())
	_ = nc.FlushTimeout(time.Second) // sees the answers off; an error means that NATS is away, and so are the askers
	return err
}

func newKeeper(nc *nats.Conn, host *service.Host, s Settings) (*keeper, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	identity, err := secret.ReadIdentity(secret.IdentityFile(s.KeysDir, secret.Introspection))
	if err != nil {
		return nil, err
	}
	rev, err := newRevisions(identity.String())
	if err != nil {
		return nil, err
	}
	flows, err := newFlowSealer(identity.String())
	if err != nil {
		return nil, err
	}
	k := &keeper{
		flows:     flows,
		opener:    secret.NewOpener(js, identity, settings.SecretEnv(s.LookupEnv), s.SecretsDir),
		revisions: rev, settings: s, log: host.Log,
	}
	k.follower = configlog.NewFollower(host.Log, eventlog.New(js, topology.ConfigLog(), eventlog.Options{Check: s.LogCheck}), configlog.Options{
		OnSnapshot: k.take, Repair: configlog.RepairFrom(nc),
	})
	return k, nil
}

// answering is what answers requests.
type answering struct {
	tokens   *tokens
	people   *people
	groups   *memberships
	config   *keeper
	flows    flowSealer
	settings Settings
	host     *service.Host
	counters *counters
	life     *flight.Life
	clients  clients
}

// clients are what providers, nodes and directories are asked with; once sends nothing twice.
type clients struct{ kept, once *http.Client }

func newAnswering(work context.Context, host *service.Host, s Settings, keep *keeper) (*answering, error) {
	roots, err := web.ReadRoots(s.ProviderCAFile)
	if err != nil {
		return nil, err
	}
	a := &answering{
		config: keep, flows: keep.flows, settings: s, host: host, counters: newCounters(), life: &flight.Life{Context: work},
		clients: clients{kept: remote.NewClient(s.Limits, roots, true), once: remote.NewClient(s.Limits, roots, false)},
	}
	return a, a.remember()
}

// remember gives the answers empty memories.
func (a *answering) remember() error {
	s, host := a.settings, a.host
	known, err := newAnswers(s.ActiveEntries, s.InactiveEntries)
	if err != nil {
		return err
	}
	users, err := newVerdicts(s.KnownEntries)
	if err != nil {
		return err
	}
	refused, err := newVerdicts(s.RefusedEntries)
	if err != nil {
		return err
	}
	active, err := newMembershipCache(s.KnownEntries)
	if err != nil {
		return err
	}
	others, err := newMembershipCache(s.RefusedEntries)
	if err != nil {
		return err
	}
	keys := newKeyer()
	a.tokens = &tokens{config: a.config, asker: &asker{
		via: &provider.Via{
			Client: a.clients.kept, Timeout: s.CallTimeout, Life: a.life, Log: host.Log, Tracer: host.Tracer, Counted: a.counters.called,
		},
		keys: keys, answers: known, flights: flight.Group[*answer]{Life: a.life}, counters: a.counters,
	}}
	a.people = &people{
		config: a.config, client: &productClient{clients: a.clients, timeout: s.CallTimeout}, keys: keys,
		known: users, refused: refused, knownTTL: s.KnownTTL, refusedTTL: s.RefusedTTL, flights: flight.Group[*verdict]{Life: a.life},
		tracer: host.Tracer, counters: a.counters,
	}
	a.groups = &memberships{
		config: a.config, client: a.clients.kept, timeout: s.CallTimeout, keys: keys, active: active, others: others, otherTTL: s.RefusedTTL,
		flights: flight.Group[*membership]{Life: a.life},
		log:     host.Log, tracer: host.Tracer, counters: a.counters,
	}
	return nil
}

// close waits for shared calls whose callers have left, and closes the connections.
func (a *answering) close() {
	a.life.End()
	a.clients.kept.CloseIdleConnections()
	a.clients.once.CloseIdleConnections()
}
