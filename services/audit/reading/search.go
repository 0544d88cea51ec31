package reading

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
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

// Page is the answer to a search. Next is where to go on: while it is not "", there may be more, also behind a page
// that is short or empty, because a search stops after a while and says how far it got. Previous goes back the same way,
// page by page. Resume is given in ascending order, on every page that was not reached by going back: a cursor behind
// everything this page has seen, for whoever comes back for what is stored later.
type Page struct {
	Events   []Event `json:"events"`
	Next     string  `json:"next"`
	Previous string  `json:"previous"`
	Resume   string  `json:"resume,omitempty"`
}

// search gives a page. The error is a fault.
func (a *archive) search(ctx context.Context, q query) (Page, error) {
	way := q
	way.ascending = q.ascending != q.back
	got, err := a.walk(ctx, way)
	if err != nil {
		return Page{}, err
	}
	if q.back {
		slices.Reverse(got.events)
	}
	return q.page(got), nil
}

// page makes a page of what was found.
func (q query) page(got walked) Page {
	p := Page{Events: got.events}
	first, last := q.beside(q.after)
	if n := len(got.events); n > 0 {
		first, last = got.events[0].ID, got.events[n-1].ID
	}
	on := ""
	if got.more {
		on = position{id: got.reached, search: q.search, back: q.back}.encode()
	}
	switch {
	case q.back:
		p.Previous, p.Next = on, position{id: last, search: q.search}.encode()
	case q.after > 0:
		p.Next, p.Previous = on, position{id: first, search: q.search, back: true}.encode()
	default:
		p.Next = on
	}
	if q.ascending && !q.back {
		p.Resume = on
		if on == "" {
			p.Resume = position{id: max(got.lastID, q.after), search: q.search}.encode()
		}
	}
	return p
}

// beside gives from where to go back, and on, so that the record with this id is come across again.
func (q query) beside(id int64) (back, on int64) {
	if q.ascending {
		return id + 1, id - 1
	}
	return id - 1, id + 1
}

// walked is what was found, in the order of the walk.
type walked struct {
	events  []Event
	more    bool  // there may be more, behind reached
	reached int64 // id
	lastID  int64 // there is
}

// walk goes through the partitions that can hold what is asked for, in order, until the page is full or the time is
// up. Ids become visible in their order, so no page misses what an earlier one has passed. The error is a fault.
func (a *archive) walk(ctx context.Context, q query) (walked, error) {
	found := walked{events: []Event{}}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.budget+2*a.timeout) // for a database that does not even time out
	defer cancel()
	err := pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		parts, lastID, err := a.begin(ctx, tx, q)
		if err != nil {
			return err
		}
		found.lastID = lastID
		for i, p := range parts {
			more, err := a.scan(ctx, tx, q, p, q.limit+1-len(found.events))
			if err != nil {
				if isTimeout(err) && len(found.events) > 0 {
					found.more, found.reached = true, p.before(q.ascending)
					return errEnough
				}
				return err
			}
			found.events = append(found.events, more...)
			if len(found.events) > q.limit {
				found.events = found.events[:q.limit]
				found.more, found.reached = true, found.events[q.limit-1].ID
				return nil
			}
			if time.Since(began) > a.budget && i < len(parts)-1 {
				found.more, found.reached = true, parts[i+1].before(q.ascending)
				return nil
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return found, nil
	}
	return found, unavailable(err)
}

// errEnough ends a transaction that Postgres has given up, with what was found before.
var errEnough = errors.New("the time is up")

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
		if q.upTo > 0 {
			p.hi = min(p.hi, q.upTo+1)
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
func (a *archive) scan(ctx context.Context, tx pgx.Tx, q query, p part, limit int) ([]Event, error) {
	args := []any{p.lo, p.hi, limit}
	clauses := []string{"id >= $1", "id < $2"}
	where := slices.Clone(q.where)
	if !q.from.IsZero() {
		where = append(where, condition{"time >= %s", q.from})
	}
	if !q.to.IsZero() {
		where = append(where, condition{"time < %s", q.to})
	}
	clauses, args = conditions(where, clauses, args)
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

// conditions appends clauses with their values.
func conditions(where []condition, clauses []string, args []any) ([]string, []any) {
	for _, c := range where {
		if two, ok := c.value.(pair); ok {
			args = append(args, two.first, two.second)
			clauses = append(clauses, fmt.Sprintf(c.sql, fmt.Sprintf("$%d", len(args)-1), fmt.Sprintf("$%d", len(args))))
			continue
		}
		args = append(args, c.value)
		clauses = append(clauses, fmt.Sprintf(c.sql, fmt.Sprintf("$%d", len(args))))
	}
	return clauses, args
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
	switch {
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, "the search took too long: ask for a shorter time, or for a user", err)
	case postgres.IsAway(err):
		return fault.Wrap(fault.Unavailable, "the database is away, or not ready", err)
	}
	return err
}
