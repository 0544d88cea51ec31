package topology_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// Some of the services, for the tables below.
var (
	nobody   []topology.Service
	config   = []topology.Service{topology.Config}
	gateway  = []topology.Service{topology.Gateway}
	audit    = []topology.Service{topology.Audit}
	readers  = []topology.Service{topology.Introspection, topology.Gateway, topology.Audit}                  // of configuration
	copiers  = []topology.Service{topology.Config, topology.Introspection, topology.Gateway, topology.Audit} // of sealed secrets
	answered = []topology.Service{topology.Config, topology.Introspection, topology.RateLimit, topology.Gateway}
	counting = []topology.Service{topology.RateLimit}
)

// mayPublish says who may publish a subject; nobody else may.
func mayPublish() map[string][]topology.Service {
	all := map[string][]topology.Service{
		"log.config":                         config,
		"$KV.SECRETS.a.1":                    config,
		"$KV.GATEWAYS.g1":                    gateway,
		"gateways.v1.beat.g1":                gateway,
		"audit.in.g1":                        gateway,
		"audit.in.config":                    append(config, gateway...), // the kind may, no gateway does: see below
		"audit.in.config-log":                append(audit, gateway...),
		"audit.in.audit":                     append(audit, gateway...),
		"audit.committed.g1":                 audit,
		"rate.t.c0ffee.60.1":                 counting,
		"identity.v1.introspect":             gateway,
		"identity.v1.whoami":                 gateway,
		"identity.v1.trial":                  gateway,
		"identity.v1.authorize":              gateway,
		"identity.v1.exchange":               gateway,
		"gateway.v1.trial":                   config,
		"identity.v1.draft":                  config,
		"ratelimit.v1.reserve":               gateway,
		"config.v1.readlog":                  readers,
		"$JS.API.STREAM.MSG.GET.CONFIG":      append(config, readers...),
		"$JS.API.DIRECT.GET.CONFIG":          append(config, readers...),
		"$JS.API.STREAM.MSG.GET.KV_SECRETS":  copiers,
		"$JS.API.STREAM.MSG.GET.KV_GATEWAYS": config,
		"$JS.API.STREAM.MSG.GET.AUDIT":       audit,
		"$JS.API.DIRECT.GET.AUDIT":           audit,
		"$JS.API.STREAM.MSG.GET.RATE":        nobody,
		"live.config":                        nobody,
		"live.tokens.x":                      nobody,
		"$JS.API.STREAM.LIST":                nobody,
		"$JS.API.STREAM.CREATE.OTHER":        nobody,
		"$SYS.REQ.SERVER.PING":               nobody,
		"anything":                           nobody,
		"_INBOX.x":                           nobody,
	}
	for _, s := range topology.Services() {
		all[topology.Inbox(s)+".x"] = nobody // answers are for who was asked
	}
	for _, name := range streams() {
		for _, request := range []string{
			"STREAM.DELETE.", "STREAM.MSG.DELETE.", "STREAM.PURGE.", "STREAM.SNAPSHOT.", "STREAM.RESTORE.", "STREAM.LEADER.STEPDOWN.",
			"CONSUMER.CREATE.", "CONSUMER.DURABLE.CREATE.", "CONSUMER.LIST.",
		} {
			all["$JS.API."+request+name] = nobody
		}
		all["$JS.API.CONSUMER.CREATE."+name+".x"] = nobody
		all["$JS.API.STREAM.CREATE."+name], all["$JS.API.STREAM.UPDATE."+name] = config, config
	}
	all["$JS.API.STREAM.PURGE.AUDIT"] = audit
	return all
}

// maySubscribe says who may subscribe a subject; nobody else may.
func maySubscribe() map[string][]topology.Service {
	all := map[string][]topology.Service{
		"live.config":            append(config, readers...),
		"live.tokens":            {topology.Config, topology.Gateway, topology.Audit},
		"gateway.v1.trial":       nobody, // without its queue
		"gateway.v1.>":           nobody,
		"gateways.v1.beat.*":     config,
		"config.v1.readlog":      config,
		"identity.v1.introspect": {topology.Introspection},
		"identity.v1.whoami":     {topology.Introspection},
		"ratelimit.v1.reserve":   counting,
		"audit.committed.g1":     gateway,
		"$SRV.PING":              answered,
		"log.config":             nobody,
		"audit.in.*":             nobody,
		"rate.t.>":               nobody,
		"$KV.SECRETS.>":          nobody,
		"$KV.GATEWAYS.>":         nobody,
		"$JS.API.>":              nobody,
		"$SYS.>":                 nobody,
		"_INBOX.>":               nobody,
		"_INBOX_*.>":             nobody,
		"*":                      nobody,
		">":                      nobody,
	}
	for _, s := range topology.Services() {
		all[topology.Inbox(s)+".>"] = []topology.Service{s}
	}
	return all
}

