package audit

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
)

// chained gives a batch its place in the chain.
func chained(prev audittrail.Hash, b *auditv1.Batch) (*auditv1.Batch, audittrail.Hash) {
	for _, r := range b.GetRecords() {
		audittrail.Clean(r)
	}
	hash := chain(prev, b.GetRecords())
	b.PrevHash, b.Hash = prev[:], hash[:]
	return b, hash
}

// TestKeepsWholeRecord: every field of a record comes back from the search as it was sent.
func TestKeepsWholeRecord(t *testing.T) {
	w := newWorld(t)
	in := w.start(t)
	b, _ := chained(audittrail.Genesis(audittrail.Hash{}, "gw1", 7), batch("gw1", 7, 1, 2, func(n uint64, r *auditv1.Record) {
		r.Groups, r.Access, r.ClientIpSource, r.TokenId = []string{"a,b", `"c"`}, "WRITE", "X-Forwarded-For", "t1"
		if n == 2 {
			r.Kind, r.Change = audittrail.AuditExported, `{"b": 1, "a":[]}`
		}
	}))
	w.publish(t, b)
	w.awaitCount(t, 2)
	p := in.search(t, "order=asc")
	first, second := p.Events[0], p.Events[1]
	if first.Kind != "call" || !slices.Equal(first.Groups, []string{"a,b", `"c"`}) || first.Access != "WRITE" ||
		first.ClientIPSource != "X-Forwarded-For" || first.TokenID != "t1" || first.Change != nil {
		t.Errorf("got %+v", first)
	}
	if second.Kind != audittrail.AuditExported || !json.Valid(second.Change) || strings.Count(string(second.Change), "a") != 1 {
		t.Errorf("got %+v", second)
	}
	if calls := row[int](t, w.url, `SELECT count(*) FROM audit.events`); calls != 1 {
		t.Errorf("%d calls", calls)
	}
	if said := row[string](t, w.url, `SELECT change::text FROM audit.actions`); said != `{"b": 1, "a":[]}` {
		t.Errorf("change is %s", said)
	}
}

// TestKeepsChain: the chain is kept with the records, also of a batch of which a part was there already, and a batch
// that is not what was chained is stored and told.
func TestKeepsChain(t *testing.T) {
	w := newWorld(t)
	in := w.start(t, seldomPurged)
	begin := audittrail.Genesis(audittrail.Hash{}, "gw1", 7)
	whole, end := chained(begin, batch("gw1", 7, 1, 10))
	part, _ := chained(begin, batch("gw1", 7, 1, 4))
	w.publish(t, part, whole)
	w.awaitCount(t, 10)
	const linked = `SELECT count(*) FROM audit.run a JOIN audit.run b ON a.hash = b.prev_hash WHERE a.last_n + 1 = b.first_n`
	if n := row[int](t, w.url, linked); n != 1 {
		t.Errorf("%d links, want 1", n)
	}
	if last := row[[]byte](t, w.url, `SELECT hash FROM audit.run WHERE last_n = 10`); !slices.Equal(last, whole.GetHash()) {
		t.Error("the chain does not end as it was sent")
	}
	forged, _ := chained(end, batch("gw1", 7, 11, 12))
	forged.Records[0].User = "mallory"
	w.publish(t, forged)
	w.awaitCount(t, 12)
	await(t, "broken batch counted", func() bool { return in.metric(t, "gatehouse_audit_broken_batches_total") == 1 })
	w.publish(t, part, whole) // again: still the same
	await(t, "duplicates counted", func() bool { return in.metric(t, "gatehouse_audit_duplicate_records_total") >= 18 })
	if n := in.metric(t, "gatehouse_audit_conflicts_total"); n != 0 {
		t.Errorf("%v conflicts", n)
	}
}

// TestInterrupted: an open call of a gateway that has started anew will never end.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 7, 1, 1, func(_ uint64, r *auditv1.Record) { r.Outcome = "open" }))
	w.awaitCount(t, 1)
	if p := in.search(t, "outcome=open"); len(p.Events) != 1 {
		t.Errorf("got %+v", p)
	}
	w.publish(t, batch("gw1", 8, 1, 1))
	w.awaitCount(t, 2)
	if p := in.search(t, "outcome=interrupted"); len(p.Events) != 1 || p.Events[0].Outcome != "interrupted" {
		t.Errorf("got %+v", p)
	}
}
