package introspection

import (
	"context"
	"sync"
	"time"
)

// kept is something a provider publishes, its metadata or its keys. It is fetched when it is first needed; once it is older
// than fresh again, behind the back of who needs it; and it is not used any more once it is older than good. However many
// ask, it is fetched once at a time, and after a try not again for pause.
type kept[V any] struct {
	fetch              func(context.Context, *inquiry) (V, *problem)
	fresh, good, pause time.Duration

	mu     sync.Mutex
	value  V
	at     time.Time // fetched; zero: never
	tried  time.Time
	failed *problem      // by the last try; nil: it did not fail
	under  chan struct{} // closed when the try that is under way ends; nil: none is
}

// get gives what is published.
func (k *kept[V]) get(ctx context.Context, q *inquiry) (V, *problem) {
	now := time.Now()
	k.mu.Lock()
	age := now.Sub(k.at)
	usable := !k.at.IsZero() && age < k.good
	if usable && age < k.fresh {
		defer k.mu.Unlock()
		return k.value, nil
	}
	wait := k.start(q, now)
	if usable {
		defer k.mu.Unlock()
		return k.value, nil
	}
	k.mu.Unlock()
	if p := k.wait(ctx, wait); p != nil {
		return *new(V), p
	}
	return k.last()
}

// anew gives what is published now, for who misses something in what is kept: it is fetched again, unless that was tried
// just before.
func (k *kept[V]) anew(ctx context.Context, q *inquiry) (value V, _ *problem) {
	k.mu.Lock()
	wait := k.start(q, time.Now())
	k.mu.Unlock()
	if p := k.wait(ctx, wait); p != nil {
		return value, p
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.failed
}

// start begins a try, or joins the one under way; nil: it is too soon for another. The caller holds mu.
func (k *kept[V]) start(q *inquiry, now time.Time) <-chan struct{} {
	if k.under != nil {
		return k.under
	}
	if now.Sub(k.tried) < k.pause || !q.flights.life.begin() {
		return nil
	}
	done := make(chan struct{})
	k.under, k.tried = done, now
	go func() {
		defer q.flights.life.done()
		value, p := k.fetch(q.flights.life.ctx, q)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.under, k.failed = nil, p; p == nil {
			k.value, k.at = value, time.Now()
		}
		close(done)
	}()
	return done
}

func (k *kept[V]) wait(ctx context.Context, done <-chan struct{}) *problem {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return notAnswered(ctx, ctx.Err())
	}
}

// last gives what is kept now, or why there is nothing.
func (k *kept[V]) last() (V, *problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.at.IsZero() && time.Since(k.at) < k.good:
		return k.value, nil
	case k.failed != nil:
		return *new(V), k.failed
	default:
		return *new(V), &problem{result: resultStopped, text: "this service is ending"}
	}
}