// refuses tells whether the server refuses what a connection does.
func refuses(t testing.TB, nc *nats.Conn, do func() error) bool {
	t.Helper()
	before := nc.LastError()
	if err := errors.Join(do(), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	after := nc.LastError()                                                 // was set before the answer to Flush came
	return after != before && errors.Is(after, nats.ErrPermissionViolation) //nolint:errorlint // the same one, not its like
}

func TestNobodyCanDoMoreThanItsRights(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	for _, who := range topology.Services() {
		t.Run(string(who), func(t *testing.T) {
			t.Parallel()
			nc := n.Connect(t, who)
			nc.SetErrorHandler(nil) // what is refused here is refused on purpose
			for subject, allowed := range mayPublish() {
				refused := refuses(t, nc, func() error { return nc.Publish(subject, nil) })
				if refused == slices.Contains(allowed, who) {
					t.Errorf("publish %s: refused %t", subject, refused)
				}
			}
			for subject, allowed := range maySubscribe() {
				refused := refuses(t, nc, func() error {
					_, err := nc.SubscribeSync(subject)
					return err
				})
				if refused == slices.Contains(allowed, who) {
					t.Errorf("subscribe %s: refused %t", subject, refused)
				}
			}
		})
	}
}

// TestAGatewayAnswersTrialsInItsTurn, and hears nothing of those that others answer: they carry credentials.
func TestAGatewayAnswersTrialsInItsTurn(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	for queue, refused := range map[string]bool{topology.QueueGateway: false, "another": true, "": true} {
		nc := n.Connect(t, topology.Gateway)
		nc.SetErrorHandler(nil) // what is refused here is refused on purpose
		if got := refuses(t, nc, func() error { _, err := nc.QueueSubscribeSync(topology.CallTrial, queue); return err }); got != refused {
			t.Errorf("queue %q: refused %t", queue, got)
		}
	}
}

// TestWhoAnswersIsHeardByWhoAskedAndThatOnce is what keeps one service from forging the answers of another: it has
// the reply subjects of requests to itself, and can guess those of requests to others.
func TestWhoAnswersIsHeardByWhoAskedAndThatOnce(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	for who, subject := range map[topology.Service]string{
		topology.Config: topology.ConfigReadLog, topology.Introspection: topology.WhoAmI, topology.RateLimit: topology.Reserve,
	} {
		asker, answerer := n.Connect(t, topology.Gateway), n.Connect(t, who)
		answerer.SetErrorHandler(nil) // what is refused here is refused on purpose
		inbox := asker.NewInbox()
		heard := must(asker.SubscribeSync(inbox + ".*"))
		taken := must(answerer.SubscribeSync(subject))
		if err := errors.Join(asker.Flush(), answerer.Flush()); err != nil {
			t.Fatal(err)
		}
		if err := asker.PublishRequest(subject, inbox+".1", nil); err != nil {
			t.Fatal(err)
		}
		request := must(taken.NextMsg(10 * time.Second))
		for _, c := range []struct {
			to      string
			refused bool
		}{{inbox + ".2", true}, {request.Reply, false}, {request.Reply, true}, {inbox + ".2", true}} {
			if got := refuses(t, answerer, func() error { return answerer.Publish(c.to, []byte("answer")) }); got != c.refused {
				t.Errorf("%s answers %s: refused %t", who, c.to, got)
			}
		}
		if m := must(heard.NextMsg(10 * time.Second)); m.Subject != request.Reply {
			t.Errorf("%s was heard on %s", who, m.Subject)
		}
		if err := asker.Flush(); err != nil {
			t.Fatal(err)
		}
		if more, _, err := heard.Pending(); more != 0 || err != nil {
			t.Errorf("%s was heard %d times more, %v", who, more, err)
		}
	}
}

func TestConfigCanDoItsWork(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	heard := must(js.Conn().SubscribeSync(topology.GatewayBeat("*")))
	follows(t, n, topology.Config)
	sealed(t, n)
	bucket := must(n.JetStream(t, topology.Gateway).KeyValue(t.Context(), topology.BucketGateways))
	must(bucket.Put(t.Context(), "g1", []byte("here")))
	listed := 0
	for m, err := range must(jetstreamext.GetLastMsgsFor(t.Context(), js, "KV_"+topology.BucketGateways, []string{"$KV." + topology.BucketGateways + ".>"})) {
		if err != nil || string(m.Data) != "here" {
			t.Fatalf("%v, %v", m, err)
		}
		listed++
	}
	if listed != 1 {
		t.Errorf("%d gateways listed", listed)
	}
	nc := n.Connect(t, topology.Gateway)
	if err := errors.Join(js.Conn().Flush(), nc.Publish(topology.GatewayBeat("g1"), nil)); err != nil {
		t.Fatal(err)
	}
	must(heard.NextMsg(10 * time.Second))
	for _, asker := range readers {
		asks(t, n, topology.Config, asker, topology.ConfigReadLog)
	}
}

func TestIntrospectionCanDoItsWork(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	follows(t, n, topology.Introspection)
	opens(t, n, topology.Introspection)
	asks(t, n, topology.Introspection, topology.Gateway, topology.Introspect)
	asks(t, n, topology.Introspection, topology.Gateway, topology.WhoAmI)
}

func TestGatewayCanDoItsWork(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	follows(t, n, topology.Gateway)
	opens(t, n, topology.Gateway)
	js := n.JetStream(t, topology.Gateway)
	if ack := must(js.Publish(t.Context(), topology.AuditIn("g1"), []byte("batch"))); ack.Stream != topology.StreamAudit {
		t.Errorf("stored in %s", ack.Stream)
	}
	bucket := must(js.KeyValue(t.Context(), topology.BucketGateways))
	must(bucket.Put(t.Context(), "g1", []byte("here")))
	if err := bucket.Delete(t.Context(), "g1"); err != nil {
		t.Error(err)
	}
	committed := must(js.Conn().SubscribeSync(topology.AuditCommitted + ".g1"))
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if err := n.Connect(t, topology.Audit).Publish(topology.AuditCommitted+".g1", nil); err != nil {
		t.Fatal(err)
	}
	must(committed.NextMsg(10 * time.Second))
}

func TestRateLimitCanDoItsWork(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.RateLimit)
	for _, want := range []string{"3", "6"} {
		msg := nats.NewMsg(topology.RateCounter("c0ffee", time.Minute, 1))
		msg.Header.Set("Nats-Incr", "+3")
		if ack := must(js.PublishMsg(t.Context(), msg)); ack.Stream != topology.StreamRate || ack.Value != want {
			t.Errorf("%+v, want %s", ack, want)
		}
	}
	asks(t, n, topology.RateLimit, topology.Gateway, topology.Reserve)
}

