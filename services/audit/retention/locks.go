package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// runKey is the advisory lock of the one run there may be: "gateretn" in ASCII.
	runKey = 0x676174657265746e
	// holdKey is that of whoever removes records or sets a hold: "gatehold".
	holdKey = 0x67617465686f6c64
	// glance is the longest that anything here holds a lock while it waits for another.
	glance = 200 * time.Millisecond
	// longAgo is how old a transaction must be to be one that may go on for hours. No search gets that old.
	longAgo = 20 * time.Second
)

// takeLock gives a connection that may remove records until it is released.
func (k *Keeper) takeLock(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, k.Attempt)
	defer cancel()
	conn, err := k.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var got bool
	// Plans are made for these very values: one for any would lock all partitions.
	_, err = conn.Exec(ctx, fmt.Sprintf(`SELECT set_config('lock_timeout', '%d', false), set_config('statement_timeout', '60000', false),
		set_config('idle_in_transaction_session_timeout', '10000', false), set_config('plan_cache_mode', 'force_custom_plan', false),
		set_config('max_parallel_workers_per_gather', '0', false),
		set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
		set_config('tcp_keepalives_count', '3', false)`, glance.Milliseconds()))
	if err == nil {
		// So that Postgres ends what a process had begun that was killed. Not every system can.
		_, _ = conn.Exec(ctx, `SET client_connection_check_interval = '1s'`)
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(runKey)).Scan(&got)
	}
	if err == nil && !got {
		err = errBusy
	}
	if err != nil {
		k.release(conn)
		return nil, err
	}
	return conn, nil
}

// release closes a connection, and so gives up its lock and its settings.
func (*Keeper) release(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Conn().Close(ctx)
	conn.Release()
}

// locked has something done in a transaction while no hold can be set, with the holds there are. It is done again when
// a lock was not to be had.
func (r *run) locked(ctx context.Context, do func(pgx.Tx, []Hold) error) error {
	return r.patiently(ctx, func() error {
		return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(holdKey)); err != nil {
				return err
			}
			holds, err := standing(ctx, tx)
			if err != nil {
				return err
			}
			return do(tx, holds)
		})
	})
}

// patiently tries until a lock is to be had, within reason.
func (r *run) patiently(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(r.Patience)
	for {
		err := do()
		if !isBlocked(err) || time.Now().After(deadline) {
			return err
		}
		if err := r.wait(ctx, glance); err != nil {
			return err
		}
	}
}

// durable makes a transaction wait for its disk, also on a server that was told not to.
func durable(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// isBlocked tells whether something was given up because others had locks: a timeout of ours or a deadlock.
func isBlocked(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return errors.Is(err, errBlocked)
	}
	switch answer.Code {
	case "55P03", "57014", "40P01": // lock not available, canceled, deadlock detected
		return true
	}
	return false
}

// errBlocked says that a transaction that goes on for long has read the trail.
var errBlocked = errors.New("a long transaction has to end first")

// begunBefore fails when a detachment would wait for a transaction that may go on for hours.
func (r *run) begunBefore(ctx context.Context) error {
	var long bool
	err := r.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.relation = 'audit.call'::regclass AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND a.xact_start < clock_timestamp() - make_interval(secs => $1))`, min(longAgo, r.Patience).Seconds()).Scan(&long)
	if err == nil && long {
		return errBlocked
	}
	return err
}

// whoBlocks names, for people, the oldest transaction there is.
func (r *run) whoBlocks(ctx context.Context) string {
	var who string
	err := r.conn.QueryRow(ctx, `SELECT format(': process %s (%s, %s) since %s', pid, usename, coalesce(nullif(application_name, ''), 'unnamed'),
			to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
		ORDER BY xact_start LIMIT 1`).Scan(&who)
	if err != nil {
		return ""
	}
	return who
}

// finalize finishes a detachment that had ended half way. All the while it has locks, so it is given up soon.
func (r *run) finalize(ctx context.Context, p *part) error {
	return r.within(ctx, fmt.Sprintf(`ALTER TABLE audit.call DETACH PARTITION %s FINALIZE`, p.table()), glance, glance)
}

// within runs a statement that can be in no transaction, with time limits of its own. 0 is no limit.
func (r *run) within(ctx context.Context, sql string, lock, statement time.Duration) error {
	const set = `SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false)`
	if _, err := r.conn.Exec(ctx, set, fmt.Sprint(lock.Milliseconds()), fmt.Sprint(statement.Milliseconds())); err != nil {
		return err
	}
	_, err := r.conn.Exec(ctx, sql)
	if _, reset := r.conn.Exec(ctx, set, fmt.Sprint(glance.Milliseconds()), "60000"); reset != nil && err == nil {
		return reset
	}
	return err
}

// watched runs a statement that may wait for other transactions as long as it is told, but not for a lock on a table:
// whoever comes later would wait behind it.
func (r *run) watched(ctx context.Context, sql string, patience time.Duration) error {
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.watch(watching, r.conn.PgConn().PID())
	}()
	err := r.within(ctx, sql, 0, max(patience, glance))
	stop()
	<-ended
	return err
}

// watch cancels what a connection does once it has waited for the lock of a table for a moment.
func (r *run) watch(ctx context.Context, pid uint32) {
	const every = 40 * time.Millisecond
	again := time.NewTicker(every)
	defer again.Stop()
	since := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-again.C:
			var waits bool
			err := r.Pool.QueryRow(ctx, `SELECT coalesce(wait_event_type = 'Lock' AND wait_event = 'relation', false) FROM pg_stat_activity WHERE pid = $1`,
				int64(pid)).Scan(&waits)
			switch {
			case err != nil || !waits:
				since = time.Time{}
			case since.IsZero():
				since = now
			case now.Sub(since) > glance-2*every && ctx.Err() == nil:
				_, _ = r.Pool.Exec(ctx, `SELECT pg_cancel_backend($1)`, int64(pid))
				since = time.Time{}
			}
		}
	}
}

// unavailable makes a fault of a run that is under way, and of a database that is away.
func unavailable(err error) error {
	switch {
	case errors.Is(err, errBusy):
		return fault.Wrap(fault.Conflict, "a run of retention is under way", err)
	case !errors.As(err, new(*fault.Error)) && postgres.IsAway(err):
		return fault.Wrap(fault.Unavailable, "the database is away, or not ready", err)
	}
	return err
}
