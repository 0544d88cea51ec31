package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// errHeld says that a hold keeps something of a partition.
var errHeld = errors.New("a hold keeps something of it")

// drop removes a partition of which everything is due, and tells whether it stays after all: because a hold keeps
// something of it, or because a run goes on in the next partition and is not due. What is due of such a one is to be
// removed row by row.
//
// The state of the partition is in the catalogue before each step, so that the next run finishes what this one has
// begun, or puts the partition back when it is no longer due: the policy has changed, or a hold was set.
func (r *run) drop(ctx context.Context, p *part) (stays bool, err error) {
	if p.state == stateKept {
		if apart, err := r.cutLoose(ctx, p); err != nil || !apart {
			return true, err
		}
	}
	held, err := r.heldNow(ctx, p)
	if err != nil {
		return true, err
	}
	if held || !r.whole(p) {
		return r.putBack(ctx, p)
	}
	if r.stuck != nil && p.state == stateKept { // Postgres detaches one at a time
		return false, nil
	}
	if err = r.detach(ctx, p); err == nil {
		err = r.dropTable(ctx, p)
	}
	switch {
	case errors.Is(err, errHeld): // since we looked
		return r.putBack(ctx, p)
	case isBlocked(err):
		r.stuck = err
		return false, nil
	case err != nil:
		return false, err
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "audit partition dropped", slog.String("partition", p.name), slog.Int64("records", p.rows))
	return false, r.cleanUp(ctx, p)
}

// cutLoose removes the runs that a partition shares with its neighbours, and tells whether there is none any more.
func (r *run) cutLoose(ctx context.Context, p *part) (apart bool, err error) {
	for _, id := range []int64{p.lo, p.hi} {
		shared, err := r.shared(ctx, id)
		if err == nil && shared {
			if _, err = r.step(ctx, id, id); err == nil {
				shared, err = r.shared(ctx, id)
			}
		}
		if err != nil || shared {
			return false, err
		}
	}
	return true, nil
}

// shared tells whether a run has both id and the one before it.
func (r *run) shared(ctx context.Context, id int64) (yes bool, err error) {
	err = r.conn.QueryRow(ctx, `SELECT coalesce((SELECT first_id + last_n - first_n >= $1 FROM audit.run
		WHERE first_id < $1 ORDER BY first_id DESC LIMIT 1), false)`, id).Scan(&yes)
	if err != nil {
		return false, fmt.Errorf("look for a run at id %d: %w", id, err)
	}
	return yes, nil
}

// heldNow tells whether a hold keeps something of a partition.
func (r *run) heldNow(ctx context.Context, p *part) (held bool, err error) {
	holds, err := standing(ctx, r.conn)
	if err != nil {
		return false, err
	}
	return r.held(ctx, r.conn, p, holds)
}

