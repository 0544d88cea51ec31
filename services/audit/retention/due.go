package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/jackc/pgx/v5"
)

// bounds say what is due: what is older than a time, and what has an id or a lower one.
type bounds struct {
	before time.Time // zero: nothing is too old
	upTo   int64     // 0: there is not too much
}

// part is a partition of audit.call: the ids lo to hi-1.
type part struct {
	name    string
	lo, hi  int64
	rows    int64
	state   string
	minTime time.Time // zero: it never had rows
	maxTime time.Time
	full    bool // every id was given: nothing is added any more
}

const (
	stateKept    = "kept"
	stateLeaving = "leaving"
	stateGone    = "gone"
)

// readParts gives the partitions in the order of their ids, and the last id that was given, as of one moment.
func readParts(ctx context.Context, q querier) (parts []part, lastID int64, err error) {
	rows, err := q.Query(ctx, `SELECT name, lo, hi, rows, state, min_time, max_time, last_id FROM audit.part, audit.head ORDER BY lo`)
	if err != nil {
		return nil, 0, fmt.Errorf("read the partitions: %w", err)
	}
	parts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p part, err error) {
		var first, last *time.Time
		if err = row.Scan(&p.name, &p.lo, &p.hi, &p.rows, &p.state, &first, &last, &lastID); err != nil {
			return p, err
		}
		if first != nil && last != nil {
			p.minTime, p.maxTime = *first, *last
		}
		p.full = p.hi <= lastID+1
		return p, nil
	})
	return parts, lastID, err
}

// whole tells whether everything in a partition is due, by what the catalogue says.
func (b bounds) whole(p *part) bool {
	return p.full && (p.rows == 0 || p.hi-1 <= b.upTo || (!b.before.IsZero() && p.maxTime.Before(b.before)))
}

// some tells whether a partition may have something that is due.
func (b bounds) some(p *part) bool {
	return p.rows > 0 && (p.lo <= b.upTo || (!b.before.IsZero() && p.minTime.Before(b.before)))
}

// bound finds out what is due now. Of two clocks that differ the earlier one holds: what is removed does not come
// back.
func bound(ctx context.Context, conn rower, policy configlog.Retention) (b bounds, err error) {
	if policy.MaxDays > 0 {
		var now time.Time
		if err := conn.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return b, fmt.Errorf("ask the database for the time: %w", err)
		}
		b.before = earliest(now, time.Now()).Add(-time.Duration(policy.MaxDays) * 24 * time.Hour).UTC()
	}
	if policy.MaxEntries > 0 {
		b.upTo, err = beyond(ctx, conn, policy.MaxEntries)
	}
	return b, err
}

// rower is a pool, a connection or a transaction.
type rower interface {
	querier
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// beyond gives the highest id behind which there are as many records as are to stay; 0: there are not that many.
func beyond(ctx context.Context, conn rower, stay uint64) (upTo int64, err error) {
	parts, lastID, err := readParts(ctx, conn)
	if err != nil {
		return 0, err
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := &parts[i]
		if p.state != stateKept || p.rows <= 0 {
			continue
		}
		if rows := uint64(p.rows); rows <= stay {
			stay -= rows
			continue
		}
		top := min(p.hi-1, lastID)
		if p.rows == top-p.lo+1 { // none is missing in between
			return top - int64(stay), nil //nolint:gosec // less than rows
		}
		err := conn.QueryRow(ctx, `SELECT id FROM audit.call WHERE id >= $1 AND id <= $2 ORDER BY id DESC OFFSET $3 LIMIT 1`,
			p.lo, top, int64(stay)).Scan(&upTo) //nolint:gosec // less than rows
		if errors.Is(err, pgx.ErrNoRows) {
			return p.lo - 1, nil
		}
		if err != nil {
			return 0, fmt.Errorf("count the records: %w", err)
		}
		return upTo, nil
	}
	return 0, nil
}
