package reading

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
)

// position is where a search goes on: behind an id, in the order of the search.
type position struct {
	id     int64
	search [8]byte // fingerprint of the search it belongs to
	back   bool    // the other way: to the page before
}

// The first byte of a cursor says which way it goes.
const (
	cursorOn   = 1
	cursorBack = 2
	cursorBody = 1 + 8 + 8
	cursorSum  = 5
)

// errCursor says all there is to say: a cursor is opaque.
var errCursor = errors.New("it is not one that was given here")

// encode gives the position as the text of a cursor, [A-Za-z0-9_-]. It grants nothing, so it is not secret, and
// whoever makes up one could have asked for the same rows; its checksum is there so that a cut or mistyped one is
// told from one that was given.
func (p position) encode() string {
	raw := make([]byte, 0, cursorBody+cursorSum)
	way := byte(cursorOn)
	if p.back {
		way = cursorBack
	}
	raw = append(raw, way)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.id)) //nolint:gosec // decode turns it back
	raw = append(raw, p.search[:]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, checksum(raw)...))
}

func checksum(raw []byte) []byte {
	sum := sha256.Sum256(raw)
	return sum[:cursorSum]
}

// decodeCursor reads what encode wrote and nothing else.
func decodeCursor(text string) (position, error) {
	var p position
	if len(text) > 64 {
		return p, errCursor
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != cursorBody+cursorSum || raw[0] != cursorOn && raw[0] != cursorBack {
		return p, errCursor
	}
	id := binary.BigEndian.Uint64(raw[1:9])
	if id > math.MaxInt64 {
		return p, errCursor
	}
	p.id, p.back = int64(id), raw[0] == cursorBack
	copy(p.search[:], raw[9:cursorBody])
	if p.encode() != text { // the checksum, and that one position has one text only
		return position{}, errCursor
	}
	return p, nil
}
