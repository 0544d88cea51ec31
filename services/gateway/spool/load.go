package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/tidwall/wal"
	"google.golang.org/protobuf/proto"
)

// remains are what an earlier process has left.
type remains struct {
	begun map[uint64][]byte // decisions by index that nothing has ended
	last  numbered          // the last record; n is 0 when there is none
	live  bool              // something is to be shipped or not known to be committed
}

// load opens the log, reads all of it, and begins an epoch.
func (s *Spool) load() (err error) {
	if s.mark, err = readMark(s.dir); err != nil {
		return err
	}
	if err = s.openLog(); err != nil {
		return err
	}
	left, err := s.scan()
	if errors.Is(err, errDamaged) || errors.Is(err, wal.ErrCorrupt) {
		left, err = remains{}, s.setAside(err)
	}
	if left.last.n > 0 && left.last.epoch >= s.mark.Epoch {
		s.mark.Epoch, s.mark.Hash = left.last.epoch, left.last.hash[:]
	}
	if err == nil && !left.live {
		err = s.clear()
	}
	if err == nil && s.options.Gateway != "" && s.mark.Gateway != "" && s.options.Gateway != s.mark.Gateway && left.live {
		err = fmt.Errorf("it has records of gateway %q: run that gateway once more on it, or ship them (gatehouse-gateway --ship-spool)", s.mark.Gateway)
	}
	if err == nil {
		err = s.begin(left)
	}
	if err != nil {
		return errors.Join(err, s.log.Close())
	}
	return nil
}

// openLog opens the log behind what is whole of it.
func (s *Spool) openLog() error {
	cut, err := mend(s.dir)
	if err != nil {
		return err
	}
	if cut > 0 {
		s.options.Log.LogAttrs(context.Background(), slog.LevelWarn, "audit spool ended in the middle of a record, of which nothing was answered yet",
			slog.Int64("bytes_cut", cut))
	}
	s.log, err = wal.Open(s.dir, &wal.Options{
		NoSync: true, NoCopy: true, AllowEmpty: true, SegmentSize: s.options.Segment, SegmentCacheSize: 1, DirPerms: 0o700, FilePerms: 0o600,
	})
	if err != nil {
		return err
	}
	last, err := s.log.LastIndex()
	s.written.Store(last)
	_, size, _ := segments(s.dir)
	s.size.Store(size)
	return err
}

// scan reads the whole log.
func (s *Spool) scan() (remains, error) {
	left := remains{begun: map[uint64][]byte{}}
	first, err := s.log.FirstIndex()
	if err != nil {
		return left, err
	}
	last := s.written.Load()
	s.mark.Shipped = min(max(s.mark.Shipped, first-1), last)
	for i := first; i <= last; i++ {
		decision, e, err := s.read(i)
		if err == nil && decision == nil && !e.whole() {
			err = errDamaged
		}
		if err != nil && s.options.Salvage {
			s.options.Log.LogAttrs(context.Background(), slog.LevelError, "entry of the audit spool cannot be read", slog.Uint64("entry", i), slog.Any("error", err))
			continue
		}
		if err != nil {
			return left, fmt.Errorf("entry %d: %w", i, err)
		}
		if decision != nil {
			left.begun[i] = slices.Clone(decision)
			continue
		}
		delete(left.begun, e.decision)
		s.note(&e, i)
		s.found(&e, i > s.mark.Shipped)
		left.last = e
		left.live = left.live || e.n > s.mark.Committed[e.epoch]
	}
	left.last.record = nil // of a file that is not kept in memory
	left.live = left.live || len(left.begun) > 0
	return left, nil
}

// setAside moves a damaged log out of the way, so that the gateway can record calls. What can be read of it is for
// --ship-spool.
func (s *Spool) setAside(cause error) error {
	firsts, _, err := segments(s.dir)
	if err != nil {
		return err
	}
	aside := filepath.Join(s.dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	if err := s.mark.write(aside); err != nil {
		return err
	}
	for _, first := range firsts {
		if err := os.Rename(segmentPath(s.dir, first), segmentPath(aside, first)); err != nil {
			return err
		}
	}
	s.options.Log.LogAttrs(context.Background(), slog.LevelError,
		"audit spool is damaged and was set aside: ship what can be read of it with gatehouse-gateway --ship-spool", slog.String("folder", aside), slog.Any("error", cause))
	_ = s.log.Close()
	clear(s.spots)
	s.tallies = newTallies()
	s.mark.Shipped = 0
	return s.openLog()
}

// clear empties a log of which all is committed.
func (s *Spool) clear() error {
	first, err := s.log.FirstIndex()
	if err != nil || first > s.written.Load() && first == 1 {
		return err
	}
	s.mark.Shipped, s.mark.Committed = 0, map[uint64]uint64{}
	if err := s.mark.write(s.dir); err != nil { // the chain goes on from it
		return err
	}
	if err := s.log.Close(); err != nil {
		return err
	}
	firsts, _, err := segments(s.dir)
	if err != nil {
		return err
	}
	for _, first := range firsts {
		if err := os.Remove(segmentPath(s.dir, first)); err != nil {
			return err
		}
	}
	clear(s.spots)
	s.tallies = newTallies()
	return s.openLog()
}

// begin begins a new epoch, with what earlier ones have left undone.
func (s *Spool) begin(left remains) error {
	before := audittrail.Hash{}
	if len(s.mark.Hash) == len(before) {
		before = audittrail.Hash(s.mark.Hash)
	}
	if s.options.Gateway != "" {
		s.mark.Gateway = s.options.Gateway
	}
	if s.mark.Gateway == "" {
		return errors.New("there is no audit spool here")
	}
	s.epoch = max(uint64(time.Now().UnixNano()), s.mark.Epoch+1)
	s.hash = audittrail.Genesis(before, s.mark.Gateway, s.epoch)
	for _, index := range slices.Sorted(maps.Keys(left.begun)) {
		r := new(auditv1.Record)
		if err := proto.Unmarshal(left.begun[index], r); err != nil {
			return fmt.Errorf("entry %d: %w", index, errors.Join(errDamaged, err))
		}
		r.Outcome = "interrupted"
		if err := s.add(r, index); err != nil {
			return err
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.saveMark() // whose it is
	return nil
}

// add writes a record of the spool's own making.
func (s *Spool) add(r *auditv1.Record, decision uint64) error {
	data, err := audittrail.Encode(make([]byte, headSize), r)
	if err == nil {
		_, err = s.number(data, decision)
	}
	return err
}

// read reads an entry. What it gives is good for as long as s.reading is held.
func (s *Spool) read(index uint64) (decision []byte, e numbered, err error) {
	data, err := s.log.Read(index)
	if err != nil {
		return nil, numbered{}, err
	}
	return parse(data)
}
