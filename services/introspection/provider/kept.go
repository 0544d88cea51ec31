package provider

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// kept is something a provider publishes, its metadata or its keys. It is fetched when it is first needed; once it is older
// than fresh again, behind the back of who needs it; and it is not used any more once it is older than good. However many
// ask, it is fetched once at a time, and after a try not again for pause.
type kept[V any] struct {
	fetch              func(context.Context, *inquiry) (V, *remote.Problem)
	fresh, good, pause time.Duration

	waiting atomic.Int64

	mu     sync.Mutex
	value  V
	at     time.Time // fetched; zero: never
	tried  time.Time
	failed *remote.Problem // by the last try; nil: it did not fail
	under  chan struct{}   // closed when the try that is under way ends; nil: none is
}

// get gives what is published, and when it was fetched.
func (k *kept[V]) get(ctx context.Context, q *inquiry) (V, time.Time, *remote.Problem) {
	now := time.Now()
	k.mu.Lock()
	age := now.Sub(k.at)
	usable := !k.at.IsZero() && age < k.good
	if usable && age < k.fresh {
		defer k.mu.Unlock()
		return k.value, k.at, nil
	}
	wait := k.start(q, now)
	if usable {
		defer k.mu.Unlock()
		return k.value, k.at, nil
	}
	k.mu.Unlock()
	if p := k.wait(ctx, q, wait); p != nil {
		return *new(V), now, p
	}
	return k.last()
}

// anew gives what is published now, for who misses something in what is kept: it is fetched again, unless that was tried
// just before.
func (k *kept[V]) anew(ctx context.Context, q *inquiry) (value V, at time.Time, _ *remote.Problem) {
	k.mu.Lock()
	wait := k.start(q, time.Now())
	k.mu.Unlock()
	if p := k.wait(ctx, q, wait); p != nil {
		return value, at, p
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.at, k.failed
}

// start begins a try, or joins the one under way; nil: it is too soon for another. The caller holds mu.
func (k *kept[V]) start(q *inquiry, now time.Time) <-chan struct{} {
	if k.under != nil {
		return k.under
	}
	if now.Sub(k.tried) < k.pause || !q.Life.Begin() {
		return nil
	}
	done := make(chan struct{})
	k.under, k.tried = done, now
	go func() {
		defer q.Life.Done()
		value, p := k.fetched(q)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.under, k.failed = nil, p; p == nil {
			k.value, k.at = value, time.Now()
		}
		close(done)
	}()
	return done
}

// fetched is one fetch. What somebody publishes to crash who reads it is malformed.
func (k *kept[V]) fetched(q *inquiry) (value V, p *remote.Problem) {
	defer func() {
		if crash := recover(); crash != nil {
			q.Log.LogAttrs(q.Life.Context, slog.LevelError, "what a provider publishes crashes who reads it",
				slog.String("site", q.endpoint.Site), slog.String("provider", q.endpoint.Provider), slog.String("stack", string(debug.Stack())))
			p = &remote.Problem{Result: remote.Malformed, Text: "what it publishes cannot be read"}
		}
	}()
	return k.fetch(q.Life.Context, q)
}

// wait waits for a try to end, and no longer than one question may take. Only so many may wait: a provider that hangs must not
// hold every worker of the service.
func (k *kept[V]) wait(ctx context.Context, q *inquiry, done <-chan struct{}) *remote.Problem {
	if done == nil {
		return nil
	}
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > int64(4*q.endpoint.Gate.Size()) {
		return &remote.Problem{Result: remote.Refused, Text: "too many wait for what it publishes already"}
	}
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return remote.NotAnswered(ctx, ctx.Err())
	}
}

// last gives what is kept now, or why there is nothing.
func (k *kept[V]) last() (V, time.Time, *remote.Problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.at.IsZero() && time.Since(k.at) < k.good:
		return k.value, k.at, nil
	case k.failed != nil:
		return *new(V), k.at, k.failed
	default:
		return *new(V), k.at, &remote.Problem{Result: remote.Stopped, Text: "this service is ending"}
	}
}
