package spool

import (
	"sort"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	batchRecords = 256
	batchBytes   = 512 << 10 // half of what NATS takes in one message; a record has 400 KiB at the most
)

// batch is records of one epoch, in order and without a gap, encoded as an auditv1.Batch.
type batch struct {
	epoch, first, last uint64 // last is 0 when it has none
	prev, hash         audittrail.Hash
	data               []byte
}

// add takes a record if it belongs behind the others and there is room.
func (b *batch) add(e *numbered) bool {
	if b.last > 0 && (e.epoch != b.epoch || e.n != b.last+1 || b.last-b.first+1 >= batchRecords || len(b.data)+len(e.record) > batchBytes) {
		return false
	}
	if b.last == 0 {
		b.epoch, b.first, b.prev = e.epoch, e.n, e.prev
	}
	b.last, b.hash = e.n, e.hash
	b.data = protowire.AppendBytes(protowire.AppendTag(b.data, 4, protowire.BytesType), e.record)
	return true
}

// seal adds what stands beside the records.
func (b *batch) seal(gateway string, oldest uint64) {
	number := func(field protowire.Number, n uint64) {
		b.data = protowire.AppendVarint(protowire.AppendTag(b.data, field, protowire.VarintType), n)
	}
	text := func(field protowire.Number, value []byte) {
		b.data = protowire.AppendBytes(protowire.AppendTag(b.data, field, protowire.BytesType), value)
	}
	text(1, []byte(gateway))
	number(2, b.epoch)
	number(3, b.first)
	number(5, oldest)
	text(6, b.prev[:])
	text(7, b.hash[:])
}

// unshipped gives the next records that the stream does not have, and the place before which it has everything then.
// The place moves on also when there are none.
func (s *Spool) unshipped() (b batch, upTo uint64, err error) {
	s.mu.Lock()
	from := s.mark.Shipped
	s.mu.Unlock()
	return s.collect(from, func(*numbered) bool { return true })
}

// again gives records of an epoch from first on, at most up to last.
func (s *Spool) again(epoch, first, last uint64) (batch, error) {
	s.mu.Lock()
	spots, oldest := s.spots[epoch], s.files.firsts[0]
	s.mu.Unlock()
	if len(spots) == 0 {
		return batch{}, nil
	}
	i := sort.Search(len(spots), func(i int) bool { return spots[i].n > first }) - 1
	b, _, err := s.collect(max(spots[max(i, 0)].place, oldest), func(e *numbered) bool {
		return e.epoch == epoch && e.n >= first && e.n <= last
	})
	return b, err
}

// collect makes a batch of the next synced records that are wanted, from a place on. It gives the place up to which it
// has looked.
func (s *Spool) collect(at uint64, wanted func(*numbered) bool) (b batch, upTo uint64, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	f := s.view()
	for synced := s.synced.Load(); at < synced; {
		decision, e, next, err := s.read(&f, at)
		switch {
		case err != nil && s.options.Salvage:
			at = s.pass(at, next)
			continue
		case err != nil:
			return batch{}, at, err
		case decision != nil:
		case !wanted(&e) && b.last == 0:
		case !wanted(&e), !b.add(&e):
			return s.sealed(b), at, nil
		}
		at = next
	}
	return s.sealed(b), at, nil
}

func (s *Spool) sealed(b batch) batch {
	if b.last == 0 {
		return b
	}
	s.mu.Lock()
	gateway, oldest := s.mark.Gateway, s.oldest[b.epoch]
	s.mu.Unlock()
	if s.options.Salvage { // what is missing before it cannot be read
		oldest = b.first
	}
	b.seal(gateway, oldest)
	return b
}
