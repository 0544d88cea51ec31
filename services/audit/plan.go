package audit

import (
	"slices"
	"time"
)

// plan is what one transaction does, decided before it begins.
type plan struct {
	rows     rows
	last     uint64               // sequence of the last message
	hash     []byte               // of the last message
	sources  map[sourceKey]source // those that were heard of, as they will be
	rejected []message
	replaced []replacement
	stats    map[statKey]*stat
	gaps     []gap
	again    []run // records whose numbers are taken: sent again, one hopes
	// Found in the transaction: those that are not what is there, and were never seen before.
	conflicts []conflict
	// For the metrics.
	batches, duplicates, changed, broken int
}

// gap is a hole that was found.
type gap struct {
	sourceKey
	span
}

// replacement says that the call with this id takes the place of an earlier record.
type replacement struct {
	sourceKey
	n, id int64
}

// newPlan decides what becomes of messages, given what the database has: known must hold every source they are of.
func newPlan(msgs []message, known map[sourceKey]source, firstID int64, now time.Time) plan {
	p := plan{rows: rows{first: firstID}, hash: msgs[len(msgs)-1].hash(), sources: map[sourceKey]source{}}
	id := firstID
	for i := range msgs {
		m := &msgs[i]
		p.last = m.seq
		if m.poison != "" {
			p.rejected = append(p.rejected, *m)
			continue
		}
		p.batches++
		p.changed += m.changed
		if m.broken {
			p.broken++
		}
		key := m.source()
		before, ok := p.sources[key]
		if !ok {
			before = known[key]
		}
		fresh, after := before.take(m.span(), m.batch.GetOldest(), now)
		p.sources[key] = after
		if first := m.batch.GetFirst(); first > before.last+1 {
			p.gaps = append(p.gaps, gap{key, span{before.last + 1, first - 1}})
		}
		for _, f := range fresh {
			p.rows.runs = append(p.rows.runs, m.run(f))
			id += small(f.last - f.first + 1)
		}
		for _, a := range m.span().without(fresh) {
			p.again = append(p.again, m.run(a))
			p.duplicates += len(m.run(a).records)
		}
	}
	p.rows.count = id - firstID
	p.replaced, p.stats = p.rows.replaced(), statsOf(p.rows.runs)
	return p
}

// contradicted counts the conflicts by source.
func (p *plan) contradicted() map[sourceKey]int {
	all := map[sourceKey]int{}
	for _, c := range p.conflicts {
		all[c.sourceKey]++
	}
	return all
}

// replaced lists the rows that take the place of others.
func (r *rows) replaced() []replacement {
	var all []replacement
	id := r.first
	for i := range r.runs {
		of := &r.runs[i]
		for j := range of.records {
			if n := replaces(of, j); n > 0 {
				all = append(all, replacement{of.sourceKey, n, id})
			}
			id++
		}
	}
	return all
}

// times gives the earliest and the latest call.
func (r *rows) times() (earliest, latest time.Time) {
	for i := range r.runs {
		for _, c := range r.runs[i].records {
			at := callTime(c)
			if earliest.IsZero() || at.Before(earliest) {
				earliest = at
			}
			if at.After(latest) {
				latest = at
			}
		}
	}
	return earliest, latest
}

// unknown gives the sources of messages that are not known yet.
func unknown(msgs []message, known map[sourceKey]source) []sourceKey {
	var all []sourceKey
	for i := range msgs {
		if msgs[i].poison != "" {
			continue
		}
		key := msgs[i].source()
		if _, ok := known[key]; !ok && !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}
