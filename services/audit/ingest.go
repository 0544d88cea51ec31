package audit

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
)

// ingest moves the stream AUDIT into the database for as long as the process lives.
type ingest struct {
	log           *slog.Logger
	js            jetstream.JetStream
	pool          *pgxpool.Pool // of three connections: the active consumer's, the one that indexes, and second's
	databaseURL   string
	every         Intervals
	partitionRows int64
	status        *status
	meters        *meters
	second        *second
}

// run consumes until ctx ends, and then what the stream still holds, for a while. Whatever goes wrong is tried
// again: nothing is lost meanwhile, because the stream keeps it.
func (in *ingest) run(ctx context.Context) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(in.every.Drain, cancel) //nolint:contextcheck // ends what outlives ctx
	})()
	if !in.migrate(ctx) {
		return
	}
	retry := backoff{longest: in.every.Retry}
	for ctx.Err() == nil {
		began := time.Now()
		active, err := in.session(hard, ctx.Done())
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if time.Since(began) > in.every.Retry {
				retry.reset()
			}
			in.log.LogAttrs(ctx, retry.level(), "audit stream is not read", slog.Any("error", err))
			in.observe(ctx)
			retry.wait(ctx)
		case !active:
			wait(ctx, in.every.Standby)
		}
	}
}

// migrate brings the schema up to date, however long that takes; false when ctx has ended.
func (in *ingest) migrate(ctx context.Context) bool {
	retry := backoff{longest: in.every.Retry}
	for ctx.Err() == nil {
		err := Migrate(ctx, in.databaseURL)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			_ = in.status.databaseAway(err)
			in.log.LogAttrs(ctx, retry.level(), "audit database is not ready", slog.Any("error", err))
			in.observe(ctx)
			retry.wait(ctx)
		}
	}
	return false
}

// observe looks how much the stream holds, so that the lag is known also while the database is away.
func (in *ingest) observe(ctx context.Context) {
	if at, err := lookAt(ctx, in.js, in.every.Attempt); err == nil {
		in.status.seen(at)
	}
}

// backoff is a pause that doubles.
type backoff struct {
	longest time.Duration
	last    time.Duration
	said    time.Time
}

func (b *backoff) reset() { *b = backoff{longest: b.longest} }

// level is that of a message about what is tried again: a warning at first and once a minute.
func (b *backoff) level() slog.Level {
	if time.Since(b.said) < time.Minute {
		return slog.LevelDebug
	}
	b.said = time.Now()
	return slog.LevelWarn
}

func (b *backoff) wait(ctx context.Context) {
	b.last = min(max(2*b.last, 50*time.Millisecond), b.longest)
	wait(ctx, b.last/2+rand.N(b.last)) //nolint:gosec // not a secret
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
