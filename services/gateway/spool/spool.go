package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/tidwall/wal"
)

// Options of a spool.
type Options struct {
	// Gateway is whose records it keeps; empty: as the spool says itself.
	Gateway string
	// Limit is how many bytes of disk it may take; beyond it is full. Default 4 GiB.
	Limit int64
	// Segment is how large its files get, in bytes; default 8 MiB. They go one by one.
	Segment int
	// Sync is how long a record may wait to be synced; default 50 ms.
	Sync time.Duration
	// Open is how long a call may run before its decision is shipped; default 2 s.
	Open time.Duration
	// Salvage reads what can be read of a damaged spool; else it is set aside and a new one begun.
	Salvage bool
	Log     *slog.Logger
}

var (
	// ErrFull says that the spool has reached its limit: nothing more can be recorded until some is committed.
	ErrFull = errors.New("the audit spool is full")
	// ErrTaken says that another process has the spool open.
	ErrTaken = errors.New("another process has the audit spool open")
)

// Spool keeps records on disk. Its methods may be called from several goroutines.
type Spool struct {
	dir     string
	options Options
	lock    *os.File
	buffers sync.Pool // of *[]byte

	size    atomic.Int64  // bytes on disk
	written atomic.Uint64 // index of the last entry
	synced  atomic.Uint64 // index of the last entry that no loss of power takes away
	failed  atomic.Pointer[error]
	ready   chan struct{} // there may be more to ship
	syncs   *syncs

	reading sync.Mutex // one reader at a time: the log's cache is not made for more

	mu    sync.Mutex
	log   *wal.Log
	epoch uint64
	n     uint64 // of the last record of the epoch
	hash  audittrail.Hash
	open  calls
	tallies
	late  []late // records whose calls were over when the disk was full
	mark  mark
	spots map[uint64][]spot // by epoch: where some of its records are
}

// spot says that record n is the entry at index.
type spot struct{ n, index uint64 }

// spotEvery is how many records lie between two spots.
const spotEvery = 64

// Open opens the spool in a folder, or begins one, and a new epoch in it. Calls that an earlier process began and never
// ended are written as interrupted. ErrTaken: see there.
func Open(dir string, o Options) (*Spool, error) {
	o.Limit, o.Segment = cmp.Or(o.Limit, 4<<30), cmp.Or(o.Segment, 8<<20)
	o.Sync, o.Open = cmp.Or(o.Sync, 50*time.Millisecond), cmp.Or(o.Open, 2*time.Second)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := takeLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Spool{
		dir: dir, options: o, lock: lock, ready: make(chan struct{}, 1), spots: map[uint64][]spot{},
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}, syncs: newSyncs(), tallies: newTallies(),
	}
	if err := s.load(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("audit spool %s: %w", dir, err)
	}
	return s, nil
}

// Gateway is whose records the spool keeps.
func (s *Spool) Gateway() string { return s.mark.Gateway }

// Epoch is that of the records written now.
func (s *Spool) Epoch() uint64 { return s.epoch }

// Size is how many bytes of disk the spool takes.
func (s *Spool) Size() int64 { return s.size.Load() }

// Limit is how many bytes of disk the spool may take.
func (s *Spool) Limit() int64 { return s.options.Limit }

// Err tells why nothing can be recorded now: ErrFull, or what the disk said; nil: all is well.
func (s *Spool) Err() error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	if s.size.Load() >= s.options.Limit {
		return ErrFull
	}
	return nil
}

// Begin writes what was decided about a call that is about to be forwarded. call is where the spool keeps what it needs
// to know of it until End; it must not be copied. The record is cleaned.
func (s *Spool) Begin(call *Call, r *auditv1.Record) error {
	if err := s.Err(); err != nil {
		return err
	}
	buf := s.buffer()
	defer s.buffers.Put(buf)
	audittrail.Clean(r)
	var err error
	if *buf, err = audittrail.Encode(append(*buf, make([]byte, decisionHead)...), r); err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	sealDecision(*buf)
	s.mu.Lock()
	defer s.mu.Unlock()
	index, err := s.append(*buf)
	if err != nil {
		return err
	}
	call.index, call.at = index, time.Now()
	s.open.add(call)
	return nil
}

// End writes the record of a call that is over, or of one that was never begun (the zero Call). It fails like Begin for
// the latter; the record of a call that was begun is kept in memory instead until the disk has room for it.
func (s *Spool) End(call *Call, r *auditv1.Record) error {
	begun := call.index > 0
	if err := s.Err(); err != nil && !begun {
		return err
	}
	s.mu.Lock()
	r.Opened = s.open.end(call)
	s.mu.Unlock()
	buf := s.buffer()
	defer s.buffers.Put(buf)
	audittrail.Clean(r)
	var err error
	if *buf, err = audittrail.Encode(append(*buf, make([]byte, headSize)...), r); err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	index, err := s.number(*buf, call.index)
	switch {
	case err == nil && begun:
		s.open.remove(call)
		call.index = index
	case err == nil:
		call.index = index
	case begun:
		s.keepLate(call, *buf)
	}
	return err
}

// Await waits until a call's last entry is synced, at most until ctx ends.
func (s *Spool) Await(ctx context.Context, call *Call) error {
	return s.await(ctx, call.index)
}

// Close syncs and closes the spool; what is in it stays.
func (s *Spool) Close() error {
	s.saveMark()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.log.Close()
	return errors.Join(err, s.lock.Close())
}

func (s *Spool) buffer() *[]byte {
	buf, _ := s.buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	return buf
}

// number writes a record that has room for the head before it, as the next of the epoch.
func (s *Spool) number(data []byte, decision uint64) (index uint64, err error) {
	e := numbered{epoch: s.epoch, n: s.n + 1, decision: decision, prev: s.hash, record: data[headSize:]}
	e.hash = audittrail.Next(e.prev, e.record)
	e.appendHead(data[:0])
	if index, err = s.append(data); err != nil {
		return 0, err
	}
	s.n, s.hash = e.n, e.hash
	s.note(&e, index)
	s.found(&e, true)
	return index, nil
}

// note remembers where some records are.
func (s *Spool) note(e *numbered, index uint64) {
	if spots := s.spots[e.epoch]; len(spots) == 0 || e.n >= spots[len(spots)-1].n+spotEvery {
		s.spots[e.epoch] = append(spots, spot{e.n, index})
	}
}

// append writes an entry. When the disk refuses, the log is opened anew before anything else is written.
func (s *Spool) append(data []byte) (index uint64, err error) {
	if failed := s.failed.Load(); failed != nil {
		return 0, *failed
	}
	index = s.written.Load() + 1
	if err := s.log.Write(index, data); err != nil {
		err = fmt.Errorf("write the audit spool: %w", err)
		s.fail(err)
		return 0, err
	}
	s.written.Store(index)
	s.size.Add(int64(len(data)) + 2) // and its length
	wake(s.syncs.dirty)
	return index, nil
}
