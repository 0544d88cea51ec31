package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is one message of the stream, as it came and as it was understood.
type message struct {
	seq     uint64
	stored  time.Time // when the stream took it
	subject string
	data    []byte
	batch   *auditv1.Batch
	changed int    // records in which a text had to be changed
	broken  bool   // the records are not those that the gateway has chained
	poison  string // why it is no batch; empty: it is
}

func (m *message) span() span {
	return span{m.batch.GetFirst(), m.batch.GetFirst() + uint64(len(m.batch.GetRecords())) - 1}
}

// run gives the records of a part of the message's span.
func (m *message) run(part span) run {
	first := m.batch.GetFirst()
	records := m.batch.GetRecords()
	of := run{sourceKey: m.source(), n: part.first, records: records[part.first-first : part.last-first+1]}
	if !m.chained() {
		return of
	}
	of.prevHash, of.hash = m.batch.GetPrevHash(), m.batch.GetHash()
	if part != m.span() {
		prev := chain(audittrail.Hash(of.prevHash), records[:part.first-first])
		last := chain(prev, of.records)
		of.prevHash, of.hash = prev[:], last[:]
	}
	return of
}

// chained tells whether the gateway says where the batch stands in its chain.
func (m *message) chained() bool {
	const size = len(audittrail.Hash{})
	return len(m.batch.GetPrevHash()) == size && len(m.batch.GetHash()) == size
}

// chain gives the hash behind records from that before them.
func chain(h audittrail.Hash, records []*auditv1.Record) audittrail.Hash {
	var buf []byte
	for _, r := range records {
		encoded, err := audittrail.Encode(buf[:0], r)
		if err != nil {
			return audittrail.Hash{} // a record with a text that is no text, which audittrail.Clean does not leave
		}
		h, buf = audittrail.Next(h, encoded), encoded
	}
	return h
}

func (m *message) source() sourceKey {
	return sourceKey{m.batch.GetGateway(), m.batch.GetEpoch()}
}

// hash tells this message from any other that a stream restored from an older copy may have under the same sequence:
// also from one with the same bytes, sent again, because it was stored at another time.
func (m *message) hash() []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(m.stored.UnixNano())))
	h.Write([]byte(m.subject + "\n")) // a subject has no line break
	h.Write(m.data)
	return h.Sum(nil)
}

// decode understands a message. It never fails: what cannot be understood is poison.
func decode(seq uint64, stored time.Time, subject string, data []byte) message {
	m := message{seq: seq, stored: stored, subject: subject, data: data}
	batch, repaired, err := unmarshal(data)
	if err == nil {
		err = check(batch, subject)
	}
	if err != nil {
		m.poison = err.Error()
		return m
	}
	for _, r := range batch.GetRecords() {
		if audittrail.Clean(r) || repaired {
			m.changed++
		}
	}
	m.batch = batch
	m.broken = m.chained() && chain(audittrail.Hash(batch.GetPrevHash()), batch.GetRecords()) != audittrail.Hash(batch.GetHash())
	return m
}

// check tells what a batch must be to be numbered and stored.
func check(batch *auditv1.Batch, subject string) error {
	switch records := uint64(len(batch.GetRecords())); {
	case batch.GetGateway() == "" || topology.AuditIn(batch.GetGateway()) != subject:
		return fmt.Errorf("batch of gateway %.100q on %.100q", batch.GetGateway(), subject)
	case len(batch.GetGateway()) > 128 || strings.ContainsRune(batch.GetGateway(), 0):
		return errors.New("the gateway's name cannot be stored")
	case records == 0:
		return errors.New("no records")
	case batch.GetEpoch() == 0 || batch.GetEpoch() > math.MaxInt64:
		return fmt.Errorf("epoch %d", batch.GetEpoch())
	case batch.GetFirst() == 0 || batch.GetFirst() > math.MaxInt64-records:
		return fmt.Errorf("first number %d", batch.GetFirst())
	}
	return nil
}

// unmarshal reads a batch. Protobuf refuses a whole message for one byte that is no UTF-8, so such a message is
// mended first: a record must not be lost because a client sent rubbish.
func unmarshal(data []byte) (batch *auditv1.Batch, repaired bool, err error) {
	batch = &auditv1.Batch{}
	if err = proto.Unmarshal(data, batch); err == nil {
		return batch, false, nil
	}
	mended, ok := mend(nil, data, batch.ProtoReflect().Descriptor())
	if !ok {
		return nil, false, err
	}
	return batch, true, proto.Unmarshal(mended, batch)
}

// mend copies an encoded message of type md to out with every text in it made UTF-8; false when it is not even
// protobuf.
func mend(out, data []byte, md protoreflect.MessageDescriptor) ([]byte, bool) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, false
		}
		length := protowire.ConsumeFieldValue(number, kind, data[n:])
		if length < 0 {
			return nil, false
		}
		field := md.Fields().ByNumber(number)
		if kind != protowire.BytesType || field == nil {
			out = append(out, data[:n+length]...)
			data = data[n+length:]
			continue
		}
		value, _ := protowire.ConsumeBytes(data[n:])
		switch field.Kind() {
		case protoreflect.StringKind:
			value = []byte(audittrail.EachInvalid(string(value)))
		case protoreflect.MessageKind:
			var ok bool
			if value, ok = mend(nil, value, field.Message()); !ok {
				return nil, false
			}
		default:
		}
		out = protowire.AppendBytes(protowire.AppendTag(out, number, kind), value)
		data = data[n+length:]
	}
	return out, true
}
