package suite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/lab"
	"github.com/gatehouse-suite/gatehouse/services/suite"
)

// process is one service running as a process of its own.
type process struct {
	program string
	env     []string
	cmd     *exec.Cmd
	ended   <-chan struct{}
	log     *logs // of all its starts
	ops     string
}

func (p *process) start() (err error) {
	p.cmd = exec.Command(p.program)
	p.cmd.Env, p.cmd.Stderr = p.env, p.log
	p.ended, err = testkit.StartChild(p.cmd)
	return err
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// split is the suite as separate processes: three NATS servers, Postgres, each service.
type split struct {
	t              testing.TB
	bin, keys      string
	nats           *testkit.Cluster
	lab            *lab.Lab
	gateway, admin string
	spans          *spans
	processes      map[string]*process
}

const splitAdmin = "an-admin-token-for-this-test"

// startSplit starts all of it; database is where the trail goes.
func startSplit(t testing.TB, database string) *split {
	t.Helper()
	s := &split{t: t, bin: t.TempDir(), keys: filepath.Join(t.TempDir(), "keys"), processes: map[string]*process{}, spans: newSpans(t)}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin+"/", "../cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := secret.Init(s.keys); err != nil {
		t.Fatal(err)
	}
	s.nats = testkit.StartCluster(t)
	var err error
	if s.lab, err = lab.Start(t.Context(), testkit.Logger(t), lab.Free("")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.lab.Close(context.Background()) })
	s.gateway, s.admin = testkit.FreeAddress(t), testkit.FreeAddress(t)
	audit := testkit.FreeAddress(t)
	s.run("config", topology.Config, "GATEHOUSE_ADMIN_TOKEN="+splitAdmin, "GATEHOUSE_ADMIN_LISTEN="+s.admin, "GATEHOUSE_AUDIT_URL=http://"+audit)
	s.run("introspection", topology.Introspection)
	s.run("ratelimit", topology.RateLimit)
	s.run("audit", topology.Audit, "GATEHOUSE_ADMIN_TOKEN="+splitAdmin, "GATEHOUSE_AUDIT_LISTEN="+audit, "GATEHOUSE_DATABASE_URL="+database)
	s.run("gateway", topology.GatewayUser("g1"), "GATEHOUSE_GATEWAY_LISTEN="+s.gateway, "GATEHOUSE_DATA_DIR="+t.TempDir())
	return s
}

// run starts a service as a process and stops it with SIGTERM when the test ends.
func (s *split) run(name string, who topology.Service, more ...string) {
	s.t.Helper()
	p := &process{program: filepath.Join(s.bin, name), log: new(logs), ops: testkit.FreeAddress(s.t)}
	connect := s.nats.Settings(who)
	p.env = append([]string{
		"GATEHOUSE_NATS_URL=" + connect.URL, "GATEHOUSE_NATS_SEED_FILE=" + connect.SeedFile, "GATEHOUSE_NATS_REPLICAS=3",
		"GATEHOUSE_KEYS_DIR=" + s.keys, "GATEHOUSE_OPS_LISTEN=" + p.ops,
		"GATEHOUSE_OTLP_ENDPOINT=" + s.spans.url, "GATEHOUSE_TRACE_RATIO=1",
	}, more...)
	if err := p.start(); err != nil {
		s.t.Fatal(err)
	}
	s.processes[name] = p
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if !p.cmd.ProcessState.Success() {
			s.t.Errorf("%s: %s", name, p.cmd.ProcessState)
		}
		if s.t.Failed() {
			s.t.Logf("%s:\n%s", name, p.log)
		}
	})
}

// try calls until the reply is as wanted.
func (s *split) try(method, url, authorization, body, ifMatch string, wanted func(*http.Response, string) bool) (*http.Response, string) {
	s.t.Helper()
	var resp *http.Response
	var last string
	testkit.Until(s.t, method+" "+url+" to be answered as wanted", func() bool {
		request, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+authorization)
		request.Header.Set("Content-Type", "application/json")
		if ifMatch != "" {
			request.Header.Set("If-Match", ifMatch)
		}
		resp, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			return false
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		last = string(text)
		return wanted(resp, last)
	})
	return resp, last
}

func status(want int) func(*http.Response, string) bool {
	return func(r *http.Response, _ string) bool { return r.StatusCode == want }
}

// configure puts the lab's sites behind the gateway, as edit has changed them.
func (s *split) configure(edit func(document map[string]any)) {
	s.t.Helper()
	url := "http://" + s.admin + "/api/v1/config"
	current, _ := s.try(http.MethodGet, url, splitAdmin, "", "", status(http.StatusOK))
	wanted := suite.LabDocument(s.lab, s.gateway)
	edit(wanted)
	document, err := json.Marshal(wanted)
	if err != nil {
		s.t.Fatal(err)
	}
	s.try(http.MethodPut, url+"?wait=applied", splitAdmin, string(document), current.Header.Get("ETag"), status(http.StatusOK))
}

func TestEachServiceAsAProcess(t *testing.T) {
	t.Parallel()
	s := startSplit(t, testkit.Postgres(t, func(context.Context, string) error { return nil })) // audit migrates it
	s.configure(func(map[string]any) {})
	token, err := s.lab.Provider.MintToken(t.Context(), lab.TokenSpec{ClientID: lab.ClientID, Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	let, _ := s.try(http.MethodGet, "http://"+s.gateway+"/rest/api/2/myself", token, "", "", status(http.StatusOK))
	if let.Header.Get("X-Ausername") != "svc-api" {
		t.Errorf("served as %q", let.Header.Get("X-Ausername"))
	}
	refused, _ := s.try(http.MethodGet, "http://"+s.gateway+"/rest/api/2/myself", "wrong", "", "", status(http.StatusUnauthorized))
	for _, resp := range []*http.Response{let, refused} {
		id := resp.Header.Get("X-Gatehouse-Request-Id")
		s.try(http.MethodGet, "http://"+s.admin+"/api/v1/audit/events?request_id="+id, splitAdmin, "", "",
			func(r *http.Response, body string) bool {
				return r.StatusCode == http.StatusOK && strings.Contains(body, id)
			})
	}
	for name, p := range s.processes {
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			resp, body := s.try(http.MethodGet, "http://"+p.ops+path, "", "", "", status(http.StatusOK))
			if path == "/metrics" && !strings.Contains(body, "go_goroutines") {
				t.Errorf("%s%s: %s %.200s", name, path, resp.Status, body)
			}
		}
		for line := range strings.Lines(p.log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s logs %q, which is no JSON", name, line)
			}
		}
	}
	s.spans.wantOneTrace(t, "gatehouse-gateway", "gatehouse-introspection")
}

// spans is an OpenTelemetry collector that remembers which service saw which trace.
type spans struct {
	url string
	mu  sync.Mutex
	// services by trace id
	traces map[string]map[string]bool
}

func newSpans(t testing.TB) *spans {
	c := &spans{traces: map[string]map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil {
			t.Errorf("spans: %v", err)
			return
		}
		c.add(&export)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *spans) add(export *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := fmt.Sprintf("%x", span.GetTraceId())
				if c.traces[id] == nil {
					c.traces[id] = map[string]bool{}
				}
				c.traces[id][service] = true
			}
		}
	}
}

// wantOneTrace waits until one trace was seen by all of the services.
func (c *spans) wantOneTrace(t testing.TB, services ...string) {
	t.Helper()
	testkit.Until(t, fmt.Sprint("a trace that was seen by ", services), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, seen := range c.traces {
			if !slices.ContainsFunc(services, func(s string) bool { return !seen[s] }) {
				return true
			}
		}
		return false
	})
}
