package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTake(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	gap := func(first, last uint64, lost bool) hole { return hole{span{first, last}, lost, at} }
	for name, c := range map[string]struct {
		have   source
		batch  span
		oldest uint64
		fresh  []span
		want   source
	}{
		"first of all":      {source{}, span{1, 5}, 0, []span{{1, 5}}, source{last: 5}},
		"next":              {source{last: 5}, span{6, 6}, 0, []span{{6, 6}}, source{last: 6}},
		"again":             {source{last: 5}, span{1, 5}, 0, nil, source{last: 5}},
		"overlap":           {source{last: 5}, span{3, 9}, 0, []span{{6, 9}}, source{last: 9}},
		"hole":              {source{last: 5}, span{8, 9}, 0, []span{{8, 9}}, source{9, []hole{gap(6, 7, false)}}},
		"hole at the start": {source{}, span{4, 4}, 0, []span{{4, 4}}, source{4, []hole{gap(1, 3, false)}}},
		"filled":            {source{9, []hole{gap(6, 7, false)}}, span{6, 7}, 0, []span{{6, 7}}, source{last: 9}},
		"filled in part": {
			source{9, []hole{gap(3, 7, false)}},
			span{4, 5},
			0,
			[]span{{4, 5}},
			source{9, []hole{gap(3, 3, false), gap(6, 7, false)}},
		},
		"all sent again": {
			source{9, []hole{gap(3, 4, false), gap(7, 7, false)}},
			span{1, 12},
			0,
			[]span{{3, 4}, {7, 7}, {10, 12}},
			source{last: 12},
		},
		"lost": {
			source{9, []hole{gap(3, 7, false)}},
			span{10, 10},
			6,
			[]span{{10, 10}},
			source{10, []hole{gap(3, 5, true), gap(6, 7, false)}},
		},
		"lost and found": {source{9, []hole{gap(3, 5, true)}}, span{3, 5}, 6, []span{{3, 5}}, source{last: 9}},
		"database wiped": {source{}, span{51, 60}, 51, []span{{51, 60}}, source{60, []hole{gap(1, 50, true)}}},
	} {
		fresh, got := c.have.take(c.batch, c.oldest, at)
		if diff := cmp.Diff(c.fresh, fresh, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%s: fresh: %s", name, diff)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(source{}, hole{}, span{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever comes, in whatever order: each record is new exactly once, and the mark is the last one without a gap.
func TestTakeIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s source
		have := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "batches") {
			first := rapid.Uint64Range(1, 60).Draw(t, "first")
			batch := span{first, first + rapid.Uint64Range(0, 9).Draw(t, "more")}
			fresh, next := s.take(batch, rapid.SampledFrom([]uint64{0, 0, 0, 5, 30}).Draw(t, "oldest"), time.Time{})
			isNew, again := map[uint64]bool{}, 0
			for _, f := range fresh {
				for n := f.first; n <= f.last; n++ {
					if have[n] || isNew[n] || n < batch.first || n > batch.last {
						t.Fatalf("%d taken again, or not in the batch %v", n, batch)
					}
					isNew[n] = true
				}
			}
			for _, a := range batch.without(fresh) {
				for n := a.first; n <= a.last; n++ {
					if !have[n] || isNew[n] {
						t.Fatalf("%d is new, and comes again", n)
					}
					again++
				}
			}
			if again+len(isNew) != int(batch.last-batch.first)+1 {
				t.Fatalf("%d new and %d again of %v", len(isNew), again, batch)
			}
			for n := batch.first; n <= batch.last; n++ {
				if !have[n] && !isNew[n] {
					t.Fatalf("%d of %v dropped", n, batch)
				}
				have[n] = true
			}
			s = next
		}
		missing := map[uint64]bool{}
		for _, h := range s.holes {
			for n := h.first; n <= h.last; n++ {
				missing[n] = true
			}
		}
		mark, _ := s.mark()
		for n := uint64(1); n <= s.last; n++ {
			if have[n] == missing[n] {
				t.Fatalf("%d: there %t, missing %t", n, have[n], missing[n])
			}
			if n == mark+1 && have[n] && mark < s.last {
				t.Fatalf("the mark %d is too low", mark)
			}
		}
	})
}
