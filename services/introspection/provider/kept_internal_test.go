package provider

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// TestWhatCrashesWhoReadsItEndsNothing: it is fetched away from any request, so a panic would end the process.
func TestWhatCrashesWhoReadsItEndsNothing(t *testing.T) {
	t.Parallel()
	life := &flight.Life{Context: t.Context()}
	e, cannot := New("jira", &configlog.Provider{ID: "corp"}, Asking{kind: "custom", validation: "introspection", url: "https://h", callerAuth: "none"}, "", Options{}.WithDefaults())
	if cannot != nil {
		t.Fatal(cannot)
	}
	q := &inquiry{Via: &Via{Life: life, Log: testkit.Logger(t), Timeout: time.Second}, endpoint: e}
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
	life.End()
}
