package testkit

import (
	"testing"
	"time"
)

// Until waits for what comes about in its own time: it asks again and again until reached says so, and fails the
// test after 30 s, an age on a machine that does other things too.
func Until(t testing.TB, what string, reached func() bool) {
	t.Helper()
	again, patience := time.NewTicker(2*time.Millisecond), time.NewTimer(30*time.Second)
	defer again.Stop()
	defer patience.Stop()
	for !reached() {
		select {
		case <-again.C:
		case <-patience.C:
			t.Fatalf("waited in vain for %s", what)
		case <-t.Context().Done():
			t.Fatalf("the test ended while it waited for %s", what)
		}
	}
}
