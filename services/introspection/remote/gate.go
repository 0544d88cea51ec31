package remote

import (
	"context"
	"sync/atomic"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Gate bounds how many calls one provider, or one site's nodes, get at once, and how many wait for that: a
// provider that hangs must not hold every worker of the service.
type Gate struct {
	slots   chan struct{}
	waiting atomic.Int64
}

// NewGate lets n calls in at once.
func NewGate(n int) *Gate { return &Gate{slots: make(chan struct{}, n)} }

// Enter waits for a slot until ctx ends; who has entered must leave.
func (g *Gate) Enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > int64(4*cap(g.slots)) {
		return fault.New(fault.Unavailable, "too many calls wait already")
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "too many calls at once", ctx.Err())
	}
}

// Leave makes room for the next.
func (g *Gate) Leave() { <-g.slots }

// Inside is how many calls are being made now.
func (g *Gate) Inside() int { return len(g.slots) }

// Size is how many calls there may be at once.
func (g *Gate) Size() int { return cap(g.slots) }
