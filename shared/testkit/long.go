package testkit

import "testing"

// Long marks a test that takes seconds by its nature: real time-outs, elections, something that is killed. `make test` runs it, and
// `make short` does not.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds: make test runs it")
	}
}