func TestAuditCanDoItsWork(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	follows(t, n, topology.Audit)
	must(n.JetStream(t, topology.Gateway).Publish(t.Context(), topology.AuditIn("g1"), []byte("batch")))
	js := n.JetStream(t, topology.Audit)
	for m, err := range must(jetstreamext.GetBatch(t.Context(), js, topology.StreamAudit, 10, jetstreamext.GetBatchSeq(1))) {
		if err != nil || string(m.Data) != "batch" {
			t.Fatalf("%v, %v", m, err)
		}
	}
	s := must(js.Stream(t.Context(), topology.StreamAudit))
	if err := s.Purge(t.Context(), jetstream.WithPurgeSequence(2)); err != nil {
		t.Error(err)
	}
	if left := must(s.Info(t.Context())).State.Msgs; left != 0 {
		t.Errorf("%d left", left)
	}
}

func TestAGatewaySpeaksForItselfAlone(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	nc := n.Connect(t, topology.GatewayUser("g1"))
	nc.SetErrorHandler(nil) // what is refused here is refused on purpose
	for subject, allowed := range map[string]bool{
		topology.AuditIn("g1"): true, topology.GatewayBeat("g1"): true, "$KV.GATEWAYS.g1": true, topology.WhoAmI: true, topology.Reserve: true,
		topology.AuditIn("config"): false, topology.AuditIn("audit"): false, topology.AuditIn("config-log"): false,
		topology.AuditIn("g2"): false, topology.GatewayBeat("g2"): false, "$KV.GATEWAYS.g2": false, "$KV.GATEWAYS.g1.x": false,
		topology.Inbox(topology.GatewayUser("g2")) + ".x": false,
	} {
		if refused := refuses(t, nc, func() error { return nc.Publish(subject, nil) }); refused == allowed {
			t.Errorf("publish %s: refused %t", subject, refused)
		}
	}
	for subject, allowed := range map[string]bool{
		"audit.committed.g1": true, "live.config": true, topology.Inbox(topology.GatewayUser("g1")) + ".>": true,
		"audit.committed.g2": false, "audit.committed.*": false,
		topology.Inbox(topology.GatewayUser("g2")) + ".>": false, topology.Inbox(topology.Gateway) + ".>": false,
	} {
		refused := refuses(t, nc, func() error {
			_, err := nc.SubscribeSync(subject)
			return err
		})
		if refused == allowed {
			t.Errorf("subscribe %s: refused %t", subject, refused)
		}
	}
	follows(t, n, topology.GatewayUser("g1"))
	opens(t, n, topology.GatewayUser("g1"))
	asks(t, n, topology.Introspection, topology.GatewayUser("g1"), topology.Introspect)
}

