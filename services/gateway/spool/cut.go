package spool

import (
	"context"
	"log/slog"
	"slices"
	"sort"
)

// commit notes that Postgres has the records of an epoch up to n; it tells whether that is news.
func (s *Spool) commit(epoch, n uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.last[epoch]
	if !ok || n <= s.mark.Committed[epoch] {
		return false
	}
	s.mark.Committed[epoch] = min(n, last)
	return true
}

// cut gives back the files in which nothing is needed any more.
func (s *Spool) cut() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed.Load() != nil {
		return
	}
	firsts, size, err := segments(s.dir)
	if err != nil {
		return
	}
	s.size.Store(size)
	needed := s.needed()
	k := sort.Search(len(firsts), func(i int) bool { return firsts[i] > needed }) - 1 // it is in this file
	if k < 1 {
		return
	}
	// The last entry before it stays: the log rewrites the file in which it is cut, and so that is short.
	first := firsts[k] - 1
	if err := s.log.TruncateFront(first); err != nil {
		s.options.Log.LogAttrs(context.Background(), slog.LevelError, "audit spool not cut", slog.Any("error", err))
		s.failed.CompareAndSwap(nil, &err)
		return
	}
	_, size, _ = segments(s.dir)
	s.size.Store(size)
	for epoch, spots := range s.spots {
		i := sort.Search(len(spots), func(i int) bool { return spots[i].index >= first })
		s.spots[epoch] = spots[max(i-1, 0):] // the one before may lead to records that stay
		if i == len(spots) && epoch != s.epoch {
			delete(s.spots, epoch)
			delete(s.mark.Committed, epoch)
			s.forget(epoch)
		}
	}
}

// needed gives the index of the first entry that is still needed, or one before it.
func (s *Spool) needed() uint64 {
	needed := s.mark.Shipped + 1
	if call := s.open.first; call != nil {
		needed = min(needed, call.index)
	}
	for epoch, spots := range s.spots {
		committed := s.mark.Committed[epoch]
		if committed >= s.last[epoch] {
			continue
		}
		i := sort.Search(len(spots), func(i int) bool { return spots[i].n > committed+1 }) - 1
		needed = min(needed, spots[max(i, 0)].index)
	}
	return needed
}

// saveMark writes what is known beside the log.
func (s *Spool) saveMark() {
	s.mu.Lock()
	m := s.mark
	m.Committed = make(map[uint64]uint64, len(s.mark.Committed))
	for epoch, n := range s.mark.Committed {
		m.Committed[epoch] = n
	}
	if s.n > 0 { // else the chain goes on from the epoch before
		m.Epoch, m.Hash = s.epoch, slices.Clone(s.hash[:])
	}
	s.mu.Unlock()
	if err := m.write(s.dir); err != nil {
		s.options.Log.LogAttrs(context.Background(), slog.LevelWarn, "audit spool's mark not written", slog.Any("error", err))
	}
}
