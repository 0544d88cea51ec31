package introspection

import (
	"context"
	"sync"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"
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

// flights makes one call for all who want to know the same at the same time. A call does not end with the caller who
// happened to be first, but with the service.
type flights[V any] struct {
	life  *life
	group singleflight.Group
}

// start begins a call, or joins the one that is under way for the key.
func (f *flights[V]) start(first context.Context, k key, call func(context.Context) (V, error)) <-chan singleflight.Result {
	return f.group.DoChan(string(k[:]), func() (any, error) {
		if !f.life.begin() {
			return nil, fault.New(fault.Unavailable, "this service is ending")
		}
		defer f.life.done()
		return call(trace.ContextWithSpan(f.life.ctx, trace.SpanFromContext(first)))
	})
}

// do starts a call and waits for it until ctx ends; late is the fault then.
func (f *flights[V]) do(ctx context.Context, k key, late string, call func(context.Context) (V, error)) (v V, _ error) {
	select {
	case r := <-f.start(ctx, k, call):
		v, _ = r.Val.(V)
		return v, r.Err
	case <-ctx.Done():
		return v, fault.Wrap(fault.Unavailable, late, ctx.Err())
	}
}
