package config

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const firstToken = "first-admin-token"

// buffer is a log that is written by many and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// instance is a running service.
type instance struct {
	t       testing.TB
	url     string
	log     *buffer
	process *service.Process
	client  *http.Client
	keys    string
	end     func() error // once
}

// keysDir makes the keys of an installation.
func keysDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := secret.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs the service on a free port until the test ends.
func start(t testing.TB, n *testkit.NATS, change func(*Settings)) *instance {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{
		Settings: n.Settings(topology.Config), Listener: listener, AdminToken: adminauth.Hash(firstToken),
		LogCheck: 50 * time.Millisecond, Retry: 50 * time.Millisecond, GatewayListEvery: 50 * time.Millisecond, GatewayLiveWithin: time.Minute, GatewayHearing: 100 * time.Millisecond,
	}
	if change != nil {
		change(&s)
	}
	if s.KeysDir == "" {
		s.KeysDir = keysDir(t)
	}
	log := new(buffer)
	i := &instance{
		t: t, url: "http://" + listener.Addr().String() + "/api/v1/", log: log, keys: s.KeysDir,
		process: service.NewProcess(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil),
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- Run(ctx, i.process.Host("config", ""), s) }()
	i.end = sync.OnceValue(func() error {
		cancel()
		i.client.CloseIdleConnections()
		return <-done
	})
	t.Cleanup(func() {
		if err := i.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the service:\n%.20000s", log)
		}
	})
	return i
}

// ready waits until the service has loaded its configuration.
func (i *instance) ready() *instance {
	i.t.Helper()
	i.until("ready", func() bool { return i.get("config").status == http.StatusOK })
	return i
}

// until waits for something that comes by itself.
func (i *instance) until(what string, holds func() bool) {
	i.t.Helper()
	testkit.Until(i.t, what, holds)
}

// reply is an answer that was read.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// call makes a request. headers are pairs.
func (i *instance) call(method, path, body string, headers ...string) reply {
	i.t.Helper()
	r, err := i.try(context.WithoutCancel(i.t.Context()), method, path, body, headers...)
	if err != nil {
		i.t.Fatal(err)
	}
	return r
}

func (i *instance) try(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, i.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Authorization", "Bearer "+firstToken)
	for k := 0; k < len(headers); k += 2 {
		r.Header.Set(headers[k], headers[k+1])
	}
	resp, err := i.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{t: i.t, status: resp.StatusCode, header: resp.Header, body: string(data)}, err
}

func (i *instance) get(path string, headers ...string) reply {
	i.t.Helper()
	return i.call(http.MethodGet, path, "", headers...)
}

// put makes a document the current one, whatever there is.
func (i *instance) put(body string, headers ...string) reply {
	i.t.Helper()
	return i.call(http.MethodPut, "config", body, append([]string{"If-Match", "*"}, headers...)...)
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, not %d: %.2000s", r.status, status, r.body)
	}
	return r
}

// json reads the body.
func (r reply) json(out any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), out); err != nil {
		r.t.Fatalf("%v in %.500s", err, r.body)
	}
}

// changed reads the answer to a change.
func (r reply) changed() (out answer) {
	r.t.Helper()
	r.want(http.StatusOK).json(&out)
	return out
}

// problems gives the paths of what is wrong.
func (r reply) problems() []string {
	r.t.Helper()
	var body struct {
		Problems []struct{ Path, Message string }
	}
	r.json(&body)
	paths := []string{}
	for _, p := range body.Problems {
		if p.Message == "" {
			r.t.Errorf("no words for %s", p.Path)
		}
		paths = append(paths, p.Path)
	}
	return paths
}

// oneSite is a document with a site that has both kinds of secret.
func oneSite(providerSecret, accountSecret string, more ...string) string {
	return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],
		"providers":[{"id":"corp","introspection_endpoint":"https://sso.example.com/introspect","client_id":"gatehouse",
			"client_secret":%s,"required_scopes":["read"],"service_account":"svc-api"}],
		"upstream":{"accounts":{"svc-api":%s}}%s}]}`, providerSecret, accountSecret, strings.Join(append([]string{""}, more...), ","))
}

func value(text string) string {
	data, _ := json.Marshal(map[string]string{"value": text})
	return string(data)
}

// simple is a document with one site that says how many requests it allows.
func simple(requests int) string {
	return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],"rate_limit":{"requests":%d}}]}`, requests)
}

// gateway is somebody who beats as one.
type gateway struct {
	t    testing.TB
	n    *testkit.NATS
	id   string
	stop func()

	mu   sync.Mutex
	beat *configv1.GatewayBeat
}

// beats makes a gateway that is in the bucket, and beats until it is stopped.
func beats(t testing.TB, n *testkit.NATS, id string, at eventlog.State, level uint32) *gateway {
	t.Helper()
	g := beating(t, n, id, at, level)
	js := n.JetStream(t, topology.Gateway)
	bucket, err := js.KeyValue(t.Context(), topology.BucketGateways)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), id, g.now(false)); err != nil {
		t.Fatal(err)
	}
	return g
}

// beating makes a gateway that beats, and is in no bucket.
func beating(t testing.TB, n *testkit.NATS, id string, at eventlog.State, level uint32) *gateway {
	t.Helper()
	g := &gateway{t: t, n: n, id: id, beat: &configv1.GatewayBeat{
		Id: id, Instance: id + "-1", Version: "test", FactLevel: level, StartedAt: timestamppb.Now(),
	}}
	g.has(at)
	js := n.JetStream(t, topology.Gateway)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_ = js.Conn().Publish(topology.GatewayBeat(id), g.now(false))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	g.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) has(s eventlog.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beat.Sequence, g.beat.Hash = s.Seq, s.Hash[:]
}

// checks has the gateway check API tokens by a state of their log.
func (g *gateway) checks(s eventlog.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beat.TokenSequence, g.beat.TokenHash = s.Seq, s.Hash[:]
}

func (g *gateway) now(off bool) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beat.At, g.beat.SigningOff = timestamppb.Now(), off
	data, err := proto.Marshal(g.beat)
	if err != nil {
		g.t.Error(err)
	}
	return data
}

// stateOf reads an ETag.
func stateOf(t testing.TB, tag string) eventlog.State {
	t.Helper()
	s, err := eventlog.ParseState(strings.Trim(tag, `"`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