// TestTheOperatorCanMoveDeleteAndFind is what the runbook needs; commits are for config alone.
func TestTheOperatorCanMoveDeleteAndFind(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Operator)
	s, err := ask.NewServer(t.Context(), n.Connect(t, topology.RateLimit), testkit.Logger(t), noop.NewTracerProvider().Tracer(""),
		ask.Settings{Name: "ratelimit", Version: "0.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	testkit.Until(t, "the service to be found", func() bool { // it answers once each time, on every one of the subjects it listens on
		found, err := js.Conn().Request("$SRV.PING", nil, 100*time.Millisecond)
		return err == nil && strings.Contains(string(found.Data), `"ratelimit"`)
	})
	sealed(t, n)
	backup := backUp(t, js.Conn(), "KV_"+topology.BucketSecrets)
	for _, stream := range []string{topology.StreamConfig, "KV_" + topology.BucketSecrets} {
		if err := js.DeleteStream(t.Context(), stream); err != nil {
			t.Error(err)
		}
	}
	restore(t, js.Conn(), "KV_"+topology.BucketSecrets, backup)
	bucket := must(n.JetStream(t, topology.Introspection).KeyValue(t.Context(), topology.BucketSecrets))
	if got := must(bucket.Get(t.Context(), "a.1")); string(got.Value()) != "sealed" {
		t.Errorf("restored %q", got.Value())
	}
	ensure(t, n.JetStream(t, topology.Config), topology.Limits{})
	nc := js.Conn()
	nc.SetErrorHandler(nil) // what is refused here is refused on purpose
	for _, subject := range []string{topology.ConfigLog().Subject, "$KV.SECRETS.a.1", topology.AuditIn("g1"), topology.WhoAmI, topology.Inbox(topology.Gateway) + ".x"} {
		if !refuses(t, nc, func() error { return nc.Publish(subject, nil) }) {
			t.Errorf("publishes %s", subject)
		}
	}
}

// backup is what the nats command line tool keeps of a stream.
type backup struct {
	server.JSApiStreamRestoreRequest
	chunks [][]byte
}

func backUp(t *testing.T, nc *nats.Conn, stream string) backup {
	t.Helper()
	inbox := nc.NewInbox()
	sub := must(nc.SubscribeSync(inbox))
	body := must(json.Marshal(server.JSApiStreamSnapshotRequest{DeliverSubject: inbox}))
	var answer server.JSApiStreamSnapshotResponse
	reply := must(nc.Request(fmt.Sprintf(server.JSApiStreamSnapshotT, stream), body, 10*time.Second))
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error != nil {
		t.Fatalf("%v, %s", err, reply.Data)
	}
	b := backup{JSApiStreamRestoreRequest: server.JSApiStreamRestoreRequest{Config: *answer.Config, State: *answer.State}}
	for {
		m := must(sub.NextMsg(10 * time.Second))
		if len(m.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, m.Data)
		if m.Reply == "" {
			continue
		}
		if err := m.Respond(nil); err != nil {
			t.Fatal(err)
		}
	}
}

func restore(t *testing.T, nc *nats.Conn, stream string, b backup) {
	t.Helper()
	var answer server.JSApiStreamRestoreResponse
	reply := must(nc.Request(fmt.Sprintf(server.JSApiStreamRestoreT, stream), must(json.Marshal(b.JSApiStreamRestoreRequest)), 10*time.Second))
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error != nil {
		t.Fatalf("%v, %s", err, reply.Data)
	}
	for _, chunk := range append(b.chunks, nil) {
		reply = must(nc.Request(answer.DeliverSubject, chunk, 10*time.Second))
	}
	var done server.JSApiStreamCreateResponse
	if err := json.Unmarshal(reply.Data, &done); err != nil || done.Error != nil {
		t.Fatalf("%v, %s", err, reply.Data)
	}
}

