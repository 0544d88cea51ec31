package names_test

import (
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/names"
)

// What Java's toLowerCase(Locale.ENGLISH) gives.
func TestFold(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "alice": "alice", "Alice": "alice", "a-B_c.9@X": "a-b_c.9@x", "DÖRTE": "dörte",
		"ADMİN":   "admi\u0307n", // not admin
		"ADMIN":   "admin",
		"admın":   "admın",
		"ſuper":   "ſuper", // not super
		"\u212A":  "k",     // the Kelvin sign, which the products merge too
		"ΑΝΔΡΕΑΣ": "ανδρεας",
		"STRAẞE":  "straße", "straße": "straße", "strasse": "strasse",
		"ﬁ": "ﬁ",
	} {
		if got := names.Fold(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if again := names.Fold(names.Fold(name)); again != want {
			t.Errorf("%q: folded twice it is %q", name, again)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"Alice", "aLICE", true},
		{"DÖRTE", "dörte", true},
		{"", "", true},
		{"a", "", false},
		{"admİn", "admin", false},
		{"ſvc", "svc", false},
		{"admın", "admin", false},
		{"ADMIN", "admın", false},
	} {
		if names.Same(c.a, c.b) != c.same || names.Same(c.b, c.a) != c.same {
			t.Errorf("%q and %q", c.a, c.b)
		}
	}
}

func TestFoldingALowerNameCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = names.Fold("svc-api") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
