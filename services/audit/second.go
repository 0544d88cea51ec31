package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
)

// second keeps the second copy of the configuration: it follows the log from where the copy ends, stores every commit
// with the record it makes for the trail, and sends the records. Only the active consumer runs it.
type second struct {
	log    *slog.Logger
	js     jetstream.JetStream
	pool   *pgxpool.Pool
	events *eventlog.Log
	repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	every  Intervals
	status *status

	past    past
	waiting []eventlog.Commit // read, not stored
	bytes   int               // of waiting
	outbox  outbox
	bucket  bucket
}

const (
	secondCommits = 256     // stored at once
	secondBytes   = 4 << 20 // as much is waited for before they are stored
)

// errOtherHistory says that the log holds another history than the one that was copied last.
var errOtherHistory = errors.New("the configuration log holds another history than its copy")

// run keeps the copy until ctx ends. Whatever goes wrong is said and tried again: the log keeps everything.
func (c *second) run(ctx context.Context) {
	retry := backoff{longest: c.every.Retry}
	for ctx.Err() == nil {
		began := time.Now()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil || time.Since(began) > c.every.Retry {
			retry.reset()
		}
		if err != nil {
			c.status.copyTrouble(err)
			c.log.LogAttrs(ctx, retry.level(), "configuration is not copied", slog.Any("error", err))
			retry.wait(ctx)
		}
	}
}

// follow copies what the log holds, until something goes wrong; nil: go on.
func (c *second) follow(ctx context.Context) error {
	c.waiting, c.bytes, c.outbox, c.bucket = nil, 0, outbox{}, bucket{}
	if err := c.load(ctx); err != nil {
		return err
	}
	if err := c.outbox.load(ctx, c); err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := c.events.Follow(running, c.past.at, eventlog.Follower{
		Apply: func(commit eventlog.Commit) error { return c.take(running, commit) },
		Settled: func(eventlog.State) {
			if err := c.settled(running); err != nil {
				stop(err)
			}
		},
		Away: c.status.copyTrouble,
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
	if broken.Kind == eventlog.Gap || broken.Kind == eventlog.Altered {
		return c.mend(ctx, broken)
	}
	return c.compare(ctx, broken)
}

// take collects a commit, and stores what was collected once it is worth it.
func (c *second) take(ctx context.Context, commit eventlog.Commit) error {
	c.waiting = append(c.waiting, commit)
	c.bytes += len(commit.Data)
	if len(c.waiting) < secondCommits && c.bytes < secondBytes {
		return nil
	}
	return c.store(ctx)
}

// settled stores what was collected, once all the log holds is, and does what else there is to do now and then.
// Secrets come first: they were sealed before the commits that name them.
func (c *second) settled(ctx context.Context) error {
	secrets := c.bucket.copy(ctx, c)
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
func (c *second) mend(ctx context.Context, broken *eventlog.BrokenError) error {
	commits, err := c.repair(ctx, c.past.at)
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
	c.log.LogAttrs(ctx, slog.LevelWarn, "configuration copied from what config has of it", slog.Uint64("to", c.past.at.Seq))
	return c.outbox.send(ctx, c)
}

// compare finds out what the log holds instead of what was copied last: a part of it, which is waited for to become
// whole again; another history that was copied before; or a new one, which is then copied from where it begins.
func (c *second) compare(ctx context.Context, broken *eventlog.BrokenError) error {
	known, err := c.known(ctx)
	if err != nil {
		return err
	}
	var at eventlog.State
	var stranger *eventlog.Commit
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err = c.events.Follow(running, eventlog.State{}, eventlog.Follower{
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
		c.log.LogAttrs(ctx, slog.LevelError, "the configuration log holds another history than its copy: that stays, and the new one is copied beside it",
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
func (c *second) created(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.every.Attempt)
	defer cancel()
	s, err := c.js.Stream(ctx, topology.StreamConfig)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at stream %s: %w", topology.StreamConfig, err)
	}
	return s.CachedInfo().Created, nil
}
