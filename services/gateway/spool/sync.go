package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// await waits until everything before a place is synced.
func (s *Spool) await(ctx context.Context, place uint64) error {
	for {
		s.syncs.mu.Lock()
		next := s.syncs.next
		s.syncs.mu.Unlock()
		if s.synced.Load() >= place {
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

// sync makes everything that is written survive a loss of power. It opens the files anew, so that nobody who writes
// waits for it.
func (s *Spool) sync() error {
	s.mu.Lock()
	upTo, paths, fresh := s.files.end, s.files.unsynced(s.synced.Load()), s.files.fresh
	s.files.fresh = false
	s.mu.Unlock()
	if fresh {
		paths = append(paths, s.dir) // it has their names
	}
	for _, path := range paths {
		if err := syncFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // cut meanwhile
			return err
		}
	}
	s.synced.Store(upTo)
	s.syncs.announce()
	wake(s.ready)
	return nil
}

// announce lets go whoever waits.
func (y *syncs) announce() {
	y.mu.Lock()
	defer y.mu.Unlock()
	close(y.next)
	y.next = make(chan struct{})
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
	s.syncs.announce()
}
