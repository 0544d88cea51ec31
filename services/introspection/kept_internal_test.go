package introspection

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// TestWhatCrashesWhoReadsItEndsNothing: it is fetched away from any request, so a panic would end the process.
func TestWhatCrashesWhoReadsItEndsNothing(t *testing.T) {
	t.Parallel()
	a := &asker{flights: flights[*answer]{life: &life{ctx: t.Context()}}, log: testkit.Logger(t), timeout: time.Second}
	q := &inquiry{asker: a, endpoint: newEndpoint("jira", &configlog.Provider{ID: "corp"}, Settings{}.withDefaults())}
	k := &kept[int]{fresh: time.Hour, good: time.Hour, fetch: func(context.Context, *inquiry) (int, *remote.Problem) {
		panic("the library's own")
	}}
	for range 2 {
		if _, _, p := k.get(t.Context(), q); p == nil || p.Result != remote.Malformed {
			t.Fatalf("%v", p)
		}
	}
	k.fetch = func(context.Context, *inquiry) (int, *remote.Problem) { return 7, nil }
	if v, _, p := k.get(t.Context(), q); p != nil || v != 7 {
		t.Errorf("%v, %v", v, p)
	}
	a.flights.life.end()
}
