package tokens

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Options of a Desk; zero values mean the defaults.
type Options struct {
	// Append bounds the storing of one decision; default 15 s, above an election's 6 s.
	Append time.Duration
	// CatchUp is how long to wait until this instance shows what was stored; default 2 s.
	CatchUp time.Duration
	// Allowed is asked before each decision; an error is the answer. nil: it is.
	Allowed func(context.Context) error
	// Repair and Retry are those of an eventlog.Tail.
	Repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	Retry  time.Duration
}

// Desk decides on API tokens. It is safe for concurrent use.
type Desk struct {
	log      *slog.Logger
	events   *eventlog.Log
	follower *tokenlog.Follower
	opts     Options
	turn     chan struct{} // held by who decides

	mu     sync.RWMutex
	past   []eventlog.Commit       // that of sequence n at n-1
	owners map[owner][]tokenlog.ID // what each was ever issued
}

// owner is a user of a site, by the name all its spellings have in common.
type owner struct{ site, user string }

func ownerOf(site, user string) owner { return owner{site, names.Fold(user)} }

// NewDesk gives a desk over a log; Run makes it follow.
func NewDesk(log *slog.Logger, events *eventlog.Log, opts Options) *Desk {
	opts.Append, opts.CatchUp = cmp.Or(opts.Append, 15*time.Second), cmp.Or(opts.CatchUp, 2*time.Second)
	d := &Desk{log: log, events: events, opts: opts, turn: make(chan struct{}, 1), owners: map[owner][]tokenlog.ID{}}
	d.follower = tokenlog.NewFollower(log, events, tokenlog.Options{OnCommit: d.add, Retry: opts.Retry, Repair: opts.Repair})
	return d
}

// Run follows the log until ctx ends.
func (d *Desk) Run(ctx context.Context) { d.follower.Run(ctx) }

// Reached waits until this instance has read so far, or gives ctx's error.
func (d *Desk) Reached(ctx context.Context, seq uint64) error { return d.follower.Reached(ctx, seq) }

// State gives what the log holds, as far as it was read; ok: it was read to its end once.
func (d *Desk) State() (at eventlog.State, ok bool) { return d.follower.State() }

// Status tells how following goes.
func (d *Desk) Status() eventlog.Status { return d.follower.Status() }

// add takes the next commit.
func (d *Desk) add(c eventlog.Commit, _ *configv1.Commit, facts []proto.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.past = append(d.past, c)
	for _, fact := range facts {
		if m, ok := fact.(*tokenv1.TokenIssued); ok {
			o := ownerOf(m.GetSite(), m.GetOwner())
			d.owners[o] = append(d.owners[o], tokenlog.IDOf([32]byte(m.GetSha256())))
		}
	}
}

// Since gives the commits from a sequence on, as stored. What it gives never changes.
func (d *Desk) Since(from uint64) []eventlog.Commit {
	d.mu.RLock()
	defer d.mu.RUnlock()
	from = max(from, 1)
	if from > uint64(len(d.past)) {
		return nil
	}
	return d.past[from-1:]
}

// At gives the state the log had at a sequence, and false when it was not read so far.
func (d *Desk) At(seq uint64) (eventlog.State, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case seq > uint64(len(d.past)):
		return eventlog.State{}, false
	case seq == 0:
		return eventlog.State{}, true
	default:
		return d.past[seq-1].State, true
	}
}

// By says who has something decided, and why.
type By struct {
	Who       adminauth.Admin
	Why       string
	RequestID string
}

// maxRaces is how often a decision is made anew because another instance was first.
const maxRaces = 20

// decide stores what propose says, given what there is; no facts: nothing is stored. It gives the State that holds it.
func (d *Desk) decide(ctx context.Context, by By, propose func() ([]proto.Message, error)) (eventlog.State, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return eventlog.State{}, fault.Wrap(fault.Unavailable, "no longer waited for", ctx.Err())
	}
	// From here on a client that goes away changes nothing: what was begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.opts.Append)
	defer cancel()
	for race := 1; ; race++ {
		at, err := d.attempt(ctx, by, propose)
		var conflict *eventlog.ConflictError
		if !errors.As(err, &conflict) {
			return at, err
		}
		if err := d.follower.Reached(ctx, conflict.Found.Seq); err != nil || race == maxRaces {
			return at, fault.Wrap(fault.Unavailable, "others were first, again and again; nothing was changed", cmp.Or(err, error(conflict)))
		}
	}
}

func (d *Desk) attempt(ctx context.Context, by By, propose func() ([]proto.Message, error)) (eventlog.State, error) {
	from, err := d.loaded()
	if err != nil {
		return from, err
	}
	if d.opts.Allowed != nil {
		if err := d.opts.Allowed(ctx); err != nil {
			return from, err
		}
	}
	facts, err := propose()
	if err != nil || len(facts) == 0 {
		return from, err
	}
	data, err := factlog.Encode(&configv1.Commit{
		Who: &configv1.Actor{Name: by.Who.Name, Role: by.Who.Role, Address: by.Who.Address}, Why: by.Why, At: timestamppb.Now(), RequestId: by.RequestID,
	}, facts)
	if err != nil {
		return from, err
	}
	at, err := d.events.Append(ctx, from, data)
	if err != nil {
		return from, notStored(err)
	}
	wait, cancel := context.WithTimeout(ctx, d.opts.CatchUp)
	defer cancel()
	if err := d.follower.Reached(wait, at.Seq); err != nil {
		d.log.LogAttrs(ctx, slog.LevelWarn, "a stored decision on tokens is not followed yet", slog.Uint64("sequence", at.Seq), slog.Any("error", err))
	}
	return at, nil
}

// loaded gives what the log holds, or a fault when it was never read or cannot be followed.
func (d *Desk) loaded() (eventlog.State, error) {
	at, ok := d.follower.State()
	if trouble := d.follower.Status().Trouble; trouble != "" || !ok {
		return at, fault.New(fault.Unavailable, "nothing about tokens is decided, what is there stays: "+cmp.Or(trouble, "their log is not read yet"))
	}
	return at, nil
}

// notStored says why a decision was not stored. A conflict stays what it is.
func notStored(err error) error {
	var conflict *eventlog.ConflictError
	switch {
	case errors.As(err, &conflict):
		return err
	case errors.Is(err, eventlog.ErrUnclear):
		return fault.Wrap(fault.Unavailable, "it is unclear whether it was stored: look at the list of tokens", err)
	default:
		return fault.Wrap(fault.Unavailable, "NATS does not store it; nothing was changed", err)
	}
}
