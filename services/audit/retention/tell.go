package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/jackc/pgx/v5"
)

// tell has the trail told of what was done, one thing after the other, until ctx ends. What it was not told yet is in
// the database, so none is lost; what it was told in the moment in which a process is killed, it is told again, with
// the same request id.
func (k *Keeper) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.told:
		}
		if !k.Active() {
			continue
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = k.tellOne(ctx); err != nil && ctx.Err() == nil {
				k.Log.LogAttrs(ctx, slog.LevelDebug, "audit retention is not recorded yet", slog.Any("error", err))
			}
		}
	}
}

// tellOne tells the oldest thing; false: there is none.
func (k *Keeper) tellOne(ctx context.Context) (told bool, err error) {
	id, r, err := k.untold(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// As long as it takes: given up, it would be taken all the same. A moment longer than ctx, for what is on its way.
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(2*time.Second, cancel) })()
	if err := k.Trail.Record(waiting, r); err != nil {
		return false, err
	}
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), k.Attempt)
	defer cancelLast()
	for {
		_, err = k.Pool.Exec(last, `DELETE FROM audit.unrecorded WHERE id = $1`, id)
		if err == nil || last.Err() != nil {
			return err == nil, err
		}
		_ = k.wait(last, 50*time.Millisecond)
	}
}

// untold gives the oldest thing the trail was not told of; the error is pgx.ErrNoRows when there is none.
func (k *Keeper) untold(ctx context.Context) (id int64, r *auditv1.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.Attempt)
	defer cancel()
	r = &auditv1.Record{Decision: "allow", Outcome: "completed"}
	var at time.Time
	err = k.Pool.QueryRow(ctx, `SELECT id, at, kind, username, request_id, client_ip, change::text FROM audit.unrecorded ORDER BY id LIMIT 1`).
		Scan(&id, &at, &r.Kind, &r.User, &r.RequestId, &r.ClientIp, &r.Change)
	r.Time = uint64(at.UnixNano())
	if err != nil {
		return 0, nil, fmt.Errorf("read what the trail is to be told: %w", err)
	}
	return id, r, nil
}
