package config

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// TestALogThatWasLost: the streams are gone and so is every config instance that remembers; the gateways go on with
// what they had. Nothing is appended to the empty log, until an operator gives the old history up.
func TestALogThatWasLost(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	for k := range 3 {
		i.put(simple(k + 1)).changed()
	}
	kept := stateOf(t, i.get("config").header.Get("ETag"))
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	if err := os.RemoveAll(n.Store()); err != nil {
		t.Fatal(err)
	}
	n.Start(t)
	g := beating(t, n, "old", kept, 1)

	quick := func(s *Settings) {
		s.KeysDir, s.CatchUp, s.WaitApplied = i.keys, 200*time.Millisecond, 300*time.Millisecond
	}
	i = start(t, n, quick).ready() // an empty configuration is a loaded one
	r := i.put(simple(4)).want(http.StatusConflict)
	for _, word := range []string{"another_history", "gateway old", "3 (" + kept.Hash.String()[:12] + ")", "0 (nothing)", "backup", "force=fork"} {
		if !strings.Contains(r.body, word) {
			t.Errorf("no %s in %s", word, r.body)
		}
	}
	i.call(http.MethodPut, "config?dry_run=true", simple(4), "If-Match", "*").want(http.StatusConflict)
	i.call(http.MethodPost, "admin-tokens", `{"name":"a","role":"admin"}`).want(http.StatusConflict)
	i.lists("old live")
	i.until("it is said", func() bool {
		return strings.Contains(i.log.String(), `"level":"ERROR","msg":"a gateway has another history`)
	})
	if all := stored(t, n); len(all) != 0 {
		t.Fatalf("%d commits were stored", len(all))
	}

	i.call(http.MethodPut, "config?force=please", simple(4), "If-Match", "*").want(http.StatusBadRequest)
	for k := range 4 { // it counts beyond what the gateway has: still another history
		out := i.call(http.MethodPut, "config?force=fork&wait=applied", simple(k+1), "If-Match", "*").changed()
		if !cmp.Equal(out.Pending, []string{"old"}) {
			t.Errorf("pending %v", out.Pending)
		}
	}
	if r := i.put(simple(9)).want(http.StatusConflict); !strings.Contains(r.body, "the log has 3 (") {
		t.Error(r.body)
	}
	var body struct{ Gateways []gateways.Gateway }
	if i.get("gateways").json(&body); body.Gateways[0].Known || body.Gateways[0].Applied {
		t.Errorf("%+v", body.Gateways[0])
	}
	// The gateway begins anew, and follows the log.
	g.has(stateOf(t, i.get("config").header.Get("ETag")))
	i.changesAgain(simple(10))
	if said := strings.Count(i.log.String(), "a gateway has another history: no change is taken"); said != 1 {
		t.Errorf("it was said %d times", said)
	}
}

// TestAGatewayThatIsAhead: another instance has made what it has, and this one only learns of it.
func TestAGatewayThatIsAhead(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	one := start(t, n, func(s *Settings) { s.CatchUp = 30 * time.Second }).ready()
	two := start(t, n, func(s *Settings) { s.KeysDir, s.CatchUp = one.keys, 30*time.Second }).ready()
	g := beats(t, n, "quick", eventlog.State{}, 1)
	for k := range 20 {
		g.has(stateOf(t, one.put(simple(2*k+1)).changed().ETag))
		g.has(stateOf(t, two.put(simple(2*k+2)).changed().ETag))
	}
	if strings.Contains(one.log.String()+two.log.String(), "another history") {
		t.Error("an instance took a gateway for a stranger")
	}
}