// held looks into the partition's own table, wherever it stands.
func (r *run) held(ctx context.Context, q rower, p *part, holds []Hold) (held bool, err error) {
	var near []Hold
	for _, h := range holds {
		if p.rows > 0 && h.touches(p.minTime, p.maxTime) {
			near = append(near, h)
		}
	}
	if len(near) == 0 {
		return false, nil
	}
	record, args := matching(near, ofCall(), nil)
	rival, args := matching(near, ofConflict(), args)
	args = append(args, p.lo, p.hi-1)
	err = q.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s WHERE %s) OR EXISTS (SELECT FROM audit.conflict WHERE kept BETWEEN $%d AND $%d AND %s)`,
		p.table(), record, len(args)-1, len(args), rival), args...).Scan(&held)
	if err != nil {
		return false, fmt.Errorf("look for what is held in partition %s: %w", p.name, err)
	}
	return held, nil
}

func (p *part) table() string { return pgx.Identifier{"audit", p.name}.Sanitize() }

// standing of a partition's table, as Postgres has it.
const (
	attached = "attached"
	pending  = "pending" // a detachment was begun: searches no longer see it
	detached = "detached"
)

func (r *run) whereabouts(ctx context.Context, p *part) (where string, err error) {
	err = r.conn.QueryRow(ctx, `SELECT CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END
		FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.oid = $1::regclass`, p.table()).Scan(&where)
	if err != nil {
		return "", fmt.Errorf("look for partition %s: %w", p.name, err)
	}
	return where, nil
}

// setState notes where a partition stands.
func (r *run) setState(ctx context.Context, p *part, state string) error {
	if p.state == state {
		return nil
	}
	if _, err := r.conn.Exec(ctx, `UPDATE audit.part SET state = $2 WHERE name = $1`, p.name, state); err != nil {
		return fmt.Errorf("note the state of partition %s: %w", p.name, err)
	}
	p.state = state
	return r.reached(state)
}

// putBack makes a partition a part of audit.call again, if it is not, and tells whether it is now.
func (r *run) putBack(ctx context.Context, p *part) (stays bool, err error) {
	if p.state == stateKept {
		return true, nil
	}
	where, err := r.whereabouts(ctx, p)
	if err == nil && where == pending {
		where, err = detached, r.detach(ctx, p)
	}
	if err == nil && where == detached {
		err = r.attach(ctx, p)
	}
	switch {
	case isBlocked(err):
		r.stuck = err
		return false, nil
	case err != nil:
		return false, err
	}
	return true, r.setState(ctx, p, stateKept)
}

func (r *run) attach(ctx context.Context, p *part) error {
	err := r.patiently(ctx, func() error {
		_, err := r.conn.Exec(ctx, fmt.Sprintf(`ALTER TABLE audit.call ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)`, p.table(), p.lo, p.hi))
		return err
	})
	if err != nil {
		return fmt.Errorf("put partition %s back: %w", p.name, err)
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "audit partition put back: it is to stay", slog.String("partition", p.name))
	return r.reached(attached)
}

// dropTable drops the table of a partition, unless a hold keeps something of it. Nobody sets one meanwhile.
func (r *run) dropTable(ctx context.Context, p *part) error {
	err := r.locked(ctx, func(tx pgx.Tx, holds []Hold) error {
		held, err := r.held(ctx, tx, p, holds)
		if err != nil {
			return err
		}
		if held {
			return errHeld
		}
		if err := tx.QueryRow(ctx, `SELECT rows FROM audit.part WHERE name = $1`, p.name).Scan(&p.rows); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DROP TABLE `+p.table()); err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(`UPDATE audit.part SET state = 'gone', rows = 0 WHERE name = $1`, p.name)
		b.Queue(`UPDATE audit.retention_run SET records = records + $2, partitions = partitions + 1, oldest = least(oldest, $3), newest = greatest(newest, $4)
			WHERE id = $1`, r.id, p.rows, none(p.minTime), none(p.maxTime))
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("drop partition %s: %w", p.name, err)
	}
	p.state = stateGone
	r.meters.dropped(p.rows)
	return r.reached(stateGone)
}

// cleanUp removes what belonged to the records of a partition that is gone, and then the partition from the catalogue.
func (r *run) cleanUp(ctx context.Context, p *part) error {
	for _, what := range []struct{ table, id string }{{"audit.run", "first_id"}, {"audit.replaced", "id"}, {"audit.conflict", "kept"}} {
		for more := true; more; {
			done, err := r.conn.Exec(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE ctid = ANY (ARRAY
				(SELECT ctid FROM %[1]s WHERE %[2]s >= $1 AND %[2]s < $2 LIMIT 10000))`, what.table, what.id), p.lo, p.hi)
			if err != nil {
				return fmt.Errorf("clean up after partition %s: %w", p.name, err)
			}
			more = done.RowsAffected() > 0
		}
		if err := r.reached("clean"); err != nil {
			return err
		}
	}
	if _, err := r.conn.Exec(ctx, `DELETE FROM audit.part WHERE name = $1 AND state = 'gone'`, p.name); err != nil {
		return fmt.Errorf("forget partition %s: %w", p.name, err)
	}
	return nil
}

// detach takes a partition out of audit.call, however far that has got before.
//
// ALTER TABLE … DETACH PARTITION … CONCURRENTLY first hides the partition from whoever begins later, then waits for
// those who began before, without a lock that anybody else waits for, and then needs locks for a moment. When it is
// not done in time, it ends half way, and Postgres wants it finished by FINALIZE, which does have locks while it
// waits, and so gets a moment only, again and again.
func (r *run) detach(ctx context.Context, p *part) error {
	deadline := time.Now().Add(r.Patience)
	for {
		where, err := r.whereabouts(ctx, p)
		if err != nil || where == detached {
			return err
		}
		if where == attached {
			err = r.begunBefore(ctx)
		}
		if where == attached && err == nil {
			if err = r.setState(ctx, p, stateLeaving); err != nil {
				return err
			}
			err = r.watched(ctx, fmt.Sprintf(`ALTER TABLE audit.call DETACH PARTITION %s CONCURRENTLY`, p.table()), time.Until(deadline))
		} else if where == pending {
			err = r.finalize(ctx, p)
		}
		if err == nil {
			err = r.reached(detached)
		}
		if err != nil && !isBlocked(err) {
			return fmt.Errorf("detach partition %s: %w", p.name, err)
		}
		if err != nil && time.Now().After(deadline) {
			return fmt.Errorf("detach partition %s: %w%s", p.name, err, r.whoBlocks(ctx))
		}
		if err != nil {
			if err := r.wait(ctx, glance); err != nil {
				return err
			}
		}
	}
}
