package logcopy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/retry"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
)

// Options of a copy; all are needed.
type Options struct {
	Log       *slog.Logger
	JetStream jetstream.JetStream
	Pool      *pgxpool.Pool
	// Of is what is copied, and Events reads it.
	Of     Log
	Events *eventlog.Log
	// Repair gives commits behind a place that the log's stream no longer has; nil: nobody can.
	Repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	// Attempt bounds a request to NATS, Transaction one in Postgres.
	Attempt, Transaction time.Duration
	// Retry is the longest pause before what was away is tried again.
	Retry time.Duration
	// Resend is how long to wait for a record to be in the trail before it is sent again.
	Resend time.Duration
}

// Copy follows a log from where the second copy ends, stores every commit with the record it makes for
// the trail, and sends the records. Only the active consumer runs it.
type Copy struct {
	o      Options
	status status

	past    past
	waiting []eventlog.Commit // read, not stored
	bytes   int               // of waiting
	outbox  outbox
	bucket  bucket
}

const (
	storeCommits = 256     // stored at once
	storeBytes   = 4 << 20 // as much is waited for before they are stored
)

// New gives a copy that does nothing until Run.
func New(o Options) *Copy { return &Copy{o: o} }

// errOtherHistory says that the log holds another history than the one that was copied last.
var errOtherHistory = errors.New("the log holds another history than its copy")

// Run keeps the copy until ctx ends. Whatever goes wrong is said and tried again: the log keeps everything.
func (c *Copy) Run(ctx context.Context) {
	pause := retry.Pause{Longest: c.o.Retry}
	for ctx.Err() == nil {
		began := time.Now()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil || time.Since(began) > c.o.Retry {
			pause.Reset()
		}
		if err != nil {
			c.status.away(err)
			c.o.Log.LogAttrs(ctx, pause.Level(), "a log is not copied", slog.String("log", c.o.Of.name), slog.Any("error", err))
			pause.Wait(ctx)
		}
	}
}

// follow copies what the log holds, until something goes wrong; nil: go on.
func (c *Copy) follow(ctx context.Context) error {
	c.waiting, c.bytes, c.outbox, c.bucket = nil, 0, outbox{}, bucket{}
	if err := c.load(ctx); err != nil {
		return err
	}
	if err := c.outbox.load(ctx, c); err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := c.o.Events.Follow(running, c.past.at, eventlog.Follower{
		Apply: func(commit eventlog.Commit) error { return c.take(running, commit) },
		Settled: func(eventlog.State) {
			if err := c.settled(running); err != nil {
				stop(err)
			}
		},
		Away: c.status.away,
	})
	var broken *eventlog.BrokenError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.As(err, &broken):
		return err
	}
	if stored := c.store(ctx); stored != nil { // what came before the break
		return stored
	}
	if c.o.Repair != nil && (broken.Kind == eventlog.Gap || broken.Kind == eventlog.Altered) {
		return c.mend(ctx, broken)
	}
	return c.compare(ctx, broken)
}

// take collects a commit, and stores what was collected once it is worth it.
func (c *Copy) take(ctx context.Context, commit eventlog.Commit) error {
	c.waiting = append(c.waiting, commit)
	c.bytes += len(commit.Data)
	if len(c.waiting) < storeCommits && c.bytes < storeBytes {
		return nil
	}
	return c.store(ctx)
}

// settled stores what was collected, once all the log holds is, and does what else there is to do now and then.
// Secrets come first: they were sealed before the commits that name them.
func (c *Copy) settled(ctx context.Context) error {
	var secrets error
	if c.o.Of.secrets {
		secrets = c.bucket.copy(ctx, c)
	}
	if err := c.store(ctx); err != nil {
		return err
	}
	sent := c.outbox.send(ctx, c)
	if err := errors.Join(secrets, sent); err != nil {
		return err
	}
	c.status.copied(c.past.at.Seq, true)
	return nil
}

// mend copies what config has of commits that the log no longer has.
func (c *Copy) mend(ctx context.Context, broken *eventlog.BrokenError) error {
	commits, err := c.o.Repair(ctx, c.past.at)
	if err == nil {
		_, err = eventlog.Verify(c.past.at, commits)
	}
	if err != nil || len(commits) == 0 {
		return errors.Join(broken, err)
	}
	c.waiting = commits
	if err := c.store(ctx); err != nil {
		return err
	}
	c.o.Log.LogAttrs(ctx, slog.LevelWarn, "log copied from what config has of it", slog.String("log", c.o.Of.name), slog.Uint64("to", c.past.at.Seq))
	return c.outbox.send(ctx, c)
}

// compare finds out what the log holds instead of what was copied last: a part of it, which is waited for to become
// whole again; another history that was copied before; or a new one, which is then copied from where it begins.
func (c *Copy) compare(ctx context.Context, broken *eventlog.BrokenError) error {
	known, err := c.known(ctx)
	if err != nil {
		return err
	}
	var at eventlog.State
	var stranger *eventlog.Commit
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err = c.o.Events.Follow(running, eventlog.State{}, eventlog.Follower{
		Apply: func(commit eventlog.Commit) error {
			if _, there := known[commit.Hash]; !there {
				stranger = &commit
				return errOtherHistory
			}
			at = commit.State
			return nil
		},
		Settled: func(eventlog.State) { stop(errCompared) },
		Away:    func(err error) { stop(err) },
	})
	switch {
	case stranger != nil:
		c.o.Log.LogAttrs(ctx, slog.LevelError, "a log holds another history than its copy: that stays, and the new one is copied beside it", slog.String("log", c.o.Of.name),
			slog.Uint64("common", at.Seq), slog.Uint64("copied", c.past.at.Seq))
		return c.branch(ctx, at, known[at.Hash], *stranger)
	case !errors.Is(err, errCompared):
		return fmt.Errorf("%w: %w", errOtherHistory, err)
	case at.Seq == 0:
		return broken
	}
	return c.resume(ctx, at, known[at.Hash], broken)
}

// errCompared ends a comparison that came to the end of the log.
var errCompared = errors.New("compared")

// created gives when the log's stream was made.
func (c *Copy) created(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Attempt)
	defer cancel()
	s, err := c.o.JetStream.Stream(ctx, c.o.Of.Name)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at stream %s: %w", c.o.Of.Name, err)
	}
	return s.CachedInfo().Created, nil
}
