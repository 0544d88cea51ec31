package spool

// tallies count the records of each epoch in the spool.
type tallies struct {
	oldest map[uint64]uint64 // number of the first record that was found
	last   map[uint64]uint64 // number of the last one
	toShip int64             // records that the stream does not have
}

func newTallies() tallies { return tallies{oldest: map[uint64]uint64{}, last: map[uint64]uint64{}} }

// found counts a record; toShip tells that the stream does not have it.
func (t *tallies) found(e *numbered, toShip bool) {
	if _, ok := t.oldest[e.epoch]; !ok {
		t.oldest[e.epoch] = e.n
	}
	t.last[e.epoch] = e.n
	if toShip {
		t.toShip++
	}
}

func (t *tallies) forget(epoch uint64) {
	delete(t.oldest, epoch)
	delete(t.last, epoch)
}

// uncommitted counts the records that Postgres is not known to have.
func (t *tallies) uncommitted(committed map[uint64]uint64) (n int64) {
	for epoch, last := range t.last {
		n += int64(last - committed[epoch]) //nolint:gosec // never more than were written
	}
	return n
}
