package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/retry"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/audit/logcopy"
)

// ingest moves the stream AUDIT into the database for as long as the process lives.
type ingest struct {
	log           *slog.Logger
	js            jetstream.JetStream
	pool          *pgxpool.Pool // of four connections: the active consumer's, the one that indexes, and the copies'
	databaseURL   string
	every         Intervals
	partitionRows int64
	status        *status
	meters        *meters
	copies        []*logcopy.Copy
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
	pause := retry.Pause{Longest: in.every.Retry}
	for ctx.Err() == nil {
		began := time.Now()
		active, err := in.session(hard, ctx.Done())
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if time.Since(began) > in.every.Retry {
				pause.Reset()
			}
			in.log.LogAttrs(ctx, pause.Level(), "audit stream is not read", slog.Any("error", err))
			in.observe(ctx)
			pause.Wait(ctx)
		case !active:
			retry.Sleep(ctx, in.every.Standby)
		}
	}
}

// migrate brings the schema up to date, however long that takes; false when ctx has ended.
func (in *ingest) migrate(ctx context.Context) bool {
	pause := retry.Pause{Longest: in.every.Retry}
	for ctx.Err() == nil {
		err := Migrate(ctx, in.databaseURL)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			_ = in.status.databaseAway(err)
			in.log.LogAttrs(ctx, pause.Level(), "audit database is not ready", slog.Any("error", err))
			in.observe(ctx)
			pause.Wait(ctx)
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
