package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/jackc/pgx/v5"
)

// order is who wants a run, and how it is to be.
type order struct {
	by, requestID, address string // by "": nobody, it is time
	policy                 configlog.Retention
}

// Outcome is what a run has done, or a dry one would do.
type Outcome struct {
	ID         int64      `json:"id,omitempty"` // a dry run has none
	DryRun     bool       `json:"dry_run,omitempty"`
	Began      time.Time  `json:"began"`
	Ended      *time.Time `json:"ended,omitempty"` // absent: it runs, or was interrupted and goes on with the next one
	AskedBy    string     `json:"asked_by"`        // empty: it was time
	Policy     Limits     `json:"policy"`
	Before     *time.Time `json:"before,omitempty"` // what is older is due
	UpTo       int64      `json:"up_to,omitempty"`  // what has this id or a lower one is due
	Records    int64      `json:"records"`          // that went
	Partitions int64      `json:"partitions"`       // of these records, dropped whole
	Rejected   int64      `json:"rejected"`         // messages of audit.rejected that went
	Held       int64      `json:"held"`             // records that stay for a hold alone
	Oldest     *time.Time `json:"oldest,omitempty"` // of the records that went
	Newest     *time.Time `json:"newest,omitempty"`
	Stays      *Rest      `json:"stays,omitempty"` // of a dry run
	Error      string     `json:"error,omitempty"`
}

// Limits say how much is to stay; 0: without that bound.
type Limits struct {
	MaxDays    uint32 `json:"max_days"`
	MaxEntries uint64 `json:"max_entries"`
}

// Rest is what a dry run would leave.
type Rest struct {
	Records int64      `json:"records"`
	Oldest  *time.Time `json:"oldest,omitempty"`
}

// run is one run of retention, on a connection of its own that has its lock.
type run struct {
	*Keeper
	bounds
	dry bool
	// counted are the ids of the partition that a dry run looks at: a run of records may reach into the next one, which is
	// looked at too.
	counted span
	conn    *pgx.Conn
	id      int64
	holds   []Hold // as they were when it began, for what need not be exact
	done    Outcome
	stuck   error // why no partition can be dropped whole now
}

// errBusy says that a run is under way, here or in another instance.
var errBusy = errors.New("another run of retention is under way")

const interrupted = "interrupted: the next run has gone on with it"

