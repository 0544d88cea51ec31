package introspection

import (
	"context"
	"sync"
)

// life is that of the shared calls: they outlive the caller who began them, but not the service.
type life struct {
	ctx context.Context //nolint:containedctx // the parent of every shared call

	mu    sync.Mutex
	ended bool
	calls sync.WaitGroup
}

// begin counts a call in; false when the service has ended. Who began must call done.
func (l *life) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.calls.Add(1)
	}
	return !l.ended
}

func (l *life) done() { l.calls.Done() }

// end lets no call begin any more and waits for those under way.
func (l *life) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.calls.Wait()
}
