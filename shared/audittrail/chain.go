package audittrail

import (
	"crypto/sha256"
	"strconv"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"google.golang.org/protobuf/proto"
)

// Hash is a link of the chain that makes a missing, altered or inserted record show.
type Hash = [sha256.Size]byte

// Genesis is what stands before the first record of an epoch. before is the last hash of the gateway's epoch before,
// the zero Hash when there is none.
func Genesis(before Hash, gateway string, epoch uint64) Hash {
	whole := append(append(before[:], gateway...), '.')
	return sha256.Sum256(strconv.AppendUint(whole, epoch, 10))
}

// Encode appends a record in its canonical form: protobuf, fields ascending, those with their default left out. A
// record that was cleaned always has one.
func Encode(to []byte, r *auditv1.Record) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(to, r)
}

// Next gives the hash of a record in its canonical form from that of the one before it.
func Next(before Hash, encoded []byte) Hash {
	h := sha256.New()
	_, _ = h.Write(before[:]) // never fails
	_, _ = h.Write(encoded)
	var next Hash
	h.Sum(next[:0])
	return next
}
