package introspection_test

import (
	"context"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

func TestARestartOfNATSIsSurvivedWithTheCache(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	p := w.provider(f.URL)
	w.site(p)
	i := w.run(nil)
	w.active("good")
	w.nats.Stop()
	if !strings.Contains(i.get("/readyz"), `"ready":true`) {
		t.Errorf("not ready while NATS is away: %s", i.get("/readyz"))
	}
	w.nats.Start(t)
	w.answered()
	w.active("good")
	if f.calls.Load() != 1 {
		t.Errorf("%d calls: the cache is gone", f.calls.Load())
	}
	p.ClientID = "another"
	w.commit(trusted("jira", p))
	w.answered() // a question that was lost with NATS may hold the follower up for two seconds
	w.active("good")
	if f.calls.Load() != 2 {
		t.Errorf("%d calls: a later commit did not arrive", f.calls.Load())
	}
}

func TestAConfigurationThatHasNotArrivedIsWaitedForAWhile(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	w.run(func(s *introspection.Settings) { s.CatchUp = 200 * time.Millisecond })
	ahead := func(by uint64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return ask.Do(ctx, w.gw, topology.Introspect, &identityv1.IntrospectRequest{Site: "jira", Token: "good", ConfigSequence: w.at.Seq + by}, new(identityv1.IntrospectReply))
	}
	began := time.Now()
	if err := ahead(1); fault.CodeOf(err) != fault.Unavailable || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := ahead(0); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := ask.Do(ctx, w.gw, topology.WhoAmI, &identityv1.WhoAmIRequest{Site: "jira", ConfigSequence: w.at.Seq + 1, Credential: &identityv1.WhoAmIRequest_Pat{Pat: "x"}}, new(identityv1.WhoAmIReply))
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("whoami: %v", err)
	}
}

func TestReadyIsWhoeverHasLoadedAConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.run(nil) // on the empty log
	testkit.Until(t, "it to be ready", func() bool {
		got := i.get("/readyz")
		return strings.Contains(got, `"ready":true`) && strings.Contains(got, `"sequence":0`)
	})
}

func TestAServiceMayStartBeforeNATS(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	w.nats.Stop()
	i := w.start(nil)
	if got := i.get("/readyz"); strings.Contains(got, `"introspection":{"ready":true`) {
		t.Errorf("ready without a configuration: %s", got)
	}
	w.nats.Start(t)
	w.answered()
	w.active("good")
}

func TestAServiceMayStartAgainInItsProcess(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	i := w.run(nil)
	w.active("good")
	for range 2 {
		if err := i.stop(); err != nil {
			t.Fatal(err)
		}
		i = w.startIn(i.process, nil)
		w.answered()
		w.active("good")
	}
	if f.calls.Load() != 3 { // every process has its own key, and what it knew is gone with it
		t.Errorf("%d calls", f.calls.Load())
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[introspection.Settings]([]string{
		"GATEHOUSE_NATS_URL=nats://n", "GATEHOUSE_DATA_DIR=/d", "GATEHOUSE_PROVIDER_CALL_TIMEOUT=3s", "GATEHOUSE_CACHE_ACTIVE_ENTRIES=7",
	})
	if err != nil || s.URL != "nats://n" || s.DataDir != "/d" || s.CallTimeout != 3*time.Second || s.ActiveEntries != 7 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWithoutItsKeyTheServiceDoesNotStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := &instance{logs: &logBuffer{}}
	err := introspection.Run(t.Context(), newProcess(i.logs, nil).Host("introspection", ""), introspection.Settings{Settings: w.nats.Settings(topology.Introspection), KeysDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "introspection.age") {
		t.Errorf("got %v", err)
	}
}
