package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// archive answers searches.
type archive struct {
	pool    *pgxpool.Pool
	timeout time.Duration // of a statement
	budget  time.Duration // of a search, before it gives what it has
}

// page is the answer to a search. Next is where to go on: while it is not "", there may be more, also behind a page
// that is short or empty, because a search stops after a while and says how far it got. Resume is given in ascending
// order, on every page: a cursor behind everything this page has seen, for whoever comes back for what is stored later.
type page struct {
	Events []event `json:"events"`
	Next   string  `json:"next"`
	Resume string  `json:"resume,omitempty"`
}

// search goes through the partitions that can hold what is asked for, in order, until the page is full or the time
// is up. Ids become visible in their order, so no page misses what an earlier one has passed. The error is a fault.
func (a *archive) search(ctx context.Context, q query) (page, error) {
	found := page{Events: []event{}}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.budget+2*a.timeout) // for a database that does not even time out
	defer cancel()
	err := pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		parts, lastID, err := a.begin(ctx, tx, q)
		if err != nil {
			return err
		}
		for i, p := range parts {
			more, err := a.scan(ctx, tx, q, p, q.limit+1-len(found.Events))
			if err != nil {
				if isTimeout(err) && len(found.Events) > 0 {
					found.Next = q.next(p.before(q.ascending))
					return errEnough
				}
				return err
			}
			found.Events = append(found.Events, more...)
			if len(found.Events) > q.limit {
				found.Events = found.Events[:q.limit]
				found.Next = q.next(found.Events[q.limit-1].ID)
				return nil
			}
			if time.Since(began) > a.budget && i < len(parts)-1 {
				found.Next = q.next(parts[i+1].before(q.ascending))
				return nil
			}
		}
		if q.ascending {
			found.Resume = q.next(max(lastID, q.after))
		}
		return nil
	})
	if q.ascending && found.Next != "" {
		found.Resume = found.Next
	}
	if errors.Is(err, errEnough) {
		return found, nil
	}
	return found, unavailable(err)
}

// errEnough ends a transaction that Postgres has given up, with what was found before.
var errEnough = errors.New("the time is up")

func (q query) next(id int64) string { return position{id: id, search: q.search}.encode() }

// part is the ids lo to hi-1.
type part struct{ lo, hi int64 }

// before is the position from which a search goes on with this part.
func (p part) before(ascending bool) int64 {
	if ascending {
		return p.lo - 1
	}
	return p.hi
}

// begin bounds what the transaction may cost, and gives the partitions to look into and the last id there is.
func (a *archive) begin(ctx context.Context, tx pgx.Tx, q query) (parts []part, lastID int64, err error) {
	// One process of Postgres and no more, planned for these very values: a rare user and a frequent one differ.
	if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = '2s';
		SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL plan_cache_mode = force_custom_plan`, a.timeout.Milliseconds())); err != nil {
		return nil, 0, err
	}
	if err := tx.QueryRow(ctx, `SELECT last_id FROM audit.head`).Scan(&lastID); err != nil {
		return nil, 0, err
	}
	rows, err := tx.Query(ctx, `SELECT lo, hi FROM audit.part
		WHERE rows > 0 AND ($1::timestamptz IS NULL OR max_time >= $1) AND ($2::timestamptz IS NULL OR min_time < $2)
		ORDER BY lo`, bound(q.from), bound(q.to))
	if err != nil {
		return nil, 0, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p part, err error) {
		err = row.Scan(&p.lo, &p.hi)
		return p, err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, p := range all {
		if q.ascending {
			p.lo = max(p.lo, q.after+1)
		} else if q.after > 0 {
			p.hi = min(p.hi, q.after)
		}
		if p.lo < p.hi {
			parts = append(parts, p)
		}
	}
	if !q.ascending {
		slices.Reverse(parts)
	}
	return parts, lastID, nil
}

// scan reads up to limit events of a partition. The text of the statement is ours alone: what the caller said are
// its parameters.
func (a *archive) scan(ctx context.Context, tx pgx.Tx, q query, p part, limit int) ([]event, error) {
	args := []any{p.lo, p.hi, limit}
	clauses := []string{"id >= $1", "id < $2"}
	where := slices.Clone(q.where)
	if !q.from.IsZero() {
		where = append(where, condition{"time >= %s", q.from})
	}
	if !q.to.IsZero() {
		where = append(where, condition{"time < %s", q.to})
	}
	for _, c := range where {
		args = append(args, c.value)
		clauses = append(clauses, fmt.Sprintf(c.sql, fmt.Sprintf("$%d", len(args))))
	}
	order := " ORDER BY id DESC LIMIT $3"
	if q.ascending {
		order = " ORDER BY id LIMIT $3"
	}
	rows, err := tx.Query(ctx, selectEvents()+" WHERE "+strings.Join(clauses, " AND ")+order, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEvent)
}

// bound is a time as a parameter: NULL for none.
func bound(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// isTimeout tells whether Postgres gave up a statement that took too long (57014).
func isTimeout(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "57014"
}

// unavailable makes a fault of what can go wrong with a database that is not ours to mend.
func unavailable(err error) error {
	var answer *pgconn.PgError
	var scan pgx.ScanArgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &scan):
		return err
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, "the search took too long: ask for a shorter time, or for a user", err)
	case !errors.As(err, &answer):
		return fault.Wrap(fault.Unavailable, "the database is away", err)
	}
	switch answer.Code[:2] {
	case "08", "53", "57", "25": // connection, resources, operator, read only
		return fault.Wrap(fault.Unavailable, "the database is away", err)
	}
	switch answer.Code {
	case "3F000", "42P01", "3D000", "55P03": // no schema, no table, no database, locked
		return fault.Wrap(fault.Unavailable, "the database is not ready", err)
	}
	return err
}
