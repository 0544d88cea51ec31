package retention

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

func migrate(ctx context.Context, url string) error {
	return postgres.Migrate(ctx, url, os.DirFS(".."), "migrations", "audit")
}

// world is a trail of one test, and its Keeper.
type world struct {
	t      testing.TB
	url    string
	pool   *pgxpool.Pool
	keeper *Keeper
	policy configlog.Retention

	size  int64 // of a partition
	trail []entry
	runs  []span
}

// entry is a record as the test has stored it.
type entry struct {
	id   int64
	at   time.Time
	user string
}

func newWorld(t testing.TB, size int64) *world {
	t.Helper()
	w := &world{t: t, url: testkit.Postgres(t, migrate), size: size}
	config, err := pgxpool.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["lock_timeout"] = "250" // ms: nobody who stores records may wait for longer
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.pool = pool
	w.keeper = w.newKeeper()
	return w
}

// newKeeper gives another instance.
func (w *world) newKeeper(change ...func(*Settings)) *Keeper {
	s := Settings{
		Log: testkit.Logger(w.t), Metrics: prometheus.NewRegistry(), Pool: w.pool, Active: func() bool { return true },
		Policy: func() (configlog.Retention, error) { return w.policy, nil }, Poll: 10 * time.Millisecond, Pause: time.Microsecond,
		Patience: 2 * time.Second,
	}
	for _, c := range change {
		c(&s)
	}
	return New(s)
}

