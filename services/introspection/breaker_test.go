package introspection

import (
	"testing"
	"time"
)

func newTestBreaker() *breaker {
	return newBreaker(Settings{BreakerFailures: 5, BreakerWindow: 10 * time.Second, BreakerPause: 2 * time.Second, BreakerMaxPause: 30 * time.Second})
}

// fail lets a call about token n be admitted and fail; it tells whether it was admitted.
func (b *breaker) fail(n byte, now time.Time) bool { return b.try(n, notReached, now) }

func (b *breaker) try(n byte, r reach, now time.Time) bool {
	ok, probe := b.admit(now)
	if ok {
		b.settle(key{n}, r, probe, now)
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
	b.try(9, reached, now) // an answer, any answer
	for n := range byte(4) {
		b.fail(n, now)
	}
	b.try(9, unknown, now)
	if b.state(now) != breakerClosed {
		t.Fatal("open too early")
	}
	b.fail(8, now)
	if b.state(now) != breakerOpen || !b.refuses(now) || b.fail(1, now) {
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
		if b.state(now.Add(pause-1)) != breakerOpen || b.state(now.Add(pause)) != breakerHalfOpen {
			t.Fatalf("does not pause for %v", pause)
		}
		now = now.Add(pause)
		ok, probe := b.admit(now)
		if second, _ := b.admit(now); !ok || !probe || second || !b.refuses(now) {
			t.Fatal("not exactly one probe")
		}
		b.settle(key{1}, notReached, probe, now)
	}
	now = now.Add(30 * time.Second)
	ok, probe := b.admit(now)
	b.settle(key{1}, unknown, probe, now) // a probe that came to nothing leaves room for another
	if again, _ := b.admit(now); !ok || !again {
		t.Fatal("no second probe")
	}
	b.settle(key{1}, reached, true, now)
	if b.state(now) != breakerClosed {
		t.Fatal("not closed by an answer")
	}
	open()
	if b.state(now.Add(2*time.Second)) != breakerHalfOpen {
		t.Fatal("the pause did not begin anew")
	}
}

func TestALateFailureDoesNotProlongAPause(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newTestBreaker()
	_, probe := b.admit(now)
	for n := range byte(5) {
		b.fail(n, now)
	}
	b.settle(key{77}, notReached, probe, now.Add(time.Second))
	if b.state(now.Add(2*time.Second)) != breakerHalfOpen {
		t.Fatal("prolonged")
	}
	b.settle(key{78}, reached, false, now.Add(time.Second)) // while a late answer proves that it is there
	if b.state(now.Add(time.Second)) != breakerClosed {
		t.Fatal("not closed")
	}
}
