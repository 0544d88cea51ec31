package spool

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// syncs brings those who want something synced together with the one who does it.
type syncs struct {
	dirty  chan struct{} // something was written
	urgent chan struct{} // somebody waits
	mu     sync.Mutex
	next   chan struct{} // closed by the next sync
}

func newSyncs() *syncs {
	return &syncs{dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1), next: make(chan struct{})}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await waits until index is synced.
func (s *Spool) await(ctx context.Context, index uint64) error {
	for {
		s.syncs.mu.Lock()
		next := s.syncs.next
		s.syncs.mu.Unlock()
		if s.synced.Load() >= index {
			return nil
		}
		if failed := s.failed.Load(); failed != nil {
			return *failed
		}
		wake(s.syncs.urgent)
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// keepSynced syncs what is written, a while after it was or when somebody waits for it, until ctx ends.
func (s *Spool) keepSynced(ctx context.Context) {
	later := time.NewTimer(0)
	defer later.Stop()
	for {
		select {
		case <-s.syncs.dirty:
		case <-ctx.Done():
			return
		}
		later.Reset(s.options.Sync)
		select {
		case <-later.C:
		case <-s.syncs.urgent:
		case <-ctx.Done():
			return
		}
		if s.failed.Load() != nil {
			continue
		}
		if err := s.sync(); err != nil {
			s.fail(fmt.Errorf("sync the audit spool: %w", err))
		}
	}
}

// sync makes everything that is written survive a loss of power. It has the file open a second time, because the log
// would keep everybody from writing meanwhile. A file that is full was synced by the log.
func (s *Spool) sync() error {
	upTo := s.written.Load()
	firsts, _, err := segments(s.dir)
	if err != nil {
		return err
	}
	if len(firsts) > 0 {
		if err := syncFile(segmentPath(s.dir, firsts[len(firsts)-1])); err != nil {
			return err
		}
	}
	if err := syncFile(s.dir); err != nil { // its names
		return err
	}
	s.synced.Store(upTo)
	s.syncs.mu.Lock()
	close(s.syncs.next)
	s.syncs.next = make(chan struct{})
	s.syncs.mu.Unlock()
	wake(s.ready)
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close()
	return err
}

// fail notes that the disk refuses, and lets go whoever waits for it.
func (s *Spool) fail(err error) {
	if s.failed.CompareAndSwap(nil, &err) {
		s.options.Log.LogAttrs(context.Background(), slog.LevelError, "audit records cannot be kept", slog.Any("error", err))
	}
	s.syncs.mu.Lock()
	close(s.syncs.next)
	s.syncs.next = make(chan struct{})
	s.syncs.mu.Unlock()
}
