package retention

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// days is a policy under which what is older than so many hours goes, for whoever fills one record an hour.
func days(n uint32) configlog.Retention { return configlog.Retention{MaxDays: n} }

func entries(n uint64) configlog.Retention { return configlog.Retention{MaxEntries: n} }

// due is what was due by what a run says.
func due(out Outcome) bounds {
	b := bounds{upTo: out.UpTo}
	if out.Before != nil {
		b.before = *out.Before
	}
	return b
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]configlog.Retention{
		"neither": {}, "days": days(10), "entries": entries(300), "both": {MaxDays: 20, MaxEntries: 400}, "both, other way": {MaxDays: 10, MaxEntries: 450},
		"all in one run stay": entries(1), "everything is new": days(100), "fewer than asked": entries(10_000),
	} {
		lengths := []int{1, 7, 60, 250} // the last ones are longer than a partition
		if testing.Short() {
			lengths = lengths[2:3]
		}
		for _, each := range lengths {
			t.Run(fmt.Sprintf("%s, runs of %d", name, each), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 50)
				w.fill(500/each, each)
				dry, err := w.keeper.rehearse(t.Context(), "alice", policy)
				if err != nil {
					t.Fatal(err)
				}
				if got := len(w.ids()); got != len(w.trail) {
					t.Fatalf("a dry run left %d", got)
				}
				out := w.obey(policy)
				stay, _ := w.model(due(out))
				w.wantLeft(stay)
				if out.Records != int64(len(w.trail)-len(stay)) || dry.Records != out.Records || dry.Partitions != out.Partitions || dry.Held != 0 {
					t.Errorf("%d went; said %+v, dry %+v", len(w.trail)-len(stay), out, dry)
				}
				if dry.Stays.Records != int64(len(stay)) || !same(dry.Oldest, out.Oldest) || !same(dry.Newest, out.Newest) {
					t.Errorf("dry %+v, stays %+v; then %+v", dry, dry.Stays, out)
				}
				if again := w.obey(policy); again.Records > int64(each) { // an hour may have passed
					t.Errorf("again %+v", again)
				}
			})
		}
	}
}

func same(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// TestHolds, at random: what matches stays with its runs, and a dry run says the same.
func TestHolds(t *testing.T) {
	t.Parallel()
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, 40)
			w.fill(60, 1+random.IntN(12))
			var holds []Hold
			for range 1 + random.IntN(3) {
				h := Hold{Reason: "because", SetBy: "alice"}
				if random.IntN(2) == 0 {
					from := w.trail[random.IntN(len(w.trail))].at
					h.From = &from
				}
				if random.IntN(2) == 0 {
					to := w.trail[random.IntN(len(w.trail))].at
					if h.From == nil || to.After(*h.From) {
						h.To = &to
					}
				}
				h.User = []string{"", "u3", "nobody"}[random.IntN(3)]
				h.Site = []string{"", "s", "another"}[random.IntN(3)]
				holds = append(holds, h)
				w.exec(`INSERT INTO audit.hold (from_time, to_time, username, site, reason, set_by) VALUES ($1, $2, nullif($3, ''), nullif($4, ''), 'because', 'alice')`,
					h.From, h.To, h.User, h.Site)
			}
			policy := days(uint32(1 + random.IntN(5)))
			dry, err := w.keeper.rehearse(t.Context(), "alice", policy)
			if err != nil {
				t.Fatal(err)
			}
			out := w.obey(policy)
			stay, held := w.model(due(out), holds...)
			w.wantLeft(stay)
			if out.Records != int64(len(w.trail)-len(stay)) || dry.Records != out.Records || dry.Held != held {
				t.Errorf("%d went, %d are held; said %+v, dry %+v", len(w.trail)-len(stay), held, out, dry)
			}
			w.exec(`UPDATE audit.hold SET lifted_at = now(), lifted_by = 'bob'`)
			out = w.obey(policy)
			stay, _ = w.model(due(out))
			w.wantLeft(stay)
		})
	}
}

// TestKilledAnywhere: a run is ended as by kill -9 at every place it says it has reached, one after the other; the next
// run finishes it, and what was done is counted once.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, policy := range []configlog.Retention{days(6), {MaxEntries: 90, MaxDays: 8}} {
		whole := false
		for k := 0; !whole && !t.Failed(); k++ {
			t.Run(fmt.Sprintf("%d days, place %d", policy.MaxDays, k), func(t *testing.T) {
				w := newWorld(t, 40)
				w.fill(30, 8)
				n, where := 0, ""
				w.keeper.crash = func(place string) bool {
					n, where = n+1, place
					return n == k+1
				}
				_, err := w.keeper.execute(t.Context(), order{policy: policy})
				whole = err == nil
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatalf("%s: %v", where, err)
				}
				w.keeper.crash = nil
				out := w.obey(policy)
				stay, _ := w.model(due(out))
				w.wantLeft(stay)
				if t.Failed() {
					t.Logf("killed at %q", where)
				}
				if gone := one[int](w, `SELECT sum(records) FROM audit.retention_run`); gone != len(w.trail)-len(stay) {
					t.Errorf("killed at %q: %d went, %d are counted", where, len(w.trail)-len(stay), gone)
				}
				if n := one[int](w, `SELECT count(*) FROM audit.retention_run WHERE ended IS NULL`); n > 0 {
					t.Errorf("%d runs have no end", n)
				}
			})
		}
	}
}

