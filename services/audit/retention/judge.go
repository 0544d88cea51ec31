package retention

import (
	"cmp"
	"slices"
	"time"
)

// record is what is looked at of a row of audit.call.
type record struct {
	id        int64
	at        time.Time
	due, held bool
}

// span is the ids first to last, both included.
type span struct{ first, last int64 }

// verdict is what goes of some records that follow each other.
type verdict struct {
	records []int64 // ids
	runs    []int64 // first ids of the runs that go
	oldest  time.Time
	newest  time.Time
	held    int64     // records that are due and stay for a hold alone, be it on another record of their run
	earlier time.Time // of those that stay, the earliest time
	counted span      // the ids that are looked at for all but runs; zero: all
}

// judge decides what goes: a run whose records are all due, none of them held. A run goes whole or not at all,
// because what is left of one cannot be verified: its hash chain begins before its first record. A record of no run,
// stored by a version that kept none, goes by itself. Both lists ascend, and runs are apart from each other. Records
// outside of counted are judged with their run and not counted; a zero one counts all.
func judge(runs []span, records []record, counted span) verdict {
	v := verdict{counted: counted}
	for len(records) > 0 || len(runs) > 0 {
		if len(runs) > 0 && (len(records) == 0 || runs[0].first <= records[0].id) {
			n, _ := slices.BinarySearchFunc(records, runs[0].last+1, func(r record, id int64) int { return cmp.Compare(r.id, id) })
			if v.one(records[:n]) {
				v.runs = append(v.runs, runs[0].first)
			}
			records, runs = records[n:], runs[1:]
			continue
		}
		v.one(records[:1])
		records = records[1:]
	}
	return v
}

// one decides about records that go together or not at all, and tells whether they go.
func (v *verdict) one(records []record) bool {
	due, held := true, false
	for _, r := range records {
		due, held = due && r.due, held || r.held
	}
	for _, r := range records {
		switch {
		case v.counted.last > 0 && (r.id < v.counted.first || r.id > v.counted.last):
		case due && !held:
			v.records = append(v.records, r.id)
			v.oldest, v.newest = earliest(v.oldest, r.at), latest(v.newest, r.at)
		case due:
			v.held++
			fallthrough
		default:
			v.earlier = earliest(v.earlier, r.at)
		}
	}
	return due && !held
}

// earliest gives the earlier of two times; a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
