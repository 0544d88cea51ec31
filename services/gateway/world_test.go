package gateway_test

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

func TestMain(m *testing.M) {
	if os.Getenv(worldRole) != "" { //nolint:forbidigo // how a test binary is told to be the other process
		worldProcess()
		return
	}
	if settings := os.Getenv(gatewayRole); settings != "" { //nolint:forbidigo // as above
		gatewayProcess(settings)
		return
	}
	goleak.VerifyTestMain(m)
}

func attach(url string) proto.Message {
	return &configv1.NodeAttached{Site: "jira", Node: "n1", Url: url}
}

// world is everything a gateway needs, all of it real: NATS, the lab, introspection, and a configuration log
// that the test writes itself.
type world struct {
	t    testing.TB
	nats *testkit.NATS
	lab  *lab.Lab
	// product is the one that site is in front of.
	product *lab.Product
	keys    string

	log   *eventlog.Log
	at    eventlog.State
	seals *secret.Sealer
	count atomic.Int64

	stopIntrospection func()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, nats: testkit.StartNATS(t), keys: filepath.Join(t.TempDir(), "keys")}
	if err := secret.Init(w.keys); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), testkit.Logger(t), lab.Free(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	w.lab, w.product = l, l.Jira
	js := w.nats.JetStream(t, topology.Config)
	w.log = eventlog.New(js, topology.ConfigLog(), eventlog.Options{})
	if w.seals, err = secret.NewSealer(js, w.keys); err != nil {
		t.Fatal(err)
	}
	w.startIntrospection()
	return w
}

func (w *world) startIntrospection() {
	process := service.NewProcess(testkit.Logger(w.t), nil)
	host := process.Host("introspection", "")
	stop := w.run("introspection", func(ctx context.Context) error {
		return introspection.Run(ctx, host, introspection.Settings{
			Settings: w.nats.Settings(topology.Introspection), KeysDir: w.keys, LogCheck: 100 * time.Millisecond,
		})
	})
	w.stopIntrospection = stop
	w.t.Cleanup(stop)
	testkit.Until(w.t, "introspection to be ready", process.Ready)
}

// run runs a service until the function it gives is called.
func (w *world) run(name string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s: %v", name, err)
		}
	})
}

// commit appends facts to the configuration log.
func (w *world) commit(facts ...proto.Message) uint64 {
	w.t.Helper()
	data, err := factlog.Encode(&configv1.Commit{Who: &configv1.Actor{Name: "test"}, RequestId: uuid.NewString()}, facts)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.at, err = w.log.Append(context.WithoutCancel(w.t.Context()), w.at, data); err != nil {
		w.t.Fatal(err)
	}
	return w.at.Seq
}

// seal seals a secret and gives what facts hold of it.
func (w *world) seal(owner secret.Owner, value string) *configv1.Secret {
	w.t.Helper()
	ref := fmt.Sprintf("s%d", w.count.Add(1))
	if err := w.seals.Seal(w.t.Context(), owner, ref+".1", value); err != nil {
		w.t.Fatal(err)
	}
	return &configv1.Secret{Ref: ref, Version: 1, Fingerprint: ref}
}

// site registers the lab's Jira, or another of its products, as a site that enforces, with the lab's provider and the account svc-api.
func (w *world) site() []proto.Message {
	const id = "jira"
	facts := []proto.Message{
		&configv1.SiteRegistered{Site: id, Product: w.kind()},
		&configv1.SiteAddressed{Site: id, BaseUrl: "https://jira.example.com"},
		&configv1.EnforcementSwitched{Site: id, Enabled: true},
		&configv1.MethodsSet{Site: id, Basic: true, Oauth: true, Pat: true, ApiTokens: true, Links: true},
		&configv1.GrantSwitched{Site: id, Grant: "client_credentials"},
		&configv1.ProviderTrusted{Site: id, Provider: w.provider()},
		&configv1.UpstreamDriverSet{Site: id, Driver: "pat"},
		&configv1.UpstreamAccountSet{Site: id, Account: "svc-api", Credential: w.seal(secret.Gateway, w.product.PAT("svc-api"))},
		&configv1.StalenessSet{Site: id, Max: durationpb.New(5 * time.Minute)},
		&configv1.AuditingSet{Site: id, Enabled: true, Sync: "group", WhenUnavailable: "deny"},
	}
	for _, n := range w.product.Nodes() {
		facts = append(facts, &configv1.NodeAttached{Site: id, Node: n.ID(), Url: n.URL()})
	}
	return facts
}

func (w *world) kind() string {
	switch w.product {
	case w.lab.Confluence:
		return "confluence"
	case w.lab.Bitbucket:
		return "bitbucket"
	default:
		return "jira"
	}
}

