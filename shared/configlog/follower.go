package configlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// Snapshot is the configuration at one State, frozen: nobody ever changes what it points to.
type Snapshot struct {
	State eventlog.State
	Folded
}

// Options of a Follower. All are optional.
type Options struct {
	// Start is where to go on from, e.g. what a gateway had written to a file; nil: the empty log. It is
	// published at once, before the log was ever reached.
	Start *Snapshot
	// OnSnapshot is called with each new Snapshot before it is published, but not with Start; an error keeps the
	// last one, and the call is repeated, with what is newest by then, at the next check of the log.
	OnSnapshot func(context.Context, *Snapshot) error
	// OnCommit is called for each commit once it is folded, in order. The facts are not its to change: the
	// Snapshot shares their lists.
	OnCommit func(eventlog.Commit, *configv1.Commit, []proto.Message)
	// Repair and Retry are those of an eventlog.Tail.
	Repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	Retry  time.Duration
}

// Follower keeps the last good Snapshot of the configuration log behind one atomic pointer.
type Follower struct {
	tail    *eventlog.Tail
	opts    Options
	folded  Folded // only Run's goroutine touches it
	current atomic.Pointer[Snapshot]
}

// NewFollower gives a follower of events; Run makes it follow.
func NewFollower(log *slog.Logger, events *eventlog.Log, opts Options) *Follower {
	f := &Follower{opts: opts}
	tail := eventlog.TailOptions{Name: "configuration", Apply: f.apply, Publish: f.publish, Repair: opts.Repair, Retry: opts.Retry}
	if opts.Start != nil {
		tail.Start, f.folded = &opts.Start.State, opts.Start.Folded
		f.current.Store(opts.Start)
	}
	f.tail = eventlog.NewTail(log, events, tail)
	return f
}

// Snapshot gives the last good Snapshot, or nil when none was ever loaded. It costs one atomic load.
func (f *Follower) Snapshot() *Snapshot { return f.current.Load() }

// Changed gives a channel that is closed at the next change.
func (f *Follower) Changed() <-chan struct{} { return f.tail.Changed() }

// Status tells how following goes.
func (f *Follower) Status() eventlog.Status { return f.tail.Status() }

// AtLeast gives the Snapshot once it has reached a sequence, or ctx's error. AtLeast(ctx, 0) waits for the
// first.
func (f *Follower) AtLeast(ctx context.Context, seq uint64) (*Snapshot, error) {
	if err := f.tail.Reached(ctx, seq); err != nil {
		return nil, fmt.Errorf("wait for configuration %d: %w", seq, err)
	}
	return f.current.Load(), nil
}

// Run follows the log until ctx ends; see the package comment for what it does when the log is away or broken.
func (f *Follower) Run(ctx context.Context) { f.tail.Run(ctx) }

// apply folds one commit: all of it or nothing.
func (f *Follower) apply(c eventlog.Commit) error {
	commit, facts, err := Decode(c.Data)
	if err != nil {
		return err
	}
	next := f.folded.freeze()
	for _, fact := range facts {
		if err := next.Fold(fact); err != nil {
			return err
		}
	}
	f.folded = next
	if f.opts.OnCommit != nil {
		f.opts.OnCommit(c, commit, facts)
	}
	return nil
}

// publish makes what is folded the Snapshot.
func (f *Follower) publish(ctx context.Context, at eventlog.State) error {
	s := &Snapshot{State: at, Folded: f.folded}
	if f.opts.OnSnapshot != nil {
		if err := f.opts.OnSnapshot(ctx, s); err != nil {
			return err
		}
	}
	f.current.Store(s)
	return nil
}
