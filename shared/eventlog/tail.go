package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// TailOptions say what a Tail does with a log. Apply and Publish must be set; both are called by Run's goroutine alone.
type TailOptions struct {
	// Name is the log's in what is logged, e.g. configuration.
	Name string
	// Start is what has been applied and published before, e.g. what was kept in a file; nil: nothing.
	Start *State
	// Apply takes the next commit: all of it, or nothing and an error.
	Apply func(Commit) error
	// Publish makes all that was applied what counts. An error keeps what counted before, and the call is repeated, with what is
	// newest by then, at the next check of the log.
	Publish func(context.Context, State) error
	// Repair gets the commits behind a State from elsewhere than the stream, when the stream is broken. The
	// chain shows that they continue our history, not that they are the ones that were lost: for that whoever
	// gives them is believed, until the stream goes on and either fits behind them or not.
	Repair func(context.Context, State) ([]Commit, error)
	// Retry is how long to wait before a broken or blocked log is tried again; default 1 s.
	Retry time.Duration
}

// Tail follows a log for as long as a process lives: it goes on after whatever ends Follow, and says how that goes. What was
// applied counts once all that the log is known to hold was. When the log breaks later, what is before the break counts; when
// nothing counts yet, nothing does: what was never read to its end may be of any age.
type Tail struct {
	events *Log
	log    *slog.Logger
	opts   TailOptions

	// Only Run's goroutine touches these.
	at      State
	refused string // what was said last of a repair that did not fit

	mu        sync.Mutex
	published *State        // what counts; nil: nothing yet
	changed   chan struct{} // closed when it changes
	status    Status
}

// Status is how following goes.
type Status struct {
	// HeardAt is when what counts was last known to be all the log holds; zero: never in this process. It
	// stands still while the log is away, broken or blocked.
	HeardAt time.Time `json:"heard_at"`
	// BlockedAt is the sequence of a commit that cannot be applied; 0: none.
	BlockedAt uint64 `json:"blocked_at"`
	// Trouble is what is wrong, in one line; empty: nothing.
	Trouble string `json:"trouble"`
}

// NewTail gives a tail of a log; Run makes it follow.
func NewTail(log *slog.Logger, events *Log, opts TailOptions) *Tail {
	if opts.Retry <= 0 {
		opts.Retry = time.Second
	}
	t := &Tail{events: events, log: log, opts: opts, changed: make(chan struct{})}
	if opts.Start != nil {
		start := *opts.Start
		t.at, t.published = start, &start
	}
	return t
}

// Status tells how following goes.
func (t *Tail) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Reached waits until what counts has reached a sequence, or gives ctx's error. Reached(ctx, 0) waits until anything counts.
func (t *Tail) Reached(ctx context.Context, seq uint64) error {
	for {
		t.mu.Lock()
		published, changed := t.published, t.changed
		t.mu.Unlock()
		if published != nil && published.Seq >= seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Changed gives a channel that is closed when something else counts.
func (t *Tail) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Run follows the log until ctx ends.
func (t *Tail) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.events.Follow(ctx, t.at, Follower{
			Apply:   t.apply,
			Settled: func(State) { t.settled(ctx) },
			Away:    func(err error) { t.trouble(ctx, err, 0) },
		})
		if ctx.Err() != nil {
			return
		}
		if t.stopped(ctx, err) {
			continue
		}
		timer := time.NewTimer(t.opts.Retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (t *Tail) apply(c Commit) error {
	if err := t.opts.Apply(c); err != nil {
		return err
	}
	t.at = c.State
	return nil
}

// stopped deals with what ended Follow, and tells whether a repair has brought us on.
func (t *Tail) stopped(ctx context.Context, err error) (repaired bool) {
	var blockedAt uint64
	var poison *PoisonError
	if errors.As(err, &poison) {
		blockedAt = poison.Seq
	}
	if t.counts() != nil {
		if refused := t.publish(ctx); refused != nil {
			err = both(err, refused)
		}
	}
	t.trouble(ctx, err, blockedAt)
	return poison == nil && t.repair(ctx)
}

func (t *Tail) counts() *State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published
}

// settled publishes what was applied, if it is new, and notes that the log was heard.
func (t *Tail) settled(ctx context.Context) {
	heardAt := time.Now() // publishing takes its time
	if err := t.publish(ctx); err != nil {
		t.trouble(ctx, err, t.at.Seq)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status.Trouble != "" {
		t.log.LogAttrs(ctx, slog.LevelInfo, "log followed again", slog.String("log", t.opts.Name), slog.Uint64("sequence", t.at.Seq))
	}
	t.status = Status{HeardAt: heardAt}
}

// publish makes what was applied count, unless it does already.
func (t *Tail) publish(ctx context.Context) error {
	if last := t.counts(); last != nil && *last == t.at {
		return nil
	}
	at := t.at
	if err := t.opts.Publish(ctx, at); err != nil {
		return fmt.Errorf("take %s %d: %w", t.opts.Name, at.Seq, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published = &at
	close(t.changed)
	t.changed = make(chan struct{})
	return nil
}

// trouble notes what is wrong, and logs it once.
func (t *Tail) trouble(ctx context.Context, err error, blockedAt uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := err.Error()
	if t.status.Trouble != text {
		t.log.LogAttrs(ctx, slog.LevelWarn, "log cannot be followed", slog.String("log", t.opts.Name), slog.Any("error", err), slog.Uint64("at", t.at.Seq))
	}
	t.status.Trouble, t.status.BlockedAt = text, blockedAt
}

// repair goes on from a broken stream with what Repair has, and tells whether it had anything.
func (t *Tail) repair(ctx context.Context) bool {
	if t.opts.Repair == nil {
		return false
	}
	commits, err := t.opts.Repair(ctx, t.at)
	if err != nil {
		t.log.LogAttrs(ctx, slog.LevelDebug, "no repair", slog.String("log", t.opts.Name), slog.Any("error", err))
		return false
	}
	if _, err := Verify(t.at, commits); err != nil {
		if t.refused != err.Error() { // it will be offered again and again
			t.log.LogAttrs(ctx, slog.LevelError, "what was offered as a repair does not continue the history", slog.String("log", t.opts.Name), slog.Any("error", err))
		}
		t.refused = err.Error()
		return false
	}
	before := t.at
	for _, c := range commits {
		if err := t.apply(c); err != nil {
			t.trouble(ctx, &PoisonError{Seq: c.Seq, Err: err}, c.Seq)
			break
		}
	}
	if t.at == before {
		return false
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, "log repaired", slog.String("log", t.opts.Name), slog.Uint64("from", before.Seq+1), slog.Uint64("to", t.at.Seq))
	return true // published once the log goes on, or stops, behind it
}