// siteOn is site in front of one node that is none of the lab's.
func (w *world) siteOn(url string) []proto.Message {
	facts := w.site()
	for range w.lab.Jira.Nodes() {
		facts = facts[:len(facts)-1] // the last ones attach the lab's
	}
	return append(facts, attach(url))
}

func (w *world) provider() *configv1.Provider {
	return &configv1.Provider{
		Id: "lab", Kind: "custom", Issuer: w.lab.Provider.Issuer(), IntrospectionEndpoint: w.lab.Provider.IntrospectionEndpoint(),
		ClientId: lab.ResourceID, ClientSecret: w.seal(secret.Introspection, lab.ResourceSecret), CallerAuth: "client_secret_basic",
		RequiredScopes: []string{"read"}, ServiceAccount: "svc-api",
		CacheMaxTtl: durationpb.New(time.Minute), CacheNegativeTtl: durationpb.New(5 * time.Second),
	}
}

// token mints an access token of the lab's provider for ci-bot.
func (w *world) token(change ...func(*lab.TokenSpec)) string {
	w.t.Helper()
	spec := lab.TokenSpec{ClientID: lab.ClientID, Scopes: []string{"read", "write"}}
	for _, c := range change {
		c(&spec)
	}
	token, err := w.lab.Provider.MintToken(w.t.Context(), spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// running is a gateway under test.
type running struct {
	process *service.Process
	url     string
	stop    func()
	dir     string
}

// gateway runs a gateway; dir "" makes a new folder for it.
func (w *world) gateway(dir string, change ...func(*gateway.Settings)) *running {
	w.t.Helper()
	if dir == "" {
		dir = w.t.TempDir()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	s := gateway.Settings{
		Settings: w.nats.Settings(topology.Gateway), DataDir: dir, KeysDir: w.keys, Listener: listener,
		IdentityTimeout: 3 * time.Second, IdentityCache: 1000, AuditSpool: 64 << 20, ReplyTimeout: 5 * time.Second,
		ShutdownGrace: 5 * time.Second, AuditGrace: 5 * time.Second, Remind: 200 * time.Millisecond, Check: 100 * time.Millisecond, Upstream: upstream.Settings{CheckEvery: 100 * time.Millisecond},
	}
	for _, c := range change {
		c(&s)
	}
	process := service.NewProcess(testkit.Logger(w.t), nil)
	host := process.Host("gateway", "")
	r := &running{process: process, url: "http://" + listener.Addr().String(), dir: dir}
	r.stop = w.run("gateway", func(ctx context.Context) error { return gateway.Run(ctx, host, s) })
	w.t.Cleanup(r.stop)
	return r
}

// reached waits until the gateway decides under at least that configuration.
func (r *running) reached(t testing.TB, seq uint64) {
	t.Helper()
	testkit.Until(t, fmt.Sprintf("the gateway to decide under configuration %d", seq), func() bool {
		resp, err := http.Get(r.url + "/rest/gatehouse/1.0/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		var got uint64
		_, err = fmt.Sscan(resp.Header.Get("X-Gatehouse-Config-Version"), &got)
		return err == nil && got >= seq
	})
}

// audited gives the records of calls in the audit stream as they come, for at most ten seconds. Nobody commits them here, so
// the gateway sends them again: each is given once.
func (w *world) audited() iter.Seq[*auditv1.Record] {
	w.t.Helper()
	nc := w.nats.Connect(w.t, topology.Audit)
	return func(yield func(*auditv1.Record) bool) {
		js, err := jetstream.New(nc)
		if err != nil {
			w.t.Fatal(err)
		}
		var stream jetstream.Stream
		testkit.Until(w.t, "the audit stream", func() bool {
			stream, err = js.Stream(w.t.Context(), topology.StreamAudit)
			return err == nil
		})
		deadline := time.Now().Add(10 * time.Second)
		type number struct {
			gateway  string
			epoch, n uint64
		}
		given := map[number]bool{}
		for seq := uint64(1); ; {
			msg, err := stream.GetMsg(w.t.Context(), seq)
			if time.Now().After(deadline) {
				w.t.Fatal("the records did not come")
			}
			if err != nil {
				continue
			}
			seq++
			batch := new(auditv1.Batch)
			if err := proto.Unmarshal(msg.Data, batch); err != nil {
				w.t.Fatal(err)
			}
			for i, record := range batch.GetRecords() {
				its := number{batch.GetGateway(), batch.GetEpoch(), batch.GetFirst() + uint64(i)}
				if given[its] {
					continue
				}
				if given[its] = true; record.GetKind() == "" && !yield(record) {
					return
				}
			}
		}
	}
}
