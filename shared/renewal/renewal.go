// Package renewal says when something that may be used for a while is to be asked for again before the while is over, so that
// nobody who needs it then has to wait, and whoever gave it may be away for a moment.
package renewal

import (
	"sync/atomic"
	"time"
)

// Mark notes when something was last asked for again. The zero Mark is that of something new.
type Mark struct{ tried atomic.Int64 } // unix nanoseconds

// Due tells whether something of an age, good until max, should be asked for again now: from the part of max on that early
// names (0 to 1), and then every twentieth of max, or 30 s, once for all who ask at the same time.
func (m *Mark) Due(age, max time.Duration, early float64, now time.Time) bool {
	if age < time.Duration(float64(max)*early) {
		return false
	}
	last := m.tried.Load()
	return now.UnixNano()-last >= int64(min(max/20, 30*time.Second)) && m.tried.CompareAndSwap(last, now.UnixNano())
}

// From takes over when the thing that this one's stands for now was asked for: an answer to that may be as old as the last.
func (m *Mark) From(last *Mark) { m.tried.Store(last.tried.Load()) }

// Early spreads by a byte that differs from thing to thing, from 0.7 to 0.9: what was asked for at once is not asked for
// again at once.
func Early(b byte) float64 { return 0.7 + 0.2*float64(b)/255 }
