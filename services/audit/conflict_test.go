package audit

import (
	"testing"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

// Whoever publishes under numbers that a gateway uses makes none of its records vanish: the one that came first is in
// the trail, the other one is kept beside it and counted.
func TestContradictingRecordsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forged := func(n uint64, r *auditv1.Record) {
		if n%2 == 0 {
			r.User, r.Path = "nobody\x00", "/nothing/happened"
		}
	}
	in := w.start(t, seldomPurged)
	w.publish(t, batch("gw1", 1, 1, 2), batch("gw2", 1, 1, 9), batch("gw1", 1, 3, 6)) // two runs
	w.awaitCount(t, 15)
	w.publish(t, batch("gw1", 1, 1, 8, forged), batch("gw1", 1, 7, 9), batch("gw1", 1, 1, 9), batch("gw2", 1, 1, 9))
	w.awaitCount(t, 18)
	w.exact(t)
	if got := in.metric(t, "gatehouse_audit_conflicts_total"); got != 4 { // 2 4 6, and the true 8, which came too late
		t.Errorf("metric %v", got)
	}
	const seen = `SELECT string_agg(concat_ws(' ', x.gateway, x.n, c.n, c.username, x.record->>'user'), ', ' ORDER BY x.n)
		FROM audit.conflict x JOIN audit.call c ON c.id = x.kept AND c.gateway = x.gateway AND c.epoch = x.epoch`
	want := "gw1 2 2 alice nobody␀, gw1 4 4 alice nobody␀, gw1 6 6 alice nobody␀, gw1 8 8 nobody␀ alice"
	if diff := cmp.Diff(want, row[string](t, w.url, seen)); diff != "" {
		t.Error(diff)
	}
	in.stop()
	exec(t, w.url, `UPDATE audit.cursor SET last_seq = 50`) // all of it comes again
	in = w.start(t)
	await(t, "health tells", func() bool { _, d := in.health(t); return d.Conflicts == 4 && d.Role == roleActive && d.Lag == 0 })
	w.publish(t, batch("gw1", 1, 10, 10))
	w.awaitCount(t, 19)
	if got := in.metric(t, "gatehouse_audit_conflicts_total"); got != 0 {
		t.Errorf("%v conflicts counted twice", got)
	}
}

// Whatever is in a record, the same one again is no contradiction.
func TestTheSameRecordAgainIsNoConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	odd := func(n uint64, r *auditv1.Record) {
		switch n {
		case 1:
			proto.Reset(r)
		case 2:
			r.Time, r.BytesIn, r.Status, r.ClientIp = 1<<64-1, 1<<64-1, 1<<32-1, "nowhere"
		case 3:
			r.Time, r.ClientIp, r.Opened, r.Path = 999, "2001:db8::7", 1, "/a\x00b"
		case 4:
			r.ClientIp, r.Opened = "::ffff:192.0.2.1", 99
		}
	}
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 5, odd))
	w.awaitCount(t, 5)
	w.publish(t, batch("gw1", 1, 1, 5, odd))
	await(t, "came again", func() bool { return in.metric(t, "gatehouse_audit_duplicate_records_total") == 5 })
	if got := in.metric(t, "gatehouse_audit_conflicts_total"); got != 0 {
		t.Errorf("%v conflicts: %s", got, row[string](t, w.url, `SELECT string_agg(n::text, ' ') FROM audit.conflict`))
	}
}
