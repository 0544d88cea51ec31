package audit

import (
	"slices"
	"time"
)

// sourceKey names one numbering of records: they count from 1 in each epoch of a gateway.
type sourceKey struct {
	gateway string
	epoch   uint64
}

// span is the numbers first to last, both included.
type span struct{ first, last uint64 }

// without gives what is left of a span without parts of it, which ascend and are apart from each other.
func (s span) without(parts []span) []span {
	var rest []span
	for _, p := range parts {
		if s.first < p.first {
			rest = append(rest, span{s.first, p.first - 1})
		}
		s.first = p.last + 1
	}
	if s.first <= s.last {
		rest = append(rest, s)
	}
	return rest
}

// hole is a span that never came although later records did.
type hole struct {
	span
	lost  bool // the gateway no longer has it: it will not come
	found time.Time
}

// source says what the database has of one numbering: the records 1 to last but the holes. It is a value: take
// gives another one.
type source struct {
	last  uint64
	holes []hole // ascending, apart from each other
}

// take receives the records of a batch. It gives those that are new, in order, and the source with them.
//
// Records beyond the next one are taken all the same, and what is missing before them becomes a hole, which is
// filled when they come at last. So a hole holds nothing up and costs nothing, and no record is taken twice. oldest
// is the oldest record the gateway still has, 0 when it does not say: holes below it are lost.
func (s source) take(batch span, oldest uint64, now time.Time) ([]span, source) {
	fresh, holes := s.fill(batch)
	next := source{last: s.last, holes: holes}
	if batch.last > s.last {
		if batch.first > s.last+1 {
			next.holes = append(next.holes, hole{span: span{s.last + 1, batch.first - 1}, found: now})
		}
		fresh = append(fresh, span{max(batch.first, s.last+1), batch.last})
		next.last = batch.last
	}
	if slices.ContainsFunc(next.holes, func(h hole) bool { return !h.lost && h.first < oldest }) {
		next.holes = giveUp(next.holes, oldest)
	}
	return fresh, next
}

// fill gives what of the batch lies in holes, and the holes without it.
func (s source) fill(batch span) (fresh []span, holes []hole) {
	if len(s.holes) == 0 {
		return nil, nil
	}
	for _, h := range s.holes {
		if batch.last < h.first || batch.first > h.last {
			holes = append(holes, h)
			continue
		}
		fresh = append(fresh, span{max(h.first, batch.first), min(h.last, batch.last)})
		if h.first < batch.first {
			holes = append(holes, hole{span{h.first, batch.first - 1}, h.lost, h.found})
		}
		if h.last > batch.last {
			holes = append(holes, hole{span{batch.last + 1, h.last}, h.lost, h.found})
		}
	}
	return fresh, holes
}

// giveUp marks as lost what of the holes is below oldest.
func giveUp(holes []hole, oldest uint64) []hole {
	var all []hole
	for _, h := range holes {
		if h.lost || h.first >= oldest {
			all = append(all, h)
			continue
		}
		all = append(all, hole{span{h.first, min(h.last, oldest-1)}, true, h.found})
		if h.last >= oldest {
			all = append(all, hole{span{oldest, h.last}, false, h.found})
		}
	}
	return all
}

// mark gives the number up to which the gateway need keep nothing, and the last number of the first hole behind
// it, 0 when there is none.
func (s source) mark() (n, missingTo uint64) {
	for _, h := range s.holes {
		if !h.lost {
			return h.first - 1, h.last
		}
	}
	return s.last, 0
}
