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
	"google.golang.org/protobuf/proto"
)

// remains are what an earlier process has left.
type remains struct {
	begun map[uint64][]byte // decisions by place that nothing has ended
	last  numbered          // the last record; n is 0 when there is none
	live  bool              // something is to be shipped or not known to be committed
}

// load reads all that is there, and begins an epoch.
func (s *Spool) load() (err error) {
	if s.mark, err = readMark(s.dir); err != nil {
		return err
	}
	if s.files, err = openFiles(s.dir, int64(s.options.Segment)); err != nil {
		return err
	}
	left, err := s.scan()
	if errors.Is(err, errDamaged) {
		left, err = remains{}, s.setAside(err)
	}
	if left.last.n > 0 && left.last.epoch >= s.mark.Epoch {
		s.mark.Epoch, s.mark.Hash = left.last.epoch, left.last.hash[:]
	}
	if err == nil && left.live && s.options.Gateway != "" && s.mark.Gateway != "" && s.options.Gateway != s.mark.Gateway {
		err = fmt.Errorf("it has records of gateway %q: run that gateway once more on it, or ship them (gatehouse-gateway --ship-spool)", s.mark.Gateway)
	}
	if err == nil && !left.live {
		err = s.clear()
	}
	if err == nil {
		err = s.begin(left)
	}
	s.size.Store(s.files.size())
	if err != nil {
		return errors.Join(err, s.files.tail.Close())
	}
	return nil
}

// scan reads everything. What was not wholly written in the end is cut off; an entry before that which is not what was
// written is errDamaged, or left out by who salvages.
func (s *Spool) scan() (remains, error) {
	left := remains{begun: map[uint64][]byte{}}
	s.reading.Lock()
	defer s.reading.Unlock()
	defer s.reader.close()
	s.mark.Shipped = min(max(s.mark.Shipped, s.files.firsts[0]), s.files.end)
	for at := s.files.firsts[0]; at < s.files.end; {
		decision, e, next, err := s.read(s.files, at)
		if err == nil && decision == nil && !e.whole() {
			err = errDamaged
		}
		switch {
		case errors.Is(err, errDamaged) && s.torn(at):
			if err := s.cutOff(at); err != nil {
				return left, err
			}
			continue // it is the end
		case errors.Is(err, errDamaged) && s.options.Salvage:
			at = s.pass(at, next)
			continue
		case err != nil:
			return left, fmt.Errorf("at %d: %w", at, err)
		case decision != nil:
			left.begun[at] = slices.Clone(decision)
		default:
			delete(left.begun, e.decision)
			s.note(&e, at)
			s.found(&e, at >= s.mark.Shipped)
			left.last = e
			left.live = left.live || e.n > s.mark.Committed[e.epoch]
		}
		at = next
	}
	left.last.record = nil // it is read over
	left.live = left.live || len(left.begun) > 0
	return left, nil
}

// torn tells whether nothing whole follows an entry that is not: then it is the last one that was being written.
func (s *Spool) torn(at uint64) bool {
	if !s.files.last(at) {
		return false
	}
	for {
		decision, e, next, err := s.read(s.files, at)
		if err == nil && (decision != nil || e.whole()) {
			return false
		}
		if next <= at || next >= s.files.end {
			return true
		}
		at = next
	}
}

// cutOff takes away what was not wholly written when the process was killed or the power failed.
func (s *Spool) cutOff(at uint64) error {
	s.options.Log.LogAttrs(context.Background(), slog.LevelWarn, "audit spool ended in the middle of an entry, of which nothing was answered yet",
		slog.Uint64("bytes_cut", s.files.end-at))
	return s.files.cutOff(at)
}

// pass gives where to go on behind an entry that cannot be read: the next entry, or the next file when its length is
// unknown too.
func (s *Spool) pass(at, next uint64) uint64 {
	s.options.Log.LogAttrs(context.Background(), slog.LevelError, "entry of the audit spool cannot be read", slog.Uint64("place", at))
	if next > at {
		return next
	}
	_, next = s.files.of(at)
	return next
}

// setAside moves a damaged spool out of the way, so that the gateway can record calls. What can be read of it is for
// --ship-spool.
func (s *Spool) setAside(cause error) error {
	aside := filepath.Join(s.dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	if err := s.mark.write(aside); err != nil {
		return err
	}
	for _, first := range s.files.firsts {
		path := s.files.path(first)
		if err := os.Rename(path, filepath.Join(aside, filepath.Base(path))); err != nil {
			return err
		}
	}
	s.options.Log.LogAttrs(context.Background(), slog.LevelError, "audit spool is damaged and was set aside: ship what can be read of it with gatehouse-gateway --ship-spool",
		slog.String("folder", aside), slog.Any("error", cause))
	clear(s.spots)
	s.tallies = newTallies()
	_ = s.files.tail.Close()
	var err error
	s.files, err = openFiles(s.dir, int64(s.options.Segment))
	s.mark.Shipped = 1
	return err
}

// clear removes everything, of which all is committed. The chain goes on from the mark.
func (s *Spool) clear() error {
	clear(s.spots)
	s.tallies = newTallies()
	s.mark.Committed = map[uint64]uint64{}
	if err := s.mark.write(s.dir); err != nil {
		return err
	}
	if err := s.files.clear(); err != nil {
		return err
	}
	s.mark.Shipped = s.files.end
	return nil
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
	for _, place := range slices.Sorted(maps.Keys(left.begun)) {
		r := new(auditv1.Record)
		if err := proto.Unmarshal(left.begun[place], r); err != nil {
			return fmt.Errorf("at %d: %w", place, errors.Join(errDamaged, err))
		}
		r.Outcome = "interrupted"
		if err := s.add(r, place); err != nil {
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
	var buf []byte
	err := encode(&buf, numberedHead, r)
	if err == nil {
		_, err = s.number(buf, decision)
	}
	return err
}
