package provider

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// MaxToken is the longest credential anybody is asked about; JWTs with many groups reach some 8 KiB.
const MaxToken = 16 << 10

// TokenShaped tells whether a credential can be one at all: visible ASCII (RFC 6750 §2.1, RFC 6749 A.12), and
// not endless.
func TokenShaped(token string) bool {
	return len(token) <= MaxToken && !strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' })
}

// Stamp gives a time as replies have it; nil for none.
func Stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
