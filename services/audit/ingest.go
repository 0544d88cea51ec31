package audit

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
)

// ingest moves the stream AUDIT into the database for as long as the process lives.
type ingest struct {
	log           *slog.Logger
	js            jetstream.JetStream
	pool          *pgxpool.Pool // of two connections: the active consumer's, and the one that indexes
	databaseURL   string
	every         Intervals
	partitionRows int64
	status        *status
	meters        *meters
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
			in.log.LogAttrs(ctx, slog.LevelWarn, "audit stream is not read", slog.Any("error", err))
			if time.Since(began) > in.every.Retry {
				retry.reset()
			}
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
			level := slog.LevelWarn
			if newer := new(postgres.NewerError); errors.As(err, &newer) {
				level = slog.LevelError
			}
			in.log.LogAttrs(ctx, level, "audit database is not ready", slog.Any("error", err))
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
}

func (b *backoff) reset() { b.last = 0 }

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
