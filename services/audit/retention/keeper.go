package retention

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Settings say what retention works on. Zero times mean the default.
type Settings struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Pool is of at least 4 connections: a run's, that of who watches it, and some for what is asked over HTTP.
	Pool *pgxpool.Pool
	// Policy is how long the trail is to be kept, by the configuration as it is now. The error is a fault, which says
	// why that is not known.
	Policy func() (configlog.Retention, error)
	// Active tells whether this instance reads the stream: only then it makes runs nobody asked for.
	Active func() bool
	// Trail is told what was done.
	Trail *audittrail.Recorder
	// Poll is how often to look whether it is time; default 10 s.
	Poll time.Duration
	// Patience is how long a run waits for a transaction that has read a partition that is to go; default 30 s.
	Patience time.Duration
	// Pause is how long to rest between two steps; default 5 ms.
	Pause time.Duration
	// Attempt bounds what is asked of the database but runs; default 10 s.
	Attempt time.Duration
	// Retry is the longest pause before a run that failed is made again; default 5 min.
	Retry time.Duration
}

// Keeper keeps the trail as long as asked, and no longer. It is safe for concurrent use.
type Keeper struct {
	Settings
	meters *meters
	orders chan asked
	told   chan struct{} // of one: there is something to tell the trail
	dry    chan struct{} // of one: who makes a dry run
	// crash, in tests, ends a run as kill -9 would, at a place it names.
	crash func(place string) bool

	mu       sync.Mutex
	failures int       // runs that failed one after the other
	retryAt  time.Time // not before
	view     View
}

// asked is an order of a person, who is told how it went.
type asked struct {
	order
	answer chan<- answer
}

type answer struct {
	Outcome
	err error
}

// View is how retention fares, for health.
type View struct {
	Last *Outcome   `json:"last,omitempty"` // run
	Next *time.Time `json:"next,omitempty"` // absent: none is to come
	// Trouble is why nothing can be removed, or not everything that is due; empty: all is well.
	Trouble string `json:"trouble,omitempty"`
}

// New gives a Keeper; Run makes it work.
func New(s Settings) *Keeper {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{
		{&s.Poll, 10 * time.Second},
		{&s.Patience, 30 * time.Second},
		{&s.Pause, 5 * time.Millisecond},
		{&s.Attempt, 10 * time.Second},
		{&s.Retry, 5 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.zero
		}
	}
	return &Keeper{Settings: s, meters: newMeters(s.Metrics), orders: make(chan asked), told: make(chan struct{}, 1), dry: make(chan struct{}, 1)}
}

// View gives how retention fares.
func (k *Keeper) View() View {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view
}

// Run makes the runs that are due or asked for, until ctx ends. One that is under way then ends too, and is gone on
// with by the next one.
func (k *Keeper) Run(ctx context.Context) {
	var telling sync.WaitGroup
	telling.Go(func() { k.tell(ctx) })
	defer telling.Wait()
	poll := time.NewTicker(k.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-k.orders:
			out, err := k.make(ctx, a.order)
			a.answer <- answer{out, err}
		case <-poll.C:
			k.tick(ctx)
		}
		k.wake()
	}
}

// tick makes a run when it is time.
func (k *Keeper) tick(ctx context.Context) {
	policy, err := k.Policy()
	if err == nil {
		var due bool
		if due, err = k.due(ctx, policy); err == nil && due && k.Active() {
			_, err = k.make(ctx, order{policy: policy})
			if errors.Is(err, errBusy) {
				return
			}
			if err != nil && ctx.Err() == nil { // make has said so
				return
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.view.Trouble = fault.From(unavailable(err)).Message
	case k.failures == 0:
		k.view.Trouble = ""
	}
}

// due looks at the last run, and tells whether it is time for the next.
func (k *Keeper) due(ctx context.Context, policy configlog.Retention) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, k.Attempt)
	defer cancel()
	now := time.Now()
	last, err := lastRun(ctx, k.Pool)
	never := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !never {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view.Last, k.view.Next = nil, nil
	if !never {
		k.view.Last = &last
	}
	if policy.MaxDays == 0 && policy.MaxEntries == 0 {
		return false, nil
	}
	next := now
	switch {
	case never, last.Ended == nil: // interrupted, or it runs: its lock tells
	case last.Error != "": // it is made again
	default:
		next = last.next(policy)
	}
	if k.retryAt.After(next) {
		next = k.retryAt
	}
	k.view.Next = &next
	return !next.After(now), nil
}

// next is when the run after one that ended well is due.
func (o Outcome) next(policy configlog.Retention) time.Time {
	return o.Began.Add(max(time.Duration(policy.Every), time.Second))
}

// pause is how long to wait after a run that failed.
func (k *Keeper) pause() time.Duration {
	return min(time.Second<<min(k.failures, 16), k.Retry)
}

// make makes a run and says how it went.
func (k *Keeper) make(ctx context.Context, o order) (Outcome, error) {
	began := time.Now()
	out, err := k.execute(ctx, o)
	if errors.Is(err, errBusy) {
		return out, err
	}
	k.measure(ctx, time.Since(began), err)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.failures, k.retryAt = k.failures+1, time.Now().Add(k.pause())
		k.view.Trouble = err.Error()
		k.Log.LogAttrs(ctx, slog.LevelWarn, "audit retention failed", slog.Any("error", err), slog.Int("in_a_row", k.failures))
		return out, err
	}
	k.failures, k.retryAt, k.view.Trouble, k.view.Last, k.view.Next = 0, time.Time{}, "", &out, nil
	if o.policy.MaxDays > 0 || o.policy.MaxEntries > 0 {
		next := out.next(o.policy)
		k.view.Next = &next
	}
	k.Log.LogAttrs(ctx, slog.LevelInfo, "audit retention is done", slog.Int64("run", out.ID), slog.Int64("records", out.Records),
		slog.Int64("partitions", out.Partitions), slog.Int64("held", out.Held), slog.Duration("took", time.Since(began)))
	return out, nil
}

// measure brings the metrics up to date.
func (k *Keeper) measure(ctx context.Context, took time.Duration, err error) {
	k.meters.ran(took, err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.Attempt)
	defer cancel()
	// The catalogue is exact but for the partition that is being filled, which may say an earlier time.
	var oldest *time.Time
	if err := k.Pool.QueryRow(ctx, `SELECT min(min_time) FROM audit.part WHERE rows > 0`).Scan(&oldest); err == nil && oldest != nil {
		k.meters.oldest.Set(float64(oldest.UnixMilli()) / 1000)
	}
}

// wake has the trail told what there is to tell.
func (k *Keeper) wake() {
	select {
	case k.told <- struct{}{}:
	default:
	}
}

// rest leaves the database to others for a moment.
func (r *run) rest(ctx context.Context) error {
	if r.dry {
		return ctx.Err()
	}
	return r.wait(ctx, r.Pause)
}

func (*Keeper) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// errCrash ends a run at once, in tests.
var errCrash = errors.New("crash")

// reached says how far a run has got.
func (r *run) reached(place string) error {
	if r.crash != nil && r.crash(place) {
		return errCrash
	}
	return nil
}
