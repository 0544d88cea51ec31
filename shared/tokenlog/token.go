package tokenlog

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/opaque"
)

// Prefix begins every API token, so that scanners of leaked secrets find it (package opaque).
const Prefix = "ght_"

// Token is an API token as the log has it. Nobody changes one: a token that is revoked is another Token.
type Token struct {
	SHA256 opaque.Digest
	Name   string // what its owner calls it
	Owner  string // the user it acts as
	Site   string
	// When, in seconds of the Unix epoch.
	IssuedAt  int64
	ExpiresAt int64 // 0: never
	RevokedAt int64 // 0: not
	ReadOnly  bool
	// Ranges are the addresses it may be used from; nil: all.
	Ranges *[]netip.Prefix
}

// ID names a token without being of any use to whoever knows it.
type ID uint64

// IDOf gives the id of the token that has a SHA-256.
func IDOf(d opaque.Digest) ID { return ID(binary.BigEndian.Uint64(d[:])) }

// ParseID reads what String wrote.
func ParseID(text string) (ID, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 || ID(id).String() != text {
		return 0, fmt.Errorf("%.20q is no id of a token: 16 hexadecimal digits", text)
	}
	return ID(id), nil
}

// String gives 16 hexadecimal digits.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ID gives the token's id.
func (t *Token) ID() ID { return IDOf(t.SHA256) }

// is tells whether this is the token of a SHA-256, in a time that does not depend on where they differ.
func (t *Token) is(d *opaque.Digest) bool { return subtle.ConstantTimeCompare(t.SHA256[:], d[:]) == 1 }

// Standing is whether a token is good.
type Standing string

// The standings.
const (
	Good    Standing = "good"
	Expired Standing = "expired"
	Revoked Standing = "revoked"
)

// Standing tells whether the token is good at a time.
func (t *Token) Standing(now time.Time) Standing {
	switch {
	case t.RevokedAt != 0:
		return Revoked
	case t.ExpiresAt != 0 && now.Unix() >= t.ExpiresAt:
		return Expired
	default:
		return Good
	}
}
