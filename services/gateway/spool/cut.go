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
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.files.cut(s.needed()); err != nil {
		s.options.Log.LogAttrs(context.Background(), slog.LevelError, "audit spool not cut", slog.Any("error", err))
	}
	s.size.Store(s.files.size())
	first := s.files.firsts[0]
	for epoch, spots := range s.spots {
		i := sort.Search(len(spots), func(i int) bool { return spots[i].place >= first })
		s.spots[epoch] = spots[max(i-1, 0):] // the one before may lead to records that stay
		if i == len(spots) && epoch != s.epoch && s.mark.Committed[epoch] >= s.last[epoch] {
			delete(s.spots, epoch)
			delete(s.mark.Committed, epoch)
			s.forget(epoch)
		}
	}
}

// needed gives the place of the first entry that is still needed, or one before it.
func (s *Spool) needed() uint64 {
	needed := s.mark.Shipped
	if call := s.open.first; call != nil {
		needed = min(needed, call.place)
	}
	for epoch, spots := range s.spots {
		committed := s.mark.Committed[epoch]
		if committed >= s.last[epoch] {
			continue
		}
		i := sort.Search(len(spots), func(i int) bool { return spots[i].n > committed+1 }) - 1
		needed = min(needed, spots[max(i, 0)].place)
	}
	return needed
}

// saveMark writes what is known beside the files.
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