// withTrail gives a Keeper that tells its trail, on a stream of its own.
func (w *world) withTrail() (*Keeper, *testkit.NATS) {
	n := testkit.StartNATS(w.t)
	trail := audittrail.NewRecorder(n.JetStream(w.t, topology.Audit), testkit.Logger(w.t), audittrail.FromAudit)
	w.t.Cleanup(trail.Start(context.WithoutCancel(w.t.Context()), time.Second))
	return w.newKeeper(func(s *Settings) { s.Trail = trail }), n
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](w *world, sql string, args ...any) (value T) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&value); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// run stores records as one run, as the consumer does; of gives the time and the user of each.
func (w *world) run(n int, of func(id int64) (time.Time, string)) {
	w.t.Helper()
	first := one[int64](w, `SELECT last_id + 1 FROM audit.head`)
	last := first + int64(n) - 1
	for end := one[int64](w, `SELECT coalesce(max(hi), 1) FROM audit.part`); end <= last; end += w.size {
		name := fmt.Sprintf("call_%015d", end)
		w.exec(fmt.Sprintf(`CREATE TABLE audit.%[1]s (LIKE audit.call INCLUDING ALL);
			ALTER TABLE audit.call ATTACH PARTITION audit.%[1]s FOR VALUES FROM (%[2]d) TO (%[3]d);
			INSERT INTO audit.part (name, lo, hi) VALUES ('%[1]s', %[2]d, %[3]d)`, name, end, end+w.size))
	}
	var ids []int64
	var times []time.Time
	var users []string
	for id := first; id <= last; id++ {
		at, user := of(id)
		ids, times, users = append(ids, id), append(times, at), append(users, user)
		w.trail = append(w.trail, entry{id, at, user})
	}
	w.runs = append(w.runs, span{first, last})
	err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`INSERT INTO audit.call SELECT id, at, 1, id, 0, 1, 0, 0, 0, 0, 200, NULL, 'g1', 'r' || id, 's', 'n', 'oauth', 'p', 'c', 'f', u, 'allow',
				'allowed', '', '', 'completed', 'GET', '/', '', 'a', '' FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u)`,
			`WITH x AS (SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u)),
				p AS (SELECT name, count(*) AS rows, min(at) AS a, max(at) AS b FROM x JOIN audit.part ON id >= lo AND id < hi GROUP BY name)
			UPDATE audit.part t SET rows = t.rows + p.rows, min_time = least(min_time, a), max_time = greatest(max_time, b) FROM p WHERE p.name = t.name`,
			`INSERT INTO audit.run (gateway, epoch, first_n, last_n, first_id) SELECT 'g1', 1, min(id), max(id), min(id)
				FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u)`,
			`INSERT INTO audit.replaced SELECT 'g1', 1, id, id FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u) WHERE id % 5 = 0`,
			`INSERT INTO audit.conflict SELECT 'g1', 1, id, 'x', id, '{"user":"rival","time":1}' FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u)
				WHERE id % 7 = 0`,
			`UPDATE audit.head SET last_id = (SELECT max(id) FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS x (id, at, u))`,
		} {
			if _, err := tx.Exec(w.t.Context(), sql, ids, times, users); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// fill stores runs of some records, one a minute up to now.
func (w *world) fill(runs, each int) {
	w.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	total := int64(runs * each)
	first := one[int64](w, `SELECT last_id + 1 FROM audit.head`)
	for range runs {
		w.run(each, func(id int64) (time.Time, string) {
			return now.Add(-time.Duration(total-(id-first)) * time.Hour), fmt.Sprintf("u%d", id%10)
		})
	}
}

// model gives the ids that a run has to leave, and how many due ones stay for a hold.
func (w *world) model(b bounds, holds ...Hold) (stay []int64, held int64) {
	for _, s := range w.runs {
		all := w.trail[s.first-1 : s.last]
		due, kept := true, false
		for _, e := range all {
			due = due && (e.id <= b.upTo || (!b.before.IsZero() && e.at.Before(b.before)))
			for _, h := range holds {
				kept = kept || ((h.From == nil || !e.at.Before(*h.From)) && (h.To == nil || e.at.Before(*h.To)) && (h.User == "" || h.User == e.user) &&
					(h.ClientID == "" || h.ClientID == "c") && (h.Site == "" || h.Site == "s"))
			}
		}
		if due && !kept {
			continue
		}
		if due {
			held += int64(len(all))
		}
		for _, e := range all {
			stay = append(stay, e.id)
		}
	}
	return stay, held
}

// ids gives what is in the trail.
func (w *world) ids() []int64 {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT id FROM audit.call ORDER BY id`)
	if err != nil {
		w.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// wantLeft makes sure that the trail has these and nothing else, and everything beside it fits.
func (w *world) wantLeft(want []int64) {
	w.t.Helper()
	if got := w.ids(); !slices.Equal(got, want) {
		w.t.Errorf("%d records are left, not %d: %s", len(got), len(want), difference(got, want))
	}
	for what, sql := range map[string]string{
		"partitions that count wrongly":    `SELECT count(*) FROM audit.part p WHERE rows <> (SELECT count(*) FROM audit.call WHERE id >= lo AND id < hi)`,
		"partitions in between":            `SELECT count(*) FROM audit.part WHERE state <> 'kept'`,
		"full partitions without a record": `SELECT count(*) FROM audit.part WHERE rows = 0 AND hi <= (SELECT last_id + 1 FROM audit.head)`,
		"tables that are no partition": `SELECT count(*) FROM pg_class c WHERE relnamespace = 'audit'::regnamespace AND relkind = 'r' AND relname LIKE 'call\_0%'
			AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND NOT inhdetachpending)`,
		"partitions that are not listed": `SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'audit.call'::regclass
			AND NOT EXISTS (SELECT FROM audit.part WHERE name = relname)`,
		"runs that are not whole": `SELECT count(*) FROM audit.run r WHERE last_n - first_n + 1 <>
			(SELECT count(*) FROM audit.call WHERE id BETWEEN first_id AND first_id + last_n - first_n)`,
		"records of no run":      `SELECT count(*) FROM audit.call c WHERE NOT EXISTS (SELECT FROM audit.run WHERE c.id BETWEEN first_id AND first_id + last_n - first_n)`,
		"replaced of no record":  `SELECT count(*) FROM audit.replaced r WHERE NOT EXISTS (SELECT FROM audit.call c WHERE c.id = r.id)`,
		"replaced that went":     `SELECT count(*) FROM audit.call c WHERE id % 5 = 0 AND NOT EXISTS (SELECT FROM audit.replaced r WHERE c.id = r.id)`,
		"conflicts of no record": `SELECT count(*) FROM audit.conflict r WHERE NOT EXISTS (SELECT FROM audit.call c WHERE c.id = r.kept)`,
		"conflicts that went":    `SELECT count(*) FROM audit.call c WHERE id % 7 = 0 AND NOT EXISTS (SELECT FROM audit.conflict r WHERE c.id = r.kept)`,
	} {
		if n := one[int](w, sql); n > 0 {
			w.t.Errorf("%d %s", n, what)
		}
	}
}

func difference(got, want []int64) string {
	var more, less []int64
	for _, id := range got {
		if _, there := slices.BinarySearch(want, id); !there {
			more = append(more, id)
		}
	}
	for _, id := range want {
		if _, there := slices.BinarySearch(got, id); !there {
			less = append(less, id)
		}
	}
	return fmt.Sprintf("too many %v, too few %v", more, less)
}

// obey makes a run under a policy, once Postgres has noticed that the one before is dead.
func (w *world) obey(policy configlog.Retention) (out Outcome) {
	w.t.Helper()
	var err error
	testkit.Until(w.t, "the lock of runs", func() bool {
		out, err = w.keeper.execute(w.t.Context(), order{policy: policy})
		return !errors.Is(err, errBusy)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// ingestUntil stores runs of records as fast as it can until a run of retention has ended, and gives how that went. No
// lock is waited for for long: see newWorld.
func (w *world) ingestUntil(ended <-chan error) error {
	w.t.Helper()
	for {
		w.run(10, func(int64) (time.Time, string) { return time.Now().UTC().Truncate(time.Microsecond), "new" })
		select {
		case err := <-ended:
			return err
		default:
		}
	}
}
