package spool

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"google.golang.org/protobuf/proto"
)

// late is a record whose call was over when the disk refused it.
type late struct {
	call *Call
	data []byte // with room for the head
}

// maxLate bounds what waits so, about 1 KiB each. What is beyond it is found interrupted by the next process.
const maxLate = 10_000

func (s *Spool) keepLate(call *Call, data []byte) {
	if len(s.late) < maxLate {
		s.late = append(s.late, late{call, slices.Clone(data)})
	}
}

// tend keeps the spool in order until ctx ends: it syncs, ships what was decided on about calls that take long, and
// tries again when the disk has refused.
func (s *Spool) tend(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { s.keepSynced(ctx) })
	work.Go(func() {
		often := time.NewTicker(s.options.Open / 8)
		defer often.Stop()
		for {
			select {
			case <-often.C:
			case <-ctx.Done():
				return
			}
			if s.failed.Load() != nil {
				s.recover(ctx)
				continue
			}
			s.shipOpen()
		}
	})
	work.Wait()
}

// shipOpen writes the decisions of calls that take long as records of their own, so that they need not be kept.
func (s *Spool) shipOpen() {
	for s.shipOldest() {
	}
}

func (s *Spool) shipOldest() bool {
	s.reading.Lock()
	defer s.reading.Unlock()
	f := s.view()
	s.mu.Lock()
	defer s.mu.Unlock()
	call := s.open.oldest()
	if call == nil || time.Since(call.begun) < s.options.Open || call.place >= f.end {
		return false
	}
	decision, _, _, err := s.read(&f, call.place)
	r := new(auditv1.Record)
	if err == nil {
		err = proto.Unmarshal(decision, r)
	}
	if err != nil {
		s.fail(fmt.Errorf("read the audit spool: %w", err))
		return false
	}
	r.Outcome = "open"
	if s.add(r, call.place) != nil {
		return false
	}
	call.opened = s.n
	s.open.remove(call)
	return true
}

// probe tells whether the disk takes something again.
func (s *Spool) probe() error {
	path := filepath.Join(s.dir, "probe")
	defer func() { _ = os.Remove(path) }()
	if err := os.WriteFile(path, make([]byte, 256<<10), 0o600); err != nil {
		return err
	}
	return syncFile(path)
}

// recover goes on after the disk has refused, once it takes something again.
func (s *Spool) recover(ctx context.Context) {
	if s.probe() != nil {
		return
	}
	s.mu.Lock()
	err := s.files.mend()
	s.mu.Unlock()
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed.Store(nil)
	for len(s.late) > 0 {
		l := s.late[0]
		if _, err := s.number(l.data, l.call.place); err != nil {
			return
		}
		s.open.remove(l.call)
		s.late = s.late[1:]
	}
	s.options.Log.LogAttrs(ctx, slog.LevelInfo, "audit records are kept again")
}
