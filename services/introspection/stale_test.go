package introspection_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

// TestTheLastWordOfAProviderThatIsAway counts for stale_for beyond max_ttl, where the site says so, and says that it does.
func TestTheLastWordOfAProviderThatIsAway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const maxTTL, staleFor = 300 * time.Millisecond, 1500 * time.Millisecond
	w, f := newWorld(t), newFakeProvider(t)
	var ends atomic.Int64
	f.on("good-and-ends", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"active": true, "client_id": "ci", "exp": ends.Load()})
	})
	p := w.provider(f.URL)
	p.Cache.MaxTTL, p.Cache.StaleFor = configlog.Duration(maxTTL), configlog.Duration(staleFor)
	w.site(p)
	strict := p
	strict.Cache.StaleFor = 0
	w.commit(registered("strict", "jira"), trusted("strict", strict))
	i := w.run(func(s *introspection.Settings) {
		s.BreakerPause, s.BreakerMaxPause, s.StaleRecheck = 50*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	})
	ends.Store(time.Now().Unix() + 2) // within staleFor of now, or before
	said := time.Now()
	w.active("good")
	w.active("good-and-revoked")
	w.active("good-and-ends")
	if r, err := w.introspect("strict", "good"); err != nil || !r.GetActive() {
		t.Fatal(r, err)
	}
	f.on("", says(503, "text/plain", "down"))
	for _, token := range []string{"good-and-revoked", "good-and-ends"} {
		f.on(token, says(503, "text/plain", "down"))
	}
	testkit.Until(t, "max_ttl to be over", func() bool { r, err := w.introspect("jira", "good"); return err == nil && r.GetStale() })
	if d := time.Since(said); d < maxTTL {
		t.Errorf("stale after %v", d)
	}
	if r := w.active("good"); r.GetAge().AsDuration() < maxTTL || r.GetClientId() == "" {
		t.Errorf("%v", r)
	}
	testkit.Until(t, "the strict site to refuse", func() bool { _, err := w.introspect("strict", "good"); return err != nil })
	w.unavailable("good-but-new", "")
	f.on("good-and-revoked", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	testkit.Until(t, "the first answer after it is back", func() bool {
		r, err := w.introspect("jira", "good-and-revoked")
		return err == nil && !r.GetActive()
	})
	f.on("good", says(200, "text/html", "nonsense")) // it is there: what it says is no reason to go on
	w.unavailable("good", "Content-Type")
	f.on("good", says(503, "text/plain", "down"))
	testkit.Until(t, "the end of stale_for", func() bool { _, err := w.introspect("jira", "good"); return err != nil })
	if d := time.Since(said); d < maxTTL+staleFor {
		t.Errorf("it ended after %v", d)
	}
	f.on("good", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	testkit.Until(t, "nobody's question whether good was good to be asked", func() bool {
		return i.metric(t, "gatehouse_introspection_stale_rechecked_total", `provider="corp"`, `result="not_good"`) > 0
	})
	testkit.Until(t, "the log to name it", func() bool { return strings.Contains(i.logs.String(), "is not good any more") })
	if strings.Contains(i.logs.String(), "good-and-revoked") {
		t.Error("a token is in the log")
	}
	if n := i.metric(t, "gatehouse_introspection_stale_answers_total", `provider="corp"`); n < 2 {
		t.Errorf("%v stale answers counted", n)
	}
}
