package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
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

	size   atomic.Int64  // bytes on disk
	synced atomic.Uint64 // what is before this place no loss of power takes away
	failed atomic.Pointer[error]
	ready  chan struct{} // there may be more to ship
	syncs  *syncs

	reading sync.Mutex // of reader; taken before mu
	reader  reader

	mu    sync.Mutex
	files *files
	epoch uint64
	n     uint64 // of the last record of the epoch
	hash  audittrail.Hash
	open  calls
	tallies
	late  []late // records whose calls were over when the disk refused
	mark  mark
	spots map[uint64][]spot // by epoch: where some of its records are
}

// spot says where record n is.
type spot struct{ n, place uint64 }

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
	if err := encode(buf, decisionHead, r); err != nil {
		return err
	}
	sealDecision((*buf)[lengthSize:])
	s.mu.Lock()
	defer s.mu.Unlock()
	place, err := s.append(*buf)
	if err != nil {
		return err
	}
	call.place, call.upTo, call.begun = place, s.files.end, time.Now()
	s.open.add(call)
	return nil
}

// End writes the record of a call that is over, or of one that was never begun (the zero Call). It fails like Begin for
// the latter; the record of a call that was begun is kept in memory instead until the disk has room for it.
func (s *Spool) End(call *Call, r *auditv1.Record) error {
	begun := call.Begun()
	if begun {
		s.mu.Lock()
		r.Opened = s.open.end(call)
		s.mu.Unlock()
	} else if err := s.Err(); err != nil {
		return err
	}
	buf := s.buffer()
	defer s.buffers.Put(buf)
	audittrail.Clean(r)
	if err := encode(buf, numberedHead, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	place, err := s.number(*buf, call.place)
	switch {
	case err == nil:
		s.open.remove(call)
		call.place, call.upTo = place, s.files.end
	case begun:
		s.keepLate(call, *buf)
	}
	return err
}

// encode puts a record in a buffer, with room for its length and a head before it.
func encode(buf *[]byte, head int, r *auditv1.Record) (err error) {
	*buf = slices.Grow((*buf)[:0], lengthSize+head)[:lengthSize+head]
	if *buf, err = audittrail.Encode(*buf, r); err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	return nil
}

// Await waits until a call's last entry is synced, at most until ctx ends.
func (s *Spool) Await(ctx context.Context, call *Call) error { return s.await(ctx, call.upTo) }

// Close syncs and closes the spool; what is in it stays.
func (s *Spool) Close() error {
	err := s.sync()
	s.saveMark()
	s.reading.Lock()
	defer s.reading.Unlock()
	s.reader.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.files.tail.Close(), s.lock.Close())
}

func (s *Spool) buffer() *[]byte {
	buf, _ := s.buffers.Get().(*[]byte)
	return buf
}

// number writes a record, with room for its length and its head before it, as the next of the epoch.
func (s *Spool) number(data []byte, decision uint64) (place uint64, err error) {
	e := numbered{epoch: s.epoch, n: s.n + 1, decision: decision, prev: s.hash, record: data[lengthSize+numberedHead:]}
	e.hash = audittrail.Next(e.prev, e.record)
	e.appendHead(data[lengthSize:lengthSize])
	if place, err = s.append(data); err != nil {
		return 0, err
	}
	s.n, s.hash = e.n, e.hash
	s.note(&e, place)
	s.found(&e, true)
	return place, nil
}

// note remembers where some records are.
func (s *Spool) note(e *numbered, place uint64) {
	if spots := s.spots[e.epoch]; len(spots) == 0 || e.n >= spots[len(spots)-1].n+spotEvery {
		s.spots[e.epoch] = append(spots, spot{e.n, place})
	}
}

// append writes an entry that has room for its length. When the disk refuses, nothing more is written before it was
// tried (recover).
func (s *Spool) append(data []byte) (place uint64, err error) {
	if failed := s.failed.Load(); failed != nil {
		return 0, *failed
	}
	if place, err = s.files.append(data); err != nil {
		err = fmt.Errorf("write the audit spool: %w", err)
		s.fail(err)
		return 0, err
	}
	s.size.Add(int64(len(data)))
	wake(s.syncs.dirty)
	return place, nil
}

// view is the files as they are now, to be read from.
func (s *Spool) view() files {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.files
}

// read reads an entry, and gives the place of the next one. What it gives is good until the next entry is read.
// s.reading must be held.
func (s *Spool) read(f *files, place uint64) (decision []byte, e numbered, next uint64, err error) {
	data, next, err := s.reader.entry(f, place)
	if err != nil {
		return nil, numbered{}, 0, err
	}
	decision, e, err = parse(data)
	return decision, e, next, err
}
