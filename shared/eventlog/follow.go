package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// Follower is what Follow calls, all from one goroutine. Apply must be set.
type Follower struct {
	// Apply takes the next commit. An error stops Follow with a *PoisonError.
	Apply func(Commit) error
	// Settled is called when all that the stream's leader is known to hold has been applied: on an empty
	// stream too, after each commit that arrives live, and at each check that finds nothing new. A leader
	// that is cut off from the other servers may take 10 s to notice that it no longer is one.
	Settled func(State)
	// Away is called when the stream cannot be reached; Settled tells that it can be again.
	Away func(error)
}

// Follow applies every commit behind from, then each as it comes, until ctx ends. It returns ctx's cause, a
// *BrokenError, a *PoisonError, or that the connection was closed; the caller keeps the last good State and
// may follow again from it.
func (l *Log) Follow(ctx context.Context, from State, f Follower) error {
	live := make(chan *nats.Msg, 64) // a message lost to a full channel is found by the next one or the next check
	sub, err := l.nc.ChanSubscribe(l.stream.Live, live)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", l.stream.Live, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	r := &run{log: l, f: f, at: from}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg := <-live:
			err = r.live(ctx, msg)
		case <-timer.C:
			err = r.check(ctx)
			timer.Reset(l.opts.Check*4/5 + rand.N(l.opts.Check*2/5)) //nolint:gosec // only to spread the load
		}
		if err != nil {
			return err
		}
	}
}

// run is one Follow under way.
type run struct {
	log     *Log
	f       Follower
	at      State
	source  source // of the stream that is known to hold at; zero: not known
	lost    doubt
	trouble bool // the last check failed
}

// live takes a republished message: at most once, in the order of one leader, so only the very next commit
// is taken from it and everything else is read from the stream.
func (r *run) live(ctx context.Context, msg *nats.Msg) error {
	c, err := parseSent(msg)
	if err == nil && c.Seq <= r.at.Seq {
		return nil // read from the stream before it came
	}
	if err == nil && c.follows(r.at) == nil {
		if err := r.apply(c); err != nil {
			return err
		}
		r.settled()
		return nil
	}
	if r.trouble {
		return nil // the next check comes by itself; a burst of messages must not become one of requests
	}
	return r.check(ctx)
}

// check holds what we have against the stream and reads what is missing. It returns only what ends Follow.
func (r *run) check(ctx context.Context) error {
	err := r.catchUp(ctx)
	r.trouble = err != nil
	if err == nil {
		r.settled()
		return nil
	}
	r.source = source{}
	var broken *BrokenError
	var poison *PoisonError
	switch {
	case errors.As(err, &broken):
		if broken.mayPass() && !r.lost.lasts(r.log.patience()) {
			return nil
		}
		return broken
	case errors.As(err, &poison):
		return poison
	case errors.Is(err, nats.ErrConnectionClosed): // for good
		return fmt.Errorf("follow %s: %w", r.log.stream.Name, err)
	}
	r.lost.clear()
	if ctx.Err() == nil && r.f.Away != nil {
		r.f.Away(err)
	}
	return nil
}

// catchUp applies what the stream holds behind us. A stream that goes on where we are proves by its next
// commit that its history is ours; one that ends there is asked for its last commit whenever it may have
// been exchanged.
func (r *run) catchUp(ctx context.Context) error {
	seen, err := r.log.look(ctx)
	if err != nil {
		return err
	}
	if seen.last < r.at.Seq {
		return rewound(r.at, seen.last)
	}
	if seen.last == r.at.Seq && seen.source != r.source {
		if err := r.log.holds(ctx, r.at); err != nil {
			return err
		}
	}
	for r.at.Seq < seen.last {
		if err := r.fetch(ctx, seen.last); err != nil {
			return err
		}
	}
	r.source = seen.source
	return nil
}

// fetch applies at least one of the commits behind us up to last, or says why not. A replica that lags or is
// damaged is no proof of anything: where it does not fit, the leader is asked.
func (r *run) fetch(ctx context.Context, last uint64) error {
	before := r.at.Seq
	batch := int(min(last-before, 512))
	err := r.log.readReplica(ctx, before+1, batch, func(c Commit) error {
		if broken := c.follows(r.at); broken != nil {
			return broken
		}
		return r.apply(c)
	})
	var poison *PoisonError
	if errors.As(err, &poison) {
		return poison
	}
	if r.at.Seq > before {
		return nil
	}
	return r.fetchLeader(ctx)
}

// fetchLeader applies the next commit from the leader, whose word is final.
func (r *run) fetchLeader(ctx context.Context) error {
	c, err := r.log.readLeader(ctx, r.at.Seq+1)
	var noCommit *unreadable
	switch {
	case errors.Is(err, errNoMessage):
		return &BrokenError{Kind: Gap, At: r.at, Seq: r.at.Seq + 1, Detail: "the leader does not hold it"}
	case errors.As(err, &noCommit):
		return &BrokenError{Kind: Altered, At: r.at, Seq: r.at.Seq + 1, Detail: err.Error()}
	case err != nil:
		return err
	}
	if broken := c.follows(r.at); broken != nil {
		return broken
	}
	return r.apply(c)
}

func (r *run) apply(c Commit) error {
	if err := r.f.Apply(c); err != nil {
		return &PoisonError{Seq: c.Seq, Err: err}
	}
	r.at = c.State
	r.lost.clear()
	return nil
}

func (r *run) settled() {
	r.lost.clear()
	if r.f.Settled != nil {
		r.f.Settled(r.at)
	}
}
