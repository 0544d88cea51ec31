package config

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
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
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	i.put(siteWithoutTests).changed()
	if r := i.call(http.MethodPost, "sites/jira/test-token", `{"type":"none"}`); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "no introspection service is there") {
		t.Errorf("%d %s", r.status, r.body)
	}
	takesDrafts(t, n)
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

// takesDrafts stands in for introspection as far as drafts go.
func takesDrafts(t *testing.T, n *testkit.NATS) {
	t.Helper()
	answers(t, n, topology.Introspection, topology.QueueIntrospection, topology.Draft, func(context.Context, *identityv1.Draft) (proto.Message, error) {
		return &identityv1.DraftReply{Ticket: []byte("x")}, nil
	})
}

func answers[Req any, PReq interface {
	*Req
	proto.Message
}](t *testing.T, n *testkit.NATS, as topology.Service, queue, subject string, with func(context.Context, PReq) (proto.Message, error)) {
	t.Helper()
	server, err := ask.NewServer(t.Context(), n.Connect(t, as), testkit.Logger(t), noop.NewTracerProvider().Tracer(""), ask.Settings{Name: "test", Version: "0.0.0", Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	if err := ask.Handle(server, "test", subject, with); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
}

// TestATestThatFailsOtherwiseIsBroken, whatever was wrong before; and so is one that takes too long with the change and without.
func TestATestThatFailsOtherwiseIsBroken(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.TestsTimeout = 500 * time.Millisecond }).ready()
	takesDrafts(t, n)
	var hangs atomic.Bool
	answers(t, n, topology.Gateway, topology.QueueGateway, topology.CallTrial, func(ctx context.Context, r *gatewayv1.TrialRequest) (proto.Message, error) {
		if hangs.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if strings.Contains(string(r.GetDraft().GetSite()), `"token_creation":true`) {
			return &gatewayv1.TrialReply{Decision: "deny", Reason: "provider_unavailable", Status: 503, Row: "10 who is it"}, nil
		}
		return &gatewayv1.TrialReply{Decision: "deny", Reason: "oauth_disabled", Status: 401, Row: "9 switches"}, nil
	})
	expects := func(what string) string {
		return strings.Replace(siteWithTests, `"expect":"deny"`, `"expect":"`+what+`"`, 1)
	}
	if r := i.put(expects("deny")); r.status != http.StatusConflict {
		t.Errorf("something that is away proves no rule: %d %s", r.status, r.body)
	}
	i.call(http.MethodPut, "config?force=tests", expects("allow"), "If-Match", "*").changed()
	i.put(strings.Replace(expects("allow"), `"product":"jira"`, `"product":"jira","mode":"observe"`, 1)).changed() // as before: provider_unavailable
	if r := i.put(strings.Replace(expects("allow"), `"token_creation":true`, `"token_creation":false`, 1)); r.status != http.StatusConflict || !strings.Contains(r.body, "oauth_disabled") {
		t.Errorf("another failure: %d %s", r.status, r.body)
	}
	hangs.Store(true)
	if r := i.put(expects("allow")); r.status != http.StatusConflict || !strings.Contains(r.body, "in time") {
		t.Errorf("too long with the change and without: %d %s", r.status, r.body)
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
	takesDrafts(t, n)
	answers(t, n, topology.Gateway, topology.QueueGateway, topology.CallTrial, func(ctx context.Context, _ *gatewayv1.TrialRequest) (proto.Message, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if r := i.put(siteWithTests); r.status != http.StatusConflict || !strings.Contains(r.body, "in time") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// TestWhileTestsRunOthersChange the configuration; then the tests have proved nothing: they run again on what there is now, or
// the change is refused when it was meant for what there was.
func TestWhileTestsRunOthersChange(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	takesDrafts(t, n)
	var tried atomic.Int32
	running, goOn := make(chan struct{}), make(chan struct{})
	answers(t, n, topology.Gateway, topology.QueueGateway, topology.CallTrial, func(context.Context, *gatewayv1.TrialRequest) (proto.Message, error) {
		tried.Add(1)
		running <- struct{}{}
		<-goOn
		return &gatewayv1.TrialReply{Decision: "deny", Reason: "anonymous_denied", Status: 401, Row: "10 who is it"}, nil
	})
	first := i.put(siteWithoutTests).changed()
	for _, c := range []struct {
		match         string
		tries, status int
	}{{first.ETag, 1, http.StatusPreconditionFailed}, {"*", 2, http.StatusOK}} {
		tried.Store(0)
		done := make(chan reply, 1)
		go func() { done <- i.call(http.MethodPut, "config", siteWithTests, "If-Match", c.match) }()
		<-running
		i.issue("while-"+strconv.Itoa(c.tries), "auditor", "") // another has its turn
		for range c.tries - 1 {
			goOn <- struct{}{}
			<-running
		}
		goOn <- struct{}{}
		if r := <-done; r.status != c.status || int(tried.Load()) != c.tries {
			t.Errorf("%s: tried %d times, %d %s", c.match, tried.Load(), r.status, r.body)
		}
	}
}

// TestWhatCannotBeIsNotTried: a change that is refused all the same has no gateway send anything.
func TestWhatCannotBeIsNotTried(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.levelOf = func(proto.Message) uint32 { return 9 } }).ready()
	takesDrafts(t, n)
	var tried atomic.Int32
	answers(t, n, topology.Gateway, topology.QueueGateway, topology.CallTrial, func(context.Context, *gatewayv1.TrialRequest) (proto.Message, error) {
		tried.Add(1)
		return nil, errors.New("asked")
	})
	beats(t, n, "old", eventlog.State{}, 1)
	i.lists("old live applied")
	if r := i.put(siteWithTests); r.status != http.StatusConflict || !strings.Contains(r.body, "gateways_too_old") || tried.Load() > 0 {
		t.Errorf("tried %d times: %d %s", tried.Load(), r.status, r.body)
	}
}
