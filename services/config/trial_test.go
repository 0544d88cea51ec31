package config

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"
)

const (
	siteWithTests = `{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],"token_creation":true,
		"tests":[{"name":"strangers stay out","type":"none","expect":"deny"}]}]}`
	siteWithoutTests = `{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],"token_creation":true}]}`
)

// TestWithoutAGatewayNothingIsTried: a trial is 503, and a test that could not be tried before either holds up no change.
func TestWithoutAGatewayNothingIsTried(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	i.put(siteWithoutTests).changed()
	if r := i.call(http.MethodPost, "sites/jira/test-token", `{"type":"none"}`); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "no gateway is there") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := i.put(siteWithTests); r.status != http.StatusConflict || !strings.Contains(r.body, "tests_failed") || !strings.Contains(r.body, "cannot be tried") {
		t.Errorf("a new test: %d %s", r.status, r.body)
	}
	i.call(http.MethodPut, "config?force=tests", siteWithTests, "If-Match", "*").changed()
	out := i.put(strings.Replace(siteWithTests, `"token_creation":true`, `"token_creation":false`, 1)).changed()
	if !slices.ContainsFunc(out.Warnings, func(p fault.Problem) bool { return p.Path == "sites[0].tests[0]" }) {
		t.Errorf("%+v", out.Warnings)
	}
	for query, status := range map[string]int{"force=x": 400, "force=fork,x": 400, "force=": 400, "force=tests,fork": 200} {
		if r := i.call(http.MethodPut, "config?"+query, siteWithTests, "If-Match", "*"); r.status != status {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

// TestOnlyAdminsTry: a trial can send secrets that are kept to where a draft says.
func TestOnlyAdminsTry(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	i.put(siteWithoutTests).changed()
	for _, role := range []string{"auditor", "token-manager"} {
		_, bearer := i.issue(role, role, "")
		if r := i.call(http.MethodPost, "sites/jira/test-token", `{"type":"none"}`, "Authorization", bearer); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", role, r.status, r.body)
		}
	}
}

// TestATestThatIsNotTriedInTimeFails, and the change is refused while there is time to say so.
func TestATestThatIsNotTriedInTimeFails(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.TestsTimeout = 300 * time.Millisecond }).ready()
	server, err := ask.NewServer(t.Context(), n.Connect(t, topology.Gateway), testkit.Logger(t), noop.NewTracerProvider().Tracer(""), ask.Settings{Name: "gateway", Version: "0.0.0", Queue: topology.QueueGateway})
	if err != nil {
		t.Fatal(err)
	}
	err = ask.Handle(server, "trial", topology.CallTrial, func(ctx context.Context, _ *gatewayv1.TrialRequest) (proto.Message, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	if r := i.put(siteWithTests); r.status != http.StatusConflict || !strings.Contains(r.body, "in time") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
