package config

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// list gives the gateways as "id live applied".
func (i *instance) list() []string {
	i.t.Helper()
	var body struct{ Gateways []gateways.Gateway }
	i.get("gateways").want(http.StatusOK).json(&body)
	out := []string{}
	for _, g := range body.Gateways {
		text := g.ID
		if g.Live {
			text += " live"
		}
		if g.Applied {
			text += " applied"
		}
		out = append(out, text)
	}
	return out
}

func (i *instance) lists(wanted ...string) {
	i.t.Helper()
	i.until("gateways "+strings.Join(wanted, ", "), func() bool { return cmp.Equal(i.list(), append([]string{}, wanted...)) })
}

func TestWaitApplied(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.WaitApplied = time.Minute }).ready()
	fast, slow := beats(t, n, "fast", eventlog.State{}, 1), beats(t, n, "slow", eventlog.State{}, 1)
	i.lists("fast live applied", "slow live applied")

	first := i.put(simple(1)).changed()
	if diff := cmp.Diff([]string{"fast", "slow"}, first.Pending); diff != "" {
		t.Errorf("at once: %s", diff)
	}
	fast.has(stateOf(t, first.ETag))
	i.lists("fast live applied", "slow live")
	begun := time.Now()
	second := i.call(http.MethodPut, "config?wait=300ms", simple(1), "If-Match", "*").changed()
	if took := time.Since(begun); second.Version != 1 || took < 300*time.Millisecond || !cmp.Equal(second.Pending, []string{"slow"}) {
		t.Errorf("in vain: %+v after %s", second, took)
	}
	done := make(chan answer, 1)
	go func() { done <- i.call(http.MethodPut, "config?wait=applied", simple(1), "If-Match", "*").changed() }()
	slow.has(stateOf(t, first.ETag))
	select {
	case out := <-done:
		if len(out.Pending) != 0 {
			t.Errorf("pending %v", out.Pending)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not return when all have applied")
	}
	// The gateway signs off.
	slow.stop()
	js := n.JetStream(t, topology.Gateway)
	bucket, err := js.KeyValue(t.Context(), topology.BucketGateways)
	if err != nil {
		t.Fatal(err)
	}
	_ = js.Conn().Publish(topology.GatewayBeat("slow"), slow.now(true))
	if err := bucket.Delete(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	i.lists("fast live applied")
}

func TestSilentGateway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.GatewayLiveWithin, s.WaitApplied = time.Second, time.Minute }).ready()
	beats(t, n, "dead", eventlog.State{}, 1).stop()
	i.lists("dead applied")
	begun := time.Now()
	out := i.call(http.MethodPut, "config?wait=applied", simple(1), "If-Match", "*").changed()
	if took := time.Since(begun); took > 30*time.Second || !cmp.Equal(out.Pending, []string{"dead"}) {
		t.Errorf("%+v after %s", out, took)
	}
	// Who starts now knows it too.
	start(t, n, func(s *Settings) { s.KeysDir, s.GatewayLiveWithin = i.keys, time.Second }).ready().lists("dead")
}

func TestGatewaysTooOld(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	levels := func(f proto.Message) uint32 {
		if factlog.TypeOf(f) == "RateLimitSet" {
			return 2
		}
		return 1
	}
	i := start(t, n, func(s *Settings) { s.levelOf = levels }).ready()
	i.put(simple(1)).changed() // nobody is there to be too old
	now, err := eventlog.ParseState(strings.Trim(i.get("config").header.Get("ETag"), `"`))
	if err != nil {
		t.Fatal(err)
	}
	beats(t, n, "new", now, 2)
	old := beats(t, n, "old", now, 0) // says no level: of the first day
	i.lists("new live applied", "old live applied")
	for _, path := range []string{"config", "config?dry_run=true"} {
		r := i.call(http.MethodPut, path, simple(2), "If-Match", "*").want(http.StatusConflict)
		if !strings.Contains(r.body, "gateways_too_old") || !strings.Contains(r.body, "gateway old") {
			t.Error(r.body)
		}
	}
	i.put(strings.Replace(simple(1), `"id":"n1"`, `"id":"n2"`, 1)).changed() // of level 1
	old.stop()
	// To one that bears less silence it is gone.
	impatient := start(t, n, func(s *Settings) {
		s.levelOf, s.KeysDir, s.GatewayLiveWithin = levels, i.keys, 500*time.Millisecond
	}).ready()
	impatient.until("silence", func() bool { return impatient.put(simple(2)).status == http.StatusOK })
}

func TestMetricsAndReadiness(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	beats(t, n, "g", eventlog.State{}, 1)
	i.lists("g live applied")
	i.put(simple(1)).changed()
	i.put("{").want(http.StatusUnprocessableEntity)
	ask := func(path string) string {
		w := httptest.NewRecorder()
		i.process.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Body.String()
	}
	metrics := ask("/metrics")
	for _, line := range []string{
		`gatehouse_config_commits_total{service="config"} 1`, `gatehouse_config_refusals_total{code="422",service="config"} 1`,
		`gatehouse_config_log_sequence{service="config"} 1`, `gatehouse_config_log_trouble{service="config"} 0`,
		`gatehouse_config_gateways_live{service="config"} 1`, `gatehouse_config_gateways_listed{service="config"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s", line)
		}
	}
	if ready := ask("/readyz"); !strings.Contains(ready, `"ready":true`) || !strings.Contains(ready, `"sequence":1`) || !strings.Contains(ready, `"nats":"connected"`) {
		t.Error(ready)
	}
}
