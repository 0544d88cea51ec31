package introspection_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

func TestFiveHundredEqualMissesAreOneCall(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	release := make(chan struct{})
	f.on("good", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		answer(w, map[string]any{"active": true})
	})
	w.site(w.provider(f.URL))
	w.run(nil)
	var callers sync.WaitGroup
	for range 500 {
		callers.Go(func() {
			if r, err := w.introspect("jira", "good"); err != nil || !r.GetActive() {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	testkit.Until(t, "a call", func() bool { return f.calls.Load() > 0 })
	w.inactive("another") // goes by, while they wait
	close(release)
	callers.Wait()
	if f.calls.Load() != 2 {
		t.Errorf("%d calls, want one for each token", f.calls.Load())
	}
}

func TestTwoServicesShareTheQuestions(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	one, two := w.run(nil), w.run(nil)
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for i := range 50 {
				if r, err := w.introspect("jira", "good-"+strconv.Itoa(n)+"-"+strconv.Itoa(i)); err != nil || !r.GetActive() {
					t.Errorf("%v, %v", r, err)
				}
			}
		})
	}
	callers.Wait()
	a := one.metric(t, "gatehouse_introspection_provider_calls_total", `result="active"`)
	b := two.metric(t, "gatehouse_introspection_provider_calls_total", `result="active"`)
	if a+b != 200 || a < 20 || b < 20 {
		t.Errorf("shared %v to %v", a, b)
	}
	r, _ := w.introspect("jira", "good-x")
	s, _ := w.introspect("jira", "good-y")
	if r.GetProviderRevision() != s.GetProviderRevision() {
		t.Error("two services do not agree on the revision")
	}
}

func TestAServiceThatEndsAnswersWhatHasCome(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	instances := []*instance{w.run(nil), w.run(nil)}
	var callers sync.WaitGroup
	var stop atomic.Bool
	var asked atomic.Int64
	for n := range 4 {
		callers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if r, err := w.introspect("jira", "good-"+strconv.Itoa(n)+"-"+strconv.Itoa(i)); err != nil || !r.GetActive() {
					t.Errorf("%v, %v", r, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for range 3 { // a rolling restart
		before := asked.Load()
		testkit.Until(t, "50 more answers", func() bool { return asked.Load() > before+50 })
		if err := instances[0].stop(); err != nil {
			t.Error(err)
		}
		instances = append(instances[1:], w.run(nil))
	}
	stop.Store(true)
	callers.Wait()
}

func TestACallerWhoLeavesDoesNotTakeTheCallAlong(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	release := make(chan struct{})
	f.on("good", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
			answer(w, map[string]any{"active": true})
		case <-r.Context().Done():
			t.Error("the call ended with the caller")
		}
	})
	w.site(w.provider(f.URL))
	i := w.run(nil)
	impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := ask.Do(impatient, w.gw, topology.Introspect, &identityv1.IntrospectRequest{Site: "jira", Token: "good"}, new(identityv1.IntrospectReply))
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the impatient one: %v", err)
	}
	var patient sync.WaitGroup
	patient.Go(func() {
		if r, err := w.introspect("jira", "good"); err != nil || !r.GetActive() {
			t.Errorf("the patient one: %v, %v", r, err)
		}
	})
	testkit.Until(t, "two lookups", func() bool { return i.metric(t, "gatehouse_introspection_cache_lookups_total", `found="no"`) >= 2 })
	close(release)
	patient.Wait()
	if f.calls.Load() != 1 {
		t.Errorf("%d calls", f.calls.Load())
	}
}

func TestOneProviderGetsSoManyCallsAtOnceAndNoMore(t *testing.T) {
	t.Parallel()
	w, f, g := newWorld(t), newFakeProvider(t), newFakeProvider(t)
	release := make(chan struct{})
	f.on("", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		answer(w, map[string]any{"active": true})
	})
	w.site(w.provider(f.URL))
	w.commit(registered("wiki", "confluence"), trusted("wiki", w.provider(g.URL)))
	i := w.run(func(s *introspection.Settings) { s.Concurrency, s.CallTimeout = 4, time.Minute })
	var callers sync.WaitGroup
	var refused, answered atomic.Int64
	for n := range 40 {
		callers.Go(func() {
			_, err := w.introspect("jira", "good-"+strconv.Itoa(n))
			switch {
			case err == nil:
				answered.Add(1)
			case fault.CodeOf(err) == fault.Unavailable && strings.Contains(err.Error(), "asked too much"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	testkit.Until(t, "a full gate", func() bool { return f.now.Load() == 4 && refused.Load() == 20 })
	if got := i.metric(t, "gatehouse_introspection_calls_in_flight", `site="jira"`); got != 4 {
		t.Errorf("%v in flight by the metrics", got)
	}
	if r, err := w.introspect("wiki", "good"); err != nil || !r.GetActive() {
		t.Errorf("another provider meanwhile: %v, %v", r, err)
	}
	close(release)
	callers.Wait()
	if f.most.Load() != 4 || answered.Load() != 20 {
		t.Errorf("at most %d at once, %d answered", f.most.Load(), answered.Load())
	}
}

func TestABreakerOpensClosesAndLeavesTheCacheAlone(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	i := w.run(func(s *introspection.Settings) { s.BreakerPause = time.Second })
	w.active("good")
	f.on("", says(503, "text/html", "down for maintenance"))
	for n := range 5 {
		w.unavailable("good-"+strconv.Itoa(n), "503")
	}
	before := f.calls.Load()
	w.unavailable("good-6", "left alone")
	w.active("good")
	if f.calls.Load() != before || i.metric(t, "gatehouse_introspection_breaker_state") != 2 {
		t.Errorf("%d calls while open", f.calls.Load()-before)
	}
	f.on("", nil)
	testkit.Until(t, "an answer", func() bool { r, err := w.introspect("jira", "good-7"); return err == nil && r.GetActive() })
	w.active("good-8")
	if f.calls.Load() != before+2 || i.metric(t, "gatehouse_introspection_breaker_state") != 0 {
		t.Errorf("%d calls when closed again", f.calls.Load()-before)
	}
	if log := i.logs.String(); strings.Count(log, "provider gave no answer") != 1 {
		t.Errorf("one trouble, logged otherwise than once:\n%s", log)
	}
}
