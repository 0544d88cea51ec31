package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// stepIDs is how many ids a step looks at, or one run when that is longer: some 30 ms.
const stepIDs = 5000

// errChanged says that somebody else removes records too.
var errChanged = errors.New("records were removed by another")

// trim removes what is due of a partition in small steps, so that nobody waits for long.
func (r *run) trim(ctx context.Context, p *part) error {
	for _, h := range r.holds {
		if p.full && h.covers(p.minTime, p.maxTime) {
			r.heldWhole(p)
			return nil
		}
	}
	from, to, err := r.extent(ctx, p)
	if err != nil {
		return err
	}
	for from <= to {
		if from, err = r.step(ctx, from, min(from+stepIDs-1, to)); err != nil {
			return err
		}
	}
	return r.trimmed(ctx, p)
}

// extent gives the ids of a partition between which all that is due is.
func (r *run) extent(ctx context.Context, p *part) (from, to int64, err error) {
	from, to = p.hi, p.lo-1
	if p.lo <= r.upTo {
		from, to = p.lo, min(p.hi-1, r.upTo)
	}
	if r.before.IsZero() || !p.minTime.Before(r.before) {
		return from, to, nil
	}
	// Counted too, or Postgres would look for each end by itself, through everything that is not due.
	var count int64
	var first, last *int64
	err = r.conn.QueryRow(ctx, `SELECT count(*), min(id), max(id) FROM audit.call WHERE id >= $1 AND id < $2 AND time < $3`,
		p.lo, p.hi, r.before).Scan(&count, &first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("look for records that are too old: %w", err)
	}
	if count > 0 {
		from, to = min(from, *first), max(to, *last)
	}
	return from, to, nil
}

// step removes what is due of the ids from to to, and gives where to go on. It looks at runs as a whole, also beyond
// these ids.
func (r *run) step(ctx context.Context, from, to int64) (next int64, err error) {
	if r.dry {
		holds, err := standing(ctx, r.conn)
		if err != nil {
			return 0, err
		}
		v, reach, err := r.judge(ctx, r.conn, holds, from, to)
		r.count(v)
		return reach.last + 1, err
	}
	var v verdict
	var reach span
	err = r.locked(ctx, func(tx pgx.Tx, holds []Hold) error {
		if v, reach, err = r.judge(ctx, tx, holds, from, to); err != nil {
			return err
		}
		return r.remove(ctx, tx, v, reach)
	})
	if err != nil {
		return 0, fmt.Errorf("remove records from id %d on: %w", from, err)
	}
	r.count(v)
	if err := r.reached("step"); err != nil {
		return 0, err
	}
	return reach.last + 1, r.rest(ctx)
}

// judge decides what goes of the ids from to to, and gives the ids that it has looked at.
func (r *run) judge(ctx context.Context, q rower, holds []Hold, from, to int64) (v verdict, reach span, err error) {
	reach = span{from, to}
	// Runs do not overlap: of those that begin before, only the last one can reach here.
	rows, err := q.Query(ctx, `SELECT first_id, first_id + last_n - first_n FROM audit.run
			WHERE first_id >= coalesce((SELECT max(first_id) FROM audit.run WHERE first_id < $1), $1) AND first_id <= $2
		ORDER BY first_id`, from, to)
	if err != nil {
		return v, reach, err
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s span, err error) {
		err = row.Scan(&s.first, &s.last)
		return s, err
	})
	if err != nil {
		return v, reach, err
	}
	if len(runs) > 0 && runs[0].last < from {
		runs = runs[1:]
	}
	if len(runs) > 0 {
		reach = span{min(from, runs[0].first), max(to, runs[len(runs)-1].last)}
	}
	records, err := r.look(ctx, q, holds, reach)
	if err != nil {
		return v, reach, err
	}
	return judge(runs, records, r.counted), reach, nil
}

// look reads what is to be known of records.
func (r *run) look(ctx context.Context, q rower, holds []Hold, ids span) ([]record, error) {
	var before *time.Time
	if !r.before.IsZero() {
		before = &r.before
	}
	condition, args := matching(holds, ofCall(), []any{ids.first, ids.last, before, r.upTo})
	if len(holds) > 0 {
		var rival string
		rival, args = matching(holds, ofConflict(), args)
		condition += ` OR id IN (SELECT kept FROM audit.conflict WHERE kept BETWEEN $1 AND $2 AND ` + rival + `)`
	}
	rows, err := q.Query(ctx, `SELECT id, time, id <= $4 OR coalesce(time < $3, false), `+condition+`
		FROM audit.call WHERE id BETWEEN $1 AND $2 ORDER BY id`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (x record, err error) {
		err = row.Scan(&x.id, &x.at, &x.due, &x.held)
		return x, err
	})
}

// remove takes records from the trail with all that belongs to them. Whoever stores records waits for the row of
// audit.part and for what follows it, in the same order, so these come last.
func (r *run) remove(ctx context.Context, tx pgx.Tx, v verdict, reach span) error {
	if len(v.records) == 0 && len(v.runs) == 0 && v.held == 0 {
		return nil
	}
	done, err := tx.Exec(ctx, `DELETE FROM audit.call WHERE id BETWEEN $1 AND $2 AND id = ANY($3)`, reach.first, reach.last, v.records)
	if err != nil {
		return err
	}
	if done.RowsAffected() != int64(len(v.records)) {
		return errChanged
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM audit.run WHERE first_id BETWEEN $1 AND $2 AND first_id = ANY($3)`, reach.first, reach.last, v.runs)
	b.Queue(`UPDATE audit.part p SET rows = rows - (SELECT count(*) FROM unnest($3::bigint[]) AS id WHERE id >= p.lo AND id < p.hi)
		WHERE p.lo <= $2 AND p.hi > $1`, reach.first, reach.last, v.records)
	b.Queue(`DELETE FROM audit.replaced WHERE id BETWEEN $1 AND $2 AND id = ANY($3)`, reach.first, reach.last, v.records)
	b.Queue(`DELETE FROM audit.conflict WHERE kept BETWEEN $1 AND $2 AND kept = ANY($3)`, reach.first, reach.last, v.records)
	b.Queue(`UPDATE audit.retention_run SET records = records + $2, held = held + $3, oldest = least(oldest, $4), newest = greatest(newest, $5)
		WHERE id = $1`, r.id, len(v.records), v.held, none(v.oldest), none(v.newest))
	return tx.SendBatch(ctx, &b).Close()
}

// trimmed brings the catalogue up to date: what times a partition has that nothing is added to any more.
func (r *run) trimmed(ctx context.Context, p *part) error {
	if r.dry {
		return r.staying(ctx, p)
	}
	if !p.full {
		return nil
	}
	_, err := r.conn.Exec(ctx, `UPDATE audit.part p SET min_time = t.first, max_time = t.last
		FROM (SELECT min(time) AS first, max(time) AS last FROM audit.call WHERE id >= $2 AND id < $3) t WHERE name = $1`, p.name, p.lo, p.hi)
	if err != nil {
		return fmt.Errorf("note the times of partition %s: %w", p.name, err)
	}
	return nil
}

// none is a time as a parameter: NULL for a zero one.
func none(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
