package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
)

// An entry is one of two kinds.
//
//	decision  1 | CRC-32C of the record | record                           a call begins
//	numbered  2 | epoch | number | decision's place | prev | hash | record  a record to be shipped
//
// Numbers are big-endian, 8 bytes each. The place is 0 when there was no decision.
const (
	kindDecision = 1
	kindNumbered = 2

	decisionHead = 1 + 4
	numberedHead = 1 + 3*8 + 2*len(audittrail.Hash{})
)

// sealDecision fills in the head before the record.
func sealDecision(data []byte) {
	data[0] = kindDecision
	binary.BigEndian.PutUint32(data[1:], crc32.Checksum(data[decisionHead:], castagnoli()))
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once by the library

// numbered is a record as it is shipped.
type numbered struct {
	epoch, n   uint64
	decision   uint64 // place of the entry it ends; 0: none
	prev, hash audittrail.Hash
	record     []byte // in its canonical form
}

func (e *numbered) appendHead(to []byte) []byte {
	to = append(to, kindNumbered)
	to = binary.BigEndian.AppendUint64(to, e.epoch)
	to = binary.BigEndian.AppendUint64(to, e.n)
	to = binary.BigEndian.AppendUint64(to, e.decision)
	to = append(to, e.prev[:]...)
	return append(to, e.hash[:]...)
}

var errDamaged = errors.New("not what was written")

// whole tells whether a record is what was written.
func (e *numbered) whole() bool { return audittrail.Next(e.prev, e.record) == e.hash }

// parse reads an entry. decision is set for a call that begins, e for a record; both point into data. Whether a record is
// what was written is for whole to tell.
func parse(data []byte) (decision []byte, e numbered, err error) {
	switch {
	case len(data) > decisionHead && data[0] == kindDecision:
		if crc32.Checksum(data[decisionHead:], castagnoli()) != binary.BigEndian.Uint32(data[1:]) {
			return nil, numbered{}, errDamaged
		}
		return data[decisionHead:], numbered{}, nil
	case len(data) > numberedHead && data[0] == kindNumbered:
		e.epoch = binary.BigEndian.Uint64(data[1:])
		e.n = binary.BigEndian.Uint64(data[9:])
		e.decision = binary.BigEndian.Uint64(data[17:])
		e.prev, e.hash = audittrail.Hash(data[25:57]), audittrail.Hash(data[57:89])
		e.record = data[numberedHead:]
		return nil, e, nil
	}
	return nil, numbered{}, errDamaged
}
