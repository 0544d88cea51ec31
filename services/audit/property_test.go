package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// Batches that come twice, overlap and skip, a consumer that is stopped and started, two at once, a database whose
// connections break in the middle of anything, a stream that is made anew: in the end every record is there exactly
// once, ids are dense, and every gateway's mark is where it should be.
func TestEveryRecordExactlyOnce(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const gateways, records = 3, 3000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	way := newProxy(t, w.url)
	change := func(s *Settings) { s.DatabaseURL, s.PartitionRows = way.url, 1000 }
	running := []*instance{w.start(t, change)}
	next, anew := [gateways]uint64{}, false
	for round := 0; next != [gateways]uint64{records, records, records}; round++ {
		for g := range gateways {
			n := min(1+random.Uint64N(300), records-next[g])
			if n == 0 {
				continue
			}
			first := next[g] + 1 - min(next[g], random.Uint64N(3)*random.Uint64N(200)) // often again what was sent
			b := batch(fmt.Sprintf("gw%d", g), uint64(100+g), first, next[g]+n)
			if n > 20 && random.IntN(4) == 0 { // the end overtakes the beginning
				w.publish(t, batch(b.GetGateway(), b.GetEpoch(), next[g]+n-9, next[g]+n))
			}
			w.publish(t, b)
			next[g] += n
		}
		switch random.IntN(6) {
		case 0:
			way.cut()
			way.back()
		case 1:
			running = append(running, w.start(t, change))
		case 2:
			if len(running) > 1 {
				running[0].stop()
				running = running[1:]
			}
		case 3:
			if !anew {
				w.recreateStream(t)
				anew = true
			}
		}
	}
	if anew { // what was only in the stream is gone with it, and the gateways are asked for it
		for g := range gateways {
			for first := uint64(1); first <= records; first += 300 {
				w.publish(t, batch(fmt.Sprintf("gw%d", g), uint64(100+g), first, min(first+299, records)))
			}
		}
	}
	w.awaitCount(t, gateways*records)
	w.exact(t)
	for g := range gateways {
		const all = `SELECT min(n) = 1 AND max(n) = count(*) FROM audit.call WHERE gateway = $1`
		if name := fmt.Sprintf("gw%d", g); !row[bool](t, w.url, all, name) || row[int64](t, w.url, `SELECT last_n FROM audit.source WHERE gateway = $1`, name) != records {
			t.Errorf("%s is not complete", name)
		}
	}
	if row[int](t, w.url, `SELECT count(*) FROM audit.conflict`) != 0 {
		t.Error("a record contradicts itself")
	}
	if row[int](t, w.url, `SELECT count(*) FROM audit.hole`) != 0 {
		t.Error("a hole is left")
	}
}

func TestPartitionsAreMadeAheadAndIndexed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows = 100 })
	w.publish(t, batch("gw1", 1, 1, 250), batch("gw1", 1, 251, 360, func(_ uint64, r *auditv1.Record) { r.User = "late" }))
	w.awaitCount(t, 360)
	w.exact(t)
	await(t, "three partitions are indexed", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.part WHERE sealed AND rows = 100 AND min_time < max_time AND stored_from <= stored_to`) == 3
	})
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.part WHERE NOT sealed`); n != 2 {
		t.Errorf("%d partitions to fill, want the current and the next one", n)
	}
	const indexes = `SELECT count(*) FROM pg_indexes WHERE schemaname = 'audit' AND tablename = (SELECT name FROM audit.part WHERE lo = 1)`
	if n := row[int](t, w.url, indexes); n != 5 {
		t.Errorf("%d indexes", n)
	}
	if p := in.search(t, "user=late&limit=1000"); len(p.Events) != 110 {
		t.Errorf("found %d", len(p.Events))
	}
}
