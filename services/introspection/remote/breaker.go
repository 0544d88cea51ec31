package remote

import (
	"sync"
	"time"
)

// Breaker leaves a provider alone that does not answer.
//
//	closed ── failures different tokens failed within window, none got an answer ──> open
//	open ── pause is over, one call is let through (the probe) ──> half-open
//	half-open ── the probe got an answer, any answer ──> closed
//	half-open ── the probe failed ──> open, for twice as long, up to maxPause
//
// Different tokens, because a provider that stumbles over one token is not away, and one caller who repeats
// himself must not take it from the others. It is told what to count; see result.
type Breaker struct {
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
	token [32]byte
	at    time.Time
}

// BreakerState is what the metrics show.
type BreakerState int

// The states; a half-open one waits for its probe.
const (
	Closed BreakerState = iota
	HalfOpen
	Open
)

// NewBreaker gives one that is closed.
func NewBreaker(s Limits) *Breaker {
	return &Breaker{failures: s.BreakerFailures, window: s.BreakerWindow, pause: s.BreakerPause, maxPause: s.BreakerMaxPause}
}

// Admit tells whether a call may be made now, and whether it is the probe. Whoever is admitted must settle.
func (b *Breaker) Admit(now time.Time) (ok, probe bool) {
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

// Refuses tells whether admit would say no.
func (b *Breaker) Refuses(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero() && (now.Before(b.until) || b.probing)
}

// Settle tells what became of an admitted call.
func (b *Breaker) Settle(token [32]byte, r Reached, probe bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch r {
	case Reachable:
		b.failed, b.until, b.resting = nil, time.Time{}, 0
	case NotReached:
		if probe {
			b.open(now)
		} else if b.until.IsZero() && b.count(token, now) >= b.failures {
			b.open(now)
		}
	case Unknown:
	}
}

func (b *Breaker) open(now time.Time) {
	b.resting = min(max(2*b.resting, b.pause), b.maxPause)
	b.failed, b.until = nil, now.Add(b.resting)
}

// count gives how many different tokens failed in the window that ends now, this one included.
func (b *Breaker) count(token [32]byte, now time.Time) int {
	kept := b.failed[:0]
	for _, f := range b.failed {
		if f.token != token && now.Sub(f.at) < b.window {
			kept = append(kept, f)
		}
	}
	b.failed = append(kept, failure{token: token, at: now})
	return len(b.failed)
}

// State is what the breaker is in now.
func (b *Breaker) State(now time.Time) BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return Closed
	case now.Before(b.until):
		return Open
	default:
		return HalfOpen
	}
}
