package configlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	// Repair gets the commits behind a State from elsewhere than the stream, when the stream is broken. The
	// chain shows that they continue our history, not that they are the ones that were lost: for that whoever
	// gives them is believed, until the stream goes on and either fits behind them or not.
	Repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	// Retry is how long to wait before a broken or blocked log is tried again; default 1 s.
	Retry time.Duration
}

// Follower keeps the last good Snapshot of the configuration log behind one atomic pointer.
type Follower struct {
	events *eventlog.Log
	log    *slog.Logger
	opts   Options

	// Only Run's goroutine touches these.
	at      eventlog.State
	folded  Folded
	refused string // what was said last of a repair that did not fit

	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	changed chan struct{} // closed at each new Snapshot
	status  Status
}

// Status is how following goes.
type Status struct {
	// HeardAt is when the Snapshot was last known to be all the log holds; zero: never in this process. It
	// stands still while the log is away, broken or blocked.
	HeardAt time.Time `json:"heard_at"`
	// BlockedAt is the sequence of a commit that cannot be applied; 0: none.
	BlockedAt uint64 `json:"blocked_at"`
	// Trouble is what is wrong, in one line; empty: nothing.
	Trouble string `json:"trouble"`
}

// NewFollower gives a follower of events; Run makes it follow.
func NewFollower(log *slog.Logger, events *eventlog.Log, opts Options) *Follower {
	if opts.Retry <= 0 {
		opts.Retry = time.Second
	}
	f := &Follower{events: events, log: log, opts: opts, changed: make(chan struct{})}
	if opts.Start != nil {
		f.at, f.folded = opts.Start.State, opts.Start.Folded
		f.current.Store(opts.Start)
	}
	return f
}

// Snapshot gives the last good Snapshot, or nil when none was ever loaded. It costs one atomic load.
func (f *Follower) Snapshot() *Snapshot { return f.current.Load() }

// Status tells how following goes.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// AtLeast gives the Snapshot once it has reached a sequence, or ctx's error. AtLeast(ctx, 0) waits for the
// first.
func (f *Follower) AtLeast(ctx context.Context, seq uint64) (*Snapshot, error) {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if s := f.current.Load(); s != nil && s.State.Seq >= seq {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for configuration %d: %w", seq, ctx.Err())
		}
	}
}

// Run follows the log until ctx ends; see the package comment for what it does when the log is away or broken.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.events.Follow(ctx, f.at, eventlog.Follower{
			Apply:   f.apply,
			Settled: func(eventlog.State) { f.settled(ctx) },
			Away:    func(err error) { f.trouble(ctx, err, 0) },
		})
		if ctx.Err() != nil {
			return
		}
		if f.stopped(ctx, err) {
			continue
		}
		timer := time.NewTimer(f.opts.Retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// stopped deals with what ended Follow, and tells whether a repair has brought us on. What was folded before that is
// good, and newer than the Snapshot, so it is published. Where there is none yet it is not: nobody knows how old a
// configuration is that has never been read to the end of the log, and who has none lets nobody in.
func (f *Follower) stopped(ctx context.Context, err error) (repaired bool) {
	var blockedAt uint64
	var poison *eventlog.PoisonError
	if errors.As(err, &poison) {
		blockedAt = poison.Seq
	}
	if f.current.Load() != nil {
		if refused := f.publish(ctx); refused != nil {
			err = fmt.Errorf("%w; %w", err, refused)
		}
	}
	f.trouble(ctx, err, blockedAt)
	return poison == nil && f.repair(ctx)
}

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
	f.folded, f.at = next, c.State
	if f.opts.OnCommit != nil {
		f.opts.OnCommit(c, commit, facts)
	}
	return nil
}

// settled publishes what was folded, if it is new, and notes that the log was heard.
func (f *Follower) settled(ctx context.Context) {
	heardAt := time.Now() // publishing takes its time
	if err := f.publish(ctx); err != nil {
		f.trouble(ctx, err, f.at.Seq)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.Trouble != "" {
		f.log.LogAttrs(ctx, slog.LevelInfo, "configuration log followed again", slog.Uint64("sequence", f.at.Seq))
	}
	f.status = Status{HeardAt: heardAt}
}

// publish makes what is folded the Snapshot, unless it is already.
func (f *Follower) publish(ctx context.Context) error {
	if last := f.current.Load(); last != nil && last.State == f.at {
		return nil
	}
	s := &Snapshot{State: f.at, Folded: f.folded}
	if f.opts.OnSnapshot != nil {
		if err := f.opts.OnSnapshot(ctx, s); err != nil {
			return fmt.Errorf("take configuration %d: %w", s.State.Seq, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current.Store(s)
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

// trouble notes what is wrong, and logs it once.
func (f *Follower) trouble(ctx context.Context, err error, blockedAt uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := err.Error()
	if f.status.Trouble != text {
		f.log.LogAttrs(ctx, slog.LevelWarn, "configuration log cannot be followed", slog.Any("error", err), slog.Uint64("at", f.at.Seq))
	}
	f.status.Trouble, f.status.BlockedAt = text, blockedAt
}

// repair goes on from a broken stream with what Options.Repair has, and tells whether it had anything.
func (f *Follower) repair(ctx context.Context) bool {
	if f.opts.Repair == nil {
		return false
	}
	commits, err := f.opts.Repair(ctx, f.at)
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelDebug, "no repair", slog.Any("error", err))
		return false
	}
	if _, err := eventlog.Verify(f.at, commits); err != nil {
		if f.refused != err.Error() { // it will be offered again and again
			f.log.LogAttrs(ctx, slog.LevelError, "what was offered as a repair does not continue the history", slog.Any("error", err))
		}
		f.refused = err.Error()
		return false
	}
	before := f.at
	for _, c := range commits {
		if err := f.apply(c); err != nil {
			f.trouble(ctx, &eventlog.PoisonError{Seq: c.Seq, Err: err}, c.Seq)
			break
		}
	}
	if f.at == before {
		return false
	}
	f.log.LogAttrs(ctx, slog.LevelWarn, "configuration log repaired", slog.Uint64("from", before.Seq+1), slog.Uint64("to", f.at.Seq))
	return true // published once the log goes on, or stops, behind it
}
