package remote

import (
	"testing"
	"time"
)

func newTestBreaker() *Breaker {
	return NewBreaker(Limits{BreakerFailures: 5, BreakerWindow: 10 * time.Second, BreakerPause: 2 * time.Second, BreakerMaxPause: 30 * time.Second})
}

// fail lets a call about token n be admitted and fail; it tells whether it was admitted.
func (b *Breaker) fail(n byte, now time.Time) bool { return b.try(n, NotReached, now) }

func (b *Breaker) try(n byte, r Reached, now time.Time) bool {
	ok, probe := b.Admit(now)
	if ok {
		b.Settle([32]byte{n}, r, probe, now)
	}
	return ok
}

func TestOnlyDifferentTokensInOneWindowOpenABreaker(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newTestBreaker()
	for range 50 {
		b.fail(1, now) // one token, however often
	}
	for n := range byte(20) {
		now = now.Add(3 * time.Second) // four in any window
		b.fail(n, now)
	}
	now = now.Add(10 * time.Second)
	for n := range byte(4) {
		b.fail(n, now)
	}
	b.try(9, Reachable, now) // an answer, any answer
	for n := range byte(4) {
		b.fail(n, now)
	}
	b.try(9, Unknown, now)
	if b.State(now) != Closed {
		t.Fatal("open too early")
	}
	b.fail(8, now)
	if b.State(now) != Open || !b.Refuses(now) || b.fail(1, now) {
		t.Fatal("not open")
	}
}

func TestAProbeClosesABreakerOrDoublesItsPause(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newTestBreaker()
	open := func() {
		for n := range byte(5) {
			b.fail(n, now)
		}
	}
	open()
	for _, pause := range []time.Duration{2, 4, 8, 16, 30, 30} {
		pause *= time.Second
		if b.State(now.Add(pause-1)) != Open || b.State(now.Add(pause)) != HalfOpen {
			t.Fatalf("does not pause for %v", pause)
		}
		now = now.Add(pause)
		ok, probe := b.Admit(now)
		if second, _ := b.Admit(now); !ok || !probe || second || !b.Refuses(now) {
			t.Fatal("not exactly one probe")
		}
		b.Settle([32]byte{1}, NotReached, probe, now)
	}
	now = now.Add(30 * time.Second)
	ok, probe := b.Admit(now)
	b.Settle([32]byte{1}, Unknown, probe, now) // a probe that came to nothing leaves room for another
	if again, _ := b.Admit(now); !ok || !again {
		t.Fatal("no second probe")
	}
	b.Settle([32]byte{1}, Reachable, true, now)
	if b.State(now) != Closed {
		t.Fatal("not closed by an answer")
	}
	open()
	if b.State(now.Add(2*time.Second)) != HalfOpen {
		t.Fatal("the pause did not begin anew")
	}
}

func TestALateFailureDoesNotProlongAPause(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newTestBreaker()
	_, probe := b.Admit(now)
	for n := range byte(5) {
		b.fail(n, now)
	}
	b.Settle([32]byte{77}, NotReached, probe, now.Add(time.Second))
	if b.State(now.Add(2*time.Second)) != HalfOpen {
		t.Fatal("prolonged")
	}
	b.Settle([32]byte{78}, Reachable, false, now.Add(time.Second)) // while a late answer proves that it is there
	if b.State(now.Add(time.Second)) != Closed {
		t.Fatal("not closed")
	}
}