// execute makes a run. errBusy: another one is under way, here or in another instance.
func (k *Keeper) execute(ctx context.Context, o order) (Outcome, error) {
	conn, err := k.takeLock(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer k.release(conn)
	r := &run{Keeper: k, conn: conn.Conn()}
	if err := r.begin(ctx, o); err != nil {
		return Outcome{}, err
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "audit retention begins", slog.Int64("run", r.id), slog.String("asked_by", o.by),
		slog.Time("before", r.before), slog.Int64("up_to", r.upTo))
	err = r.work(ctx)
	if errors.Is(err, errCrash) {
		return Outcome{}, err
	}
	out, ended := r.end(ctx, err)
	return out, errors.Join(err, ended)
}

// begin notes the run, and ends those that were interrupted.
func (r *run) begin(ctx context.Context, o order) (err error) {
	if r.bounds, err = bound(ctx, r.conn, o.policy); err != nil {
		return err
	}
	if o.by == "" {
		if err = r.plausible(ctx, o.policy); err != nil {
			return err
		}
	}
	if r.holds, err = standing(ctx, r.conn); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := closeRuns(ctx, tx, 0, interrupted); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `INSERT INTO audit.retention_run (asked_by, request_id, client_ip, max_days, max_entries, before, up_to)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
			o.by, o.requestID, o.address, int64(o.policy.MaxDays), int64(min(o.policy.MaxEntries, 1<<63-1)), none(r.before), r.upTo).Scan(&r.id)
	})
	if err != nil {
		return fmt.Errorf("note the run: %w", err)
	}
	return r.reached("begin")
}

// aWeek is how far the clock may have gone on from one run to the next for nobody to be asked.
const aWeek = 7 * 24 * time.Hour

// plausible fails when the clock has gone on by more than a week since the last run, and by more than the time between
// two: a clock that is wrong by a year would have the trail removed. Somebody who knows has to ask for this run.
func (r *run) plausible(ctx context.Context, policy configlog.Retention) error {
	last, err := lastRun(ctx, r.conn)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last run: %w", err)
	}
	var now time.Time
	if err := r.conn.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
		return fmt.Errorf("ask the database for the time: %w", err)
	}
	if ahead := now.Sub(last.Began); ahead > max(aWeek, 2*time.Duration(policy.Every)) {
		return fmt.Errorf("the last run was %d days ago, by the clock of the database: if that is so, ask for a run (audit/retention/run)", int(ahead.Hours()/24))
	}
	return nil
}

// work removes what is due, partition by partition. One that cannot be dropped now holds the others up no more than it must.
func (r *run) work(ctx context.Context) error {
	parts, _, err := readParts(ctx, r.conn)
	if err != nil {
		return err
	}
	for i := range parts {
		if err := r.treat(ctx, &parts[i]); err != nil {
			return err
		}
	}
	if err := r.removeRejected(ctx); err != nil {
		return err
	}
	if err := r.removeStats(ctx); err != nil {
		return err
	}
	return r.stuck
}

// treat does with a partition what is to be done.
func (r *run) treat(ctx context.Context, p *part) error {
	switch {
	case p.state == stateGone:
		return r.cleanUp(ctx, p)
	case p.state == stateLeaving || r.whole(p):
		stays, err := r.drop(ctx, p)
		if err != nil || !stays {
			return err
		}
	}
	if !r.some(p) {
		return nil
	}
	return r.trim(ctx, p)
}

// removeRejected removes the messages that were rejected before the time from which things are kept. What they are
// about is not known, so every hold of that time keeps them.
func (r *run) removeRejected(ctx context.Context) error {
	if r.before.IsZero() {
		return nil
	}
	for more := true; more; {
		err := r.locked(ctx, func(tx pgx.Tx, holds []Hold) error {
			var times []Hold
			for _, h := range holds {
				times = append(times, Hold{From: h.From, To: h.To})
			}
			held, args := matching(times, names{time: "at"}, []any{r.before})
			done, err := tx.Exec(ctx, `DELETE FROM audit.rejected WHERE ctid IN
				(SELECT ctid FROM audit.rejected WHERE at < $1 AND NOT `+held+` LIMIT 500)`, args...)
			if err != nil {
				return err
			}
			more = done.RowsAffected() > 0
			_, err = tx.Exec(ctx, `UPDATE audit.retention_run SET rejected = rejected + $2 WHERE id = $1`, r.id, done.RowsAffected())
			return err
		})
		if err != nil {
			return fmt.Errorf("remove rejected messages: %w", err)
		}
	}
	return r.reached("rejected")
}

// statDays is how long calls are counted by minute: a year and a month, to look back at the same day.
const statDays = 400

// removeStats removes counts that are too old. They name nobody, so no hold and no policy is about them.
func (r *run) removeStats(ctx context.Context) error {
	for more := true; more; {
		done, err := r.conn.Exec(ctx, `DELETE FROM audit.stat WHERE ctid = ANY (ARRAY
			(SELECT ctid FROM audit.stat WHERE minute < now() - make_interval(days => $1) LIMIT 5000))`, statDays)
		if err != nil {
			return fmt.Errorf("remove counts: %w", err)
		}
		more = done.RowsAffected() > 0
	}
	return nil
}

// end notes how the run went, also when what went wrong was the connection.
func (r *run) end(ctx context.Context, failed error) (out Outcome, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Attempt)
	defer cancel()
	said := ""
	if failed != nil {
		said, _ = audittrail.Text(failed.Error(), 1024)
	}
	err = pgx.BeginFunc(ctx, r.Pool, func(tx pgx.Tx) error {
		if err := durable(ctx, tx); err != nil {
			return err
		}
		if err := closeRuns(ctx, tx, r.id, said); err != nil {
			return err
		}
		// Only so many are kept that did nothing; a verification looks at the others.
		if _, err := tx.Exec(ctx, `DELETE FROM audit.retention_run WHERE id < $1 - 1000 AND records = 0`, r.id); err != nil {
			return err
		}
		out, err = lastRun(ctx, tx)
		return err
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("note the end of the run: %w", err)
	}
	return out, nil
}

// closeRuns ends a run (0: every one) that has no end, and has the trail told of those that did something or that
// somebody asked for.
func closeRuns(ctx context.Context, tx pgx.Tx, id int64, said string) error {
	_, err := tx.Exec(ctx, `WITH ended AS (UPDATE audit.retention_run SET ended = clock_timestamp(), error = $1
			WHERE ended IS NULL AND $3::bigint IN (0, id) RETURNING *)
		INSERT INTO audit.unrecorded (kind, username, request_id, client_ip, change)
		SELECT $2::text, asked_by, coalesce(nullif(request_id, ''), 'retention-' || id), client_ip, json_build_object(
			'run', id, 'began', began, 'ended', ended, 'policy', json_build_object('max_days', max_days, 'max_entries', max_entries),
			'before', before, 'up_to', up_to, 'records', records, 'partitions', partitions, 'rejected', rejected, 'held', held,
			'oldest', oldest, 'newest', newest, 'error', error)
		FROM ended WHERE asked_by <> '' OR records > 0 OR rejected > 0 ORDER BY id`, said, audittrail.RetentionRun, id)
	return err
}

const selectRuns = `SELECT id, began, ended, asked_by, max_days, max_entries, before, up_to, records, partitions, rejected, held,
	oldest, newest, error FROM audit.retention_run`

// lastRun gives the run that began last; the error is pgx.ErrNoRows when there was none.
func lastRun(ctx context.Context, q querier) (Outcome, error) {
	rows, err := q.Query(ctx, selectRuns+` ORDER BY id DESC LIMIT 1`)
	if err != nil {
		return Outcome{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanOutcome)
}

func scanOutcome(row pgx.CollectableRow) (o Outcome, err error) {
	err = row.Scan(&o.ID, &o.Began, &o.Ended, &o.AskedBy, &o.Policy.MaxDays, &o.Policy.MaxEntries, &o.Before, &o.UpTo, &o.Records,
		&o.Partitions, &o.Rejected, &o.Held, &o.Oldest, &o.Newest, &o.Error)
	o.Began = o.Began.UTC()
	for _, at := range []*time.Time{o.Ended, o.Before, o.Oldest, o.Newest} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return o, err
}
