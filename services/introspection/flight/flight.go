// Package flight makes one call for all who want to know the same at the same time.
package flight

import (
	"context"
	"sync"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"
)

// Life is that of the shared calls: they outlive the caller who began them, but not the service.
type Life struct {
	Context context.Context //nolint:containedctx // the parent of every shared call

	mu    sync.Mutex
	ended bool
	calls sync.WaitGroup
}

// Begin counts a call in; false when the service has ended. Who began must call Done.
func (l *Life) Begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.calls.Add(1)
	}
	return !l.ended
}

// Done counts a call out.
func (l *Life) Done() { l.calls.Done() }

// End lets no call begin any more and waits for those under way.
func (l *Life) End() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.calls.Wait()
}

// Group makes one call for all who want to know the same at the same time. A call does not end with the caller who
// happened to be first, but with the service.
type Group[V any] struct {
	Life  *Life
	group singleflight.Group
}

// Start begins a call, or joins the one that is under way for the key.
func (f *Group[V]) Start(first context.Context, k [32]byte, call func(context.Context) (V, error)) <-chan singleflight.Result {
	return f.group.DoChan(string(k[:]), func() (any, error) {
		if !f.Life.Begin() {
			return nil, fault.New(fault.Unavailable, "this service is ending")
		}
		defer f.Life.Done()
		return call(trace.ContextWithSpan(f.Life.Context, trace.SpanFromContext(first)))
	})
}

// Do starts a call and waits for it until ctx ends; late is the fault then.
func (f *Group[V]) Do(ctx context.Context, k [32]byte, late string, call func(context.Context) (V, error)) (v V, _ error) {
	select {
	case r := <-f.Start(ctx, k, call):
		v, _ = r.Val.(V)
		return v, r.Err
	case <-ctx.Done():
		return v, fault.Wrap(fault.Unavailable, late, ctx.Err())
	}
}