// TestPutBack: what a killed run has taken out is a part of the trail again when it is no longer due.
func TestPutBack(t *testing.T) {
	t.Parallel()
	for _, place := range []string{stateLeaving, detached} {
		for name, change := range map[string]func(*world) configlog.Retention{
			"longer policy": func(*world) configlog.Retention { return days(1000) },
			"hold": func(w *world) configlog.Retention {
				w.exec(`INSERT INTO audit.hold (reason, set_by) VALUES ('all of it', 'alice')`)
				return days(5)
			},
		} {
			t.Run(place+", "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 40)
				w.fill(240, 1)
				w.keeper.crash = func(at string) bool { return at == place }
				if _, err := w.keeper.execute(t.Context(), order{policy: days(5)}); !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				w.keeper.crash = nil
				out := w.obey(change(w))
				if out.Records != 0 {
					t.Errorf("%+v", out)
				}
				all := make([]int64, len(w.trail))
				for i, e := range w.trail {
					all[i] = e.id
				}
				w.wantLeft(all)
			})
		}
	}
}

// TestLongTransaction: a report that reads the trail for hours holds its partitions; the run says who it is, ingest goes
// on all the while, and the next run does the rest.
func TestLongTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(240, 1)
	report, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET application_name = 'yearly report'; SELECT count(*) FROM audit.call`); err != nil {
		t.Fatal(err)
	}
	w.keeper.Patience = 600 * time.Millisecond
	failed := make(chan error, 1)
	go func() {
		_, err := w.keeper.execute(t.Context(), order{policy: days(5)})
		failed <- err
	}()
	if err := w.ingestUntil(failed); !isBlocked(err) || !strings.Contains(err.Error(), "yearly report") {
		t.Errorf("got %v", err)
	}
	if err := report.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := w.obey(days(5))
	stay, _ := w.model(due(out))
	w.wantLeft(stay)
}

// TestOneAtATime: another instance makes no run meanwhile.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(240, 1)
	other := w.newKeeper()
	tried := false
	w.keeper.crash = func(string) bool {
		if _, err := other.execute(t.Context(), order{policy: days(5)}); !errors.Is(err, errBusy) {
			t.Errorf("the other one: %v", err)
		}
		tried = true
		return false
	}
	out := w.obey(days(5))
	stay, _ := w.model(due(out))
	w.wantLeft(stay)
	if !tried {
		t.Error("never tried")
	}
}

// TestConnectionKilledAnywhere: Postgres ends the run's connection at every place it reaches, one after the other; the run says so,
// and the next one finishes.
func TestConnectionKilledAnywhere(t *testing.T) {
	t.Parallel()
	ended := map[string]int{}
	for k, more := 1, true; more && !t.Failed(); k++ {
		t.Run(fmt.Sprintf("place %d", k), func(t *testing.T) {
			w := newWorld(t, 40)
			w.fill(30, 8)
			n, where := 0, ""
			w.keeper.crash = func(place string) bool {
				if n++; n == k {
					where = place
					w.endRun()
				}
				return false
			}
			_, err := w.keeper.execute(t.Context(), order{policy: days(6)})
			w.keeper.crash = nil
			if more = where != ""; more {
				ended[where]++
			}
			if more != (err != nil) {
				t.Fatalf("ended at %q: %v", where, err)
			}
			out := w.obey(days(6))
			stay, _ := w.model(due(out))
			w.wantLeft(stay)
			if gone := one[int](w, `SELECT sum(records) FROM audit.retention_run`); gone != len(w.trail)-len(stay) {
				t.Errorf("ended at %q: %d went, %d are counted", where, len(w.trail)-len(stay), gone)
			}
		})
	}
	for _, place := range []string{"begin", stateLeaving, detached, stateGone, "clean", "step", "rejected"} {
		if ended[place] == 0 {
			t.Errorf("no run was ended at %q", place)
		}
	}
}

// endRun has Postgres end the connection of the run that is under way.
func (w *world) endRun() {
	w.t.Helper()
	n := one[int](w, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (classid::bigint << 32) + objid::bigint = $1`, int64(runKey))
	if n != 1 {
		w.t.Fatalf("%d connections ended", n)
	}
}

// TestRejectedGoToo, with those of a time that is held.
func TestRejectedGoToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(24, 1)
	for i := range 30 {
		w.exec(`INSERT INTO audit.rejected (stream, incarnation, seq, hash, subject, reason, data, at) VALUES ('AUDIT', now(), $1::int, '', 's', 'r', '', now() - make_interval(days => $1::int))`, i)
	}
	w.exec(`INSERT INTO audit.hold (from_time, to_time, username, reason, set_by) VALUES (now() - interval '25 days 1 hour', now() - interval '22 days 1 hour', 'x', 'because', 'alice')`)
	if out := w.obey(days(10)); out.Rejected != 20-3 {
		t.Errorf("%+v", out)
	}
	if n := one[int](w, `SELECT count(*) FROM audit.rejected`); n != 13 {
		t.Errorf("%d are left", n)
	}
}
