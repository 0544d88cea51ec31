package introspection

import (
	"sync"
	"time"
)

// breaker leaves a provider alone that does not answer.
//
//	closed ── failures different tokens failed within window, none got an answer ──> open
//	open ── pause is over, one call is let through (the probe) ──> half-open
//	half-open ── the probe got an answer, any answer ──> closed
//	half-open ── the probe failed ──> open, for twice as long, up to maxPause
//
// Different tokens, because a provider that stumbles over one token is not away, and one caller who repeats
// himself must not take it from the others. It is told what to count; see result.
type breaker struct {
	failures        int
	window          time.Duration
	pause, maxPause time.Duration

	mu      sync.Mutex
	failed  []failure // of the window, one a token, while closed
	until   time.Time // zero: closed
	resting time.Duration
	probing bool
}

type failure struct {
	token key
	at    time.Time
}

// breakerState is what the metrics show.
type breakerState int

const (
	breakerClosed breakerState = iota
	breakerHalfOpen
	breakerOpen
)

func newBreaker(s Settings) *breaker {
	return &breaker{failures: s.BreakerFailures, window: s.BreakerWindow, pause: s.BreakerPause, maxPause: s.BreakerMaxPause}
}

// admit tells whether a call may be made now, and whether it is the probe. Whoever is admitted must settle.
func (b *breaker) admit(now time.Time) (ok, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true, false
	}
	if now.Before(b.until) || b.probing {
		return false, false
	}
	b.probing = true
	return true, true
}

// refuses tells whether admit would say no.
func (b *breaker) refuses(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero() && (now.Before(b.until) || b.probing)
}

// settle tells what became of an admitted call.
func (b *breaker) settle(token key, r reach, probe bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch r {
	case reached:
		b.failed, b.until, b.resting = nil, time.Time{}, 0
	case notReached:
		if probe {
			b.open(now)
		} else if b.until.IsZero() && b.count(token, now) >= b.failures {
			b.open(now)
		}
	case unknown:
	}
}

func (b *breaker) open(now time.Time) {
	b.resting = min(max(2*b.resting, b.pause), b.maxPause)
	b.failed, b.until = nil, now.Add(b.resting)
}

// count gives how many different tokens failed in the window that ends now, this one included.
func (b *breaker) count(token key, now time.Time) int {
	kept := b.failed[:0]
	for _, f := range b.failed {
		if f.token != token && now.Sub(f.at) < b.window {
			kept = append(kept, f)
		}
	}
	b.failed = append(kept, failure{token: token, at: now})
	return len(b.failed)
}

func (b *breaker) state(now time.Time) breakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return breakerClosed
	case now.Before(b.until):
		return breakerOpen
	default:
		return breakerHalfOpen
	}
}
