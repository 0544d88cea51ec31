package testkit_test

import (
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// TestNoAddressIsGivenTwice takes so many that chance alone would give about fifteen of them twice. A lock is held
// against its own process as it is against another.
func TestNoAddressIsGivenTwice(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 600 {
		a := testkit.FreeAddress(t)
		if given[a] {
			t.Errorf("%s was given twice", a)
		}
		given[a] = true
	}
}
