package reading

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/jackc/pgx/v5"
)

// maxStats is how many rows of statistics one answer has at most.
const maxStats = 10_000

// Stats is how many calls there were, interval by interval.
type Stats struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Interval string    `json:"interval"`
	By       []string  `json:"by"`
	Rows     []Stat    `json:"rows"`
}

// Stat is the calls of an interval that are alike in what was asked for.
type Stat struct {
	Time        time.Time         `json:"time"` // the interval's beginning
	By          map[string]string `json:"by,omitempty"`
	Calls       int64             `json:"calls"`
	BytesIn     int64             `json:"bytes_in"`
	BytesOut    int64             `json:"bytes_out"`
	DurationNS  int64             `json:"duration_ns"` // of all together
	UpstreamNS  int64             `json:"upstream_duration_ns"`
	Within10ms  int64             `json:"within_10ms"` // calls that took no longer
	Within50ms  int64             `json:"within_50ms"`
	Within100ms int64             `json:"within_100ms"`
	Within500ms int64             `json:"within_500ms"`
	Within1s    int64             `json:"within_1s"`
	Within5s    int64             `json:"within_5s"`
}

// statBy are what calls can be told apart by, with the column.
func statBy() map[string]string {
	return map[string]string{
		"site": "site", "gateway": "gateway", "decision": "decision", "reason": "reason", "access": "access", "status": "status_class || 'xx'",
	}
}

// statQuery is what statistics are asked for.
type statQuery struct {
	from, to time.Time
	interval string
	by       []string
	where    []condition
	problems problems
}

func (a *Reader) stats(r *http.Request) (any, error) {
	q, err := parseStats(r, time.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*a.Timeout)
	defer cancel()
	s := Stats{From: q.from, To: q.to, Interval: q.interval, By: q.by, Rows: []Stat{}}
	err = pgx.BeginTxFunc(ctx, a.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = '2s'`, a.Timeout.Milliseconds())); err != nil {
			return err
		}
		sql, args := q.sql()
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		s.Rows, err = pgx.CollectRows(rows, q.scan)
		return err
	})
	if err == nil && len(s.Rows) > maxStats {
		return nil, fault.Newf(fault.Invalid, "these are more than %d rows: ask for a shorter time, a longer interval or less in by", maxStats)
	}
	return s, unavailable(err)
}

// parseStats reads the parameters: from and to (the last 24 hours), interval, by, and what calls can be told apart by.
func parseStats(r *http.Request, now time.Time) (statQuery, error) {
	values, err := parameterValues(r)
	if err != nil {
		return statQuery{}, err
	}
	q := statQuery{interval: "hour", by: []string{}, to: now.UTC().Truncate(time.Second)}
	columns := statBy()
	var bounds query
	for name, given := range values {
		column, isColumn := columns[name]
		switch {
		case isColumn && !slices.ContainsFunc(given, unfit):
			q.where = append(q.where, condition{column + " = ANY (%s)", given})
		case name == "from" && len(given) == 1:
			bounds.time("from", given[0], &q.from)
		case name == "to" && len(given) == 1:
			bounds.time("to", given[0], &q.to)
		case name == "interval" && len(given) == 1 && slices.Contains([]string{"minute", "hour", "day"}, given[0]):
			q.interval = given[0]
		case name == "interval":
			q.problems.add(name, "it must be minute, hour or day")
		case name == "by":
			q.tellApart(columns, given)
		default:
			q.problems.add(name, "there is no such parameter, or it is not as it can be")
		}
	}
	q.problems = append(q.problems, bounds.problems...)
	if q.from.IsZero() {
		q.from = q.to.Add(-24 * time.Hour)
	}
	if !q.from.Before(q.to) {
		q.problems.add("to", "it must be later than from")
	}
	if len(q.problems) > 0 {
		return q, fault.Newf(fault.Invalid, "bad parameter %s: %s", q.problems[0].Path, q.problems[0].Message).WithProblems(q.problems...)
	}
	return q, nil
}

func (q *statQuery) tellApart(columns map[string]string, given []string) {
	for _, name := range strings.Split(strings.Join(given, ","), ",") {
		if _, ok := columns[name]; !ok || slices.Contains(q.by, name) {
			q.problems.add("by", "it must be some of access, decision, gateway, reason, site, status, each once")
			return
		}
		q.by = append(q.by, name)
	}
}

func (q *statQuery) sql() (string, []any) {
	columns, apart := statBy(), ""
	for _, name := range q.by {
		apart += ", " + columns[name]
	}
	clauses, args := conditions(q.where, []string{"minute >= date_trunc('minute', $2::timestamptz)", "minute < $3"}, []any{q.interval, q.from, q.to})
	return `SELECT date_trunc($1, minute, 'UTC') AS at` + apart + `, least(sum(calls), 9223372036854775807)::bigint, least(sum(bytes_in), 9223372036854775807)::bigint, least(sum(bytes_out), 9223372036854775807)::bigint, least(sum(duration_ns), 9223372036854775807)::bigint,
			least(sum(upstream_duration_ns), 9223372036854775807)::bigint, least(sum(within_10ms), 9223372036854775807)::bigint, least(sum(within_50ms), 9223372036854775807)::bigint, least(sum(within_100ms), 9223372036854775807)::bigint, least(sum(within_500ms), 9223372036854775807)::bigint,
			least(sum(within_1s), 9223372036854775807)::bigint, least(sum(within_5s), 9223372036854775807)::bigint
		FROM audit.stat WHERE ` + strings.Join(clauses, " AND ") + ` GROUP BY at` + apart + ` ORDER BY at` + apart + fmt.Sprintf(" LIMIT %d", maxStats+1), args
}

func (q *statQuery) scan(row pgx.CollectableRow) (s Stat, err error) {
	names := make([]string, len(q.by))
	to := []any{&s.Time}
	for i := range names {
		to = append(to, &names[i])
	}
	err = row.Scan(append(to, &s.Calls, &s.BytesIn, &s.BytesOut, &s.DurationNS, &s.UpstreamNS, &s.Within10ms, &s.Within50ms, &s.Within100ms,
		&s.Within500ms, &s.Within1s, &s.Within5s)...)
	s.Time = s.Time.UTC()
	if len(names) > 0 {
		s.By = map[string]string{}
		for i, name := range q.by {
			s.By[name] = names[i]
		}
	}
	return s, err
}
