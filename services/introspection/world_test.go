package introspection_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

// world is a broker with a configuration log, and whoever asks.
type world struct {
	t      testing.TB
	nats   *testkit.NATS
	keys   string
	log    *eventlog.Log
	at     eventlog.State
	sealer *secret.Sealer
	gw     *nats.Conn
	config *nats.Conn
	sealed int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	n := testkit.StartNATS(t)
	keys := t.TempDir()
	if err := secret.Init(keys); err != nil {
		t.Fatal(err)
	}
	js := n.JetStream(t, topology.Config)
	sealer, err := secret.NewSealer(js, keys)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, nats: n, keys: keys, sealer: sealer, gw: n.Connect(t, topology.Gateway), config: n.Connect(t, topology.Config),
		log: eventlog.New(js, topology.ConfigLog(), eventlog.Options{}),
	}
}

// commit appends facts as config does.
func (w *world) commit(facts ...proto.Message) {
	w.t.Helper()
	data, err := factlog.Encode(&configv1.Commit{RequestId: strconv.FormatUint(w.at.Seq, 10)}, facts)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.at, err = w.log.Append(w.t.Context(), w.at, data); err != nil {
		w.t.Fatal(err)
	}
}

// seal seals a provider's secret as config does.
func (w *world) seal(value string) configlog.Secret {
	w.t.Helper()
	w.sealed++
	s := configlog.Secret{Ref: "p" + strconv.Itoa(w.sealed), Version: 1, Fingerprint: strconv.Itoa(w.sealed)}
	if err := w.sealer.Seal(w.t.Context(), secret.Introspection, s.Key(), value); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// provider is one that keeps answers for a minute, inactive ones for five seconds.
func (w *world) provider(endpoint string) configlog.Provider {
	w.t.Helper()
	return configlog.Provider{
		ID: "corp", Kind: "custom", IntrospectionEndpoint: endpoint, ClientID: "gatehouse", ClientSecret: w.seal("gatehouse-secret"),
		CallerAuth: "client_secret_basic",
		Cache:      configlog.Cache{MaxTTL: configlog.Duration(time.Minute), NegativeTTL: configlog.Duration(5 * time.Second)},
	}
}

func registered(site, product string) proto.Message {
	return &configv1.SiteRegistered{Site: site, Product: product}
}

func trusted(site string, p configlog.Provider) proto.Message {
	return &configv1.ProviderTrusted{Site: site, Provider: p.Proto()}
}

// site configures site jira with one provider.
func (w *world) site(p configlog.Provider) {
	w.t.Helper()
	w.commit(registered("jira", "jira"), trusted("jira", p))
}

// instance is a running introspection service.
type instance struct {
	process *service.Process
	logs    *logBuffer
	spans   *tracetest.InMemoryExporter
	// stop ends the service and gives what Run gave.
	stop func() error
}

// run starts the service and waits until it answers; it is stopped with the test at the latest.
func (w *world) run(change func(*introspection.Settings)) *instance {
	w.t.Helper()
	i := w.start(change)
	w.answered()
	return i
}

func (w *world) start(change func(*introspection.Settings)) *instance {
	w.t.Helper()
	logs, spans := &logBuffer{}, tracetest.NewInMemoryExporter()
	i := w.startIn(newProcess(logs, spans), change)
	i.logs, i.spans = logs, spans
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Log(logs.String())
		}
	})
	return i
}

func (w *world) startIn(process *service.Process, change func(*introspection.Settings)) *instance {
	w.t.Helper()
	s := introspection.Settings{Settings: w.nats.Settings(topology.Introspection), KeysDir: w.keys, SecretRetry: 20 * time.Millisecond, LogCheck: 100 * time.Millisecond}
	if change != nil {
		change(&s)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- introspection.Run(ctx, process.Host("introspection", ""), s) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	w.t.Cleanup(func() {
		if err := stop(); err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
	return &instance{process: process, stop: stop}
}

func newProcess(logs *logBuffer, spans *tracetest.InMemoryExporter) *service.Process {
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if spans == nil {
		return service.NewProcess(log, nil)
	}
	return service.NewProcess(log, sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
}

// answered waits until somebody answers under the configuration there is. A question asked while NATS goes
// away may be lost, so each waits for half a second only.
func (w *world) answered() {
	w.t.Helper()
	testkit.Until(w.t, "an answer to introspect", func() bool {
		_, err := w.introspectWithin(500*time.Millisecond, "no-such-site", "x")
		return fault.CodeOf(err) == fault.NotFound
	})
	testkit.Until(w.t, "an answer to whoami", func() bool { // the second of the two subjects
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 500*time.Millisecond)
		defer cancel()
		err := ask.Do(ctx, w.gw, topology.WhoAmI, &identityv1.WhoAmIRequest{Site: "no-such-site", ConfigSequence: w.at.Seq}, new(identityv1.WhoAmIReply))
		return fault.CodeOf(err) != fault.Unavailable
	})
}

func (w *world) introspect(site, token string) (*identityv1.IntrospectReply, error) {
	return w.introspectWithin(10*time.Second, site, token)
}

func (w *world) introspectWithin(limit time.Duration, site, token string) (*identityv1.IntrospectReply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), limit)
	defer cancel()
	reply := new(identityv1.IntrospectReply)
	return reply, ask.Do(ctx, w.gw, topology.Introspect, &identityv1.IntrospectRequest{Site: site, Token: token, ConfigSequence: w.at.Seq}, reply)
}

// active introspects at site jira, wants active and gives the reply.
func (w *world) active(token string) *identityv1.IntrospectReply {
	w.t.Helper()
	r, err := w.introspect("jira", token)
	if err != nil || !r.GetActive() {
		w.t.Fatalf("%s: %v, %v; want active", token, r, err)
	}
	return r
}

// inactive introspects at site jira and wants inactive.
func (w *world) inactive(token string) *identityv1.IntrospectReply {
	w.t.Helper()
	r, err := w.introspect("jira", token)
	if err != nil || r.GetActive() {
		w.t.Fatalf("%s: %v, %v; want inactive", token, r, err)
	}
	return r
}

// unavailable introspects at site jira and wants a fault whose text holds want.
func (w *world) unavailable(token, want string) {
	w.t.Helper()
	r, err := w.introspect("jira", token)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), want) {
		w.t.Fatalf("%s: %v, %v; want unavailable, %q", token, r, err, want)
	}
}

// metrics gives what /metrics answers.
func (i *instance) metrics() string { return i.get("/metrics") }

func (i *instance) get(path string) string {
	r := httptest.NewRecorder()
	i.process.Handler().ServeHTTP(r, httptest.NewRequest("GET", path, nil))
	return r.Body.String()
}

// metric gives a sample of /metrics whose line begins with name, then labels in any order.
func (i *instance) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
lines:
	for line := range strings.Lines(i.metrics()) {
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(line, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// logBuffer takes a service's log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
