// Package retry waits before what failed is tried again, and says how loud to be about it.
package retry

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// shortest is the first pause.
const shortest = 50 * time.Millisecond

// Pause is a pause that doubles, from 50 ms to Longest, each half to one and a half times as long by chance, so that
// many who wait for the same do not come back at once.
type Pause struct {
	Longest time.Duration

	last time.Duration
	said time.Time
}

// Reset begins with the shortest pause again.
func (p *Pause) Reset() { *p = Pause{Longest: p.Longest} }

// Level is that of a message about what is tried again: a warning at first and once a minute.
func (p *Pause) Level() slog.Level {
	if time.Since(p.said) < time.Minute {
		return slog.LevelDebug
	}
	p.said = time.Now()
	return slog.LevelWarn
}

// Wait waits until it is time to try again, or ctx has ended.
func (p *Pause) Wait(ctx context.Context) {
	p.last = min(max(2*p.last, shortest), max(p.Longest, shortest))
	Sleep(ctx, p.last/2+rand.N(p.last)) //nolint:gosec // not a secret
}

// Sleep waits for a while, or until ctx has ended.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