func TestAUserThatNobodyKnowsGetsNoRights(t *testing.T) {
	t.Parallel()
	public := map[topology.Service]string{topology.Audit: "U", topology.Config: ""}
	for _, s := range []topology.Service{"x", "gateway.", "gateway.*", "gateway.>", "gateway.a.b", "operator.x", ""} {
		public[s] = "U"
	}
	if got := topology.Users(public); !slices.Equal(got, audit) {
		t.Errorf("users: %q", got)
	}
}

// follows appends to the log as config does and follows it as who.
func follows(t *testing.T, n *testkit.NATS, who topology.Service) {
	t.Helper()
	log := func(s topology.Service) *eventlog.Log {
		return eventlog.New(n.JetStream(t, s), topology.ConfigLog(), eventlog.Options{Check: 50 * time.Millisecond})
	}
	first := must(log(topology.Config).Append(t.Context(), eventlog.State{}, []byte("first")))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	got := 0
	err := log(who).Follow(ctx, eventlog.State{}, eventlog.Follower{
		Apply: func(eventlog.Commit) error { got++; return nil },
		Settled: func(at eventlog.State) {
			if at == first { // from here on live
				if _, err := log(topology.Config).Append(ctx, first, []byte("second")); err != nil {
					t.Error(err)
				}
				return
			}
			stop()
		},
		Away: func(err error) { t.Error(err) },
	})
	if !errors.Is(err, context.Canceled) || got != 2 {
		t.Fatalf("%d commits, %v", got, err)
	}
}

// sealed stores a secret as config does.
func sealed(t *testing.T, n *testkit.NATS) {
	t.Helper()
	bucket := must(n.JetStream(t, topology.Config).KeyValue(t.Context(), topology.BucketSecrets))
	must(bucket.Create(t.Context(), "a.1", []byte("sealed")))
	must(bucket.Get(t.Context(), "a.1"))
}

func opens(t *testing.T, n *testkit.NATS, who topology.Service) {
	t.Helper()
	sealed(t, n)
	bucket := must(n.JetStream(t, who).KeyValue(t.Context(), topology.BucketSecrets))
	if got := must(bucket.Get(t.Context(), "a.1")); string(got.Value()) != "sealed" {
		t.Errorf("got %q", got.Value())
	}
}

// asks has who answer a subject to asker.
func asks(t *testing.T, n *testkit.NATS, who, asker topology.Service, subject string) {
	t.Helper()
	s := must(ask.NewServer(t.Context(), n.Connect(t, who), testkit.Logger(t), noop.NewTracerProvider().Tracer(""), ask.Settings{Name: string(who), Version: "0.1.0"}))
	defer func() { _ = s.Stop() }()
	err := ask.Handle(s, "x", subject, func(_ context.Context, r *emptypb.Empty) (proto.Message, error) { return r, nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := ask.Do(ctx, n.Connect(t, asker), subject, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
		t.Errorf("%s asks %s: %v", asker, subject, err)
	}
}

func TestAServerReadsTheConfAsTheEmbeddedOneIsTold(t *testing.T) {
	t.Parallel()
	public := must(bus.InitSeeds(t.TempDir(), "g1", "g2"))
	path := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(path, []byte(topology.ServerConf(public)), 0o600); err != nil {
		t.Fatal(err)
	}
	rights := func(users []*server.NkeyUser) map[string]*server.Permissions {
		all := map[string]*server.Permissions{}
		for _, u := range users {
			all[u.Nkey] = u.Permissions
		}
		return all
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rights(broker.Users(public)), rights(opts.Nkeys)); diff != "" || len(opts.Nkeys) != len(public) {
		t.Fatalf("(-embedded +file):\n%s", diff)
	}
}

func TestNoGatewayIsCalledAsSomethingElseInTheTrail(t *testing.T) {
	t.Parallel()
	for _, name := range []string{topology.AuditFromLog, topology.AuditFromTokenLog, topology.AuditFromConfig, topology.AuditFromAudit} {
		if id, ok := topology.GatewayID(topology.GatewayUser(name)); ok {
			t.Errorf("%s is a gateway's id", id)
		}
		if r := topology.RightsOf(topology.GatewayUser(name)); len(r.Publish) != 0 {
			t.Errorf("a gateway called %s may publish %v", name, r.Publish)
		}
	}
}
