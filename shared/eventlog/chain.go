package eventlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Hash is the SHA-256 of a commit and, through its predecessor, of all history before it.
type Hash [sha256.Size]byte

// String gives the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String wrote, and nothing else.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) == hex.EncodedLen(len(h)) && s == strings.ToLower(s) {
		if _, err := hex.Decode(h[:], []byte(s)); err == nil {
			return h, nil
		}
	}
	return Hash{}, fmt.Errorf("not a SHA-256 in hex: %.80q", s)
}

// State names one history: how many commits, and the hash of the last. The zero State is the empty log.
type State struct {
	Seq  uint64
	Hash Hash
}

// Next gives the State after a commit of these bytes.
func (s State) Next(data []byte) State {
	sum := sha256.New()
	sum.Write(s.Hash[:])
	sum.Write(data)
	next := State{Seq: s.Seq + 1}
	sum.Sum(next.Hash[:0])
	return next
}

// String gives "sequence-hash", fit for an HTTP entity tag.
func (s State) String() string { return strconv.FormatUint(s.Seq, 10) + "-" + s.Hash.String() }

// ParseState reads what String wrote, and nothing else.
func ParseState(text string) (State, error) {
	seq, hash, _ := strings.Cut(text, "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != seq {
		return State{}, fmt.Errorf("not a state: %.100q", text)
	}
	h, err := ParseHash(hash)
	if err != nil {
		return State{}, err
	}
	return State{Seq: n, Hash: h}, nil
}

// Commit is one message of the log.
type Commit struct {
	// State is the log's state with this commit applied.
	State
	// Prev is the hash of the commit before it.
	Prev Hash
	// Data is what was appended.
	Data []byte
	// StoredAt is when the stream's leader stored it, by its clock; zero when not known.
	StoredAt time.Time
}

// follows checks that c is the commit after at: dense, unaltered, of the same history. Its own hash, which it
// was stored under, is not believed but compared.
func (c Commit) follows(at State) *BrokenError {
	switch {
	case c.Seq != at.Seq+1:
		return &BrokenError{Kind: Gap, At: at, Seq: at.Seq + 1, Detail: fmt.Sprintf("found %d instead", c.Seq)}
	case State{Seq: c.Seq - 1, Hash: c.Prev}.Next(c.Data).Hash != c.Hash:
		return &BrokenError{Kind: Altered, At: at, Seq: c.Seq, Detail: "the bytes do not give the hash they were stored under"}
	case c.Prev != at.Hash:
		return &BrokenError{Kind: Forked, At: at, Seq: c.Seq, Detail: "it follows " + c.Prev.String()}
	default:
		return nil
	}
}

// Verify checks that commits continue the history at and gives the State behind the last, for whoever got
// them from elsewhere than the stream. The error is a *BrokenError; the State is then the last good one.
func Verify(at State, commits []Commit) (State, error) {
	for _, c := range commits {
		if broken := c.follows(at); broken != nil {
			return at, broken
		}
		at = c.State
	}
	return at, nil
}
