package introspection

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"
)

// key names a credential without holding it: HMAC-SHA256 under a key that only this process has and that is
// gone with it, so neither a core dump's index nor a guess tells a token from its key.
type key [sha256.Size]byte

// keyer makes keys. It is safe for concurrent use.
type keyer struct{ pool sync.Pool }

// macState is one HMAC under way; its buffer brings strings to hash.Hash without an allocation.
type macState struct {
	mac hash.Hash
	buf []byte
	sum key
}

func newKeyer() *keyer {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return newKeyerWith(secret)
}

func newKeyerWith(secret []byte) *keyer {
	return &keyer{pool: sync.Pool{New: func() any { return &macState{mac: hmac.New(sha256.New, secret)} }}}
}

// of gives the key of some fields, each with its length before it, so that no two lists of fields meet.
func (k *keyer) of(fields ...string) key {
	m, _ := k.pool.Get().(*macState)
	m.mac.Reset()
	m.buf = m.buf[:0]
	for _, f := range fields {
		m.buf = binary.BigEndian.AppendUint32(m.buf, uint32(len(f))) //nolint:gosec // NATS bounds a request to 1 MiB
		m.buf = append(m.buf, f...)
	}
	_, _ = m.mac.Write(m.buf)
	clear(m.buf) // a token was in it
	m.mac.Sum(m.sum[:0])
	out := m.sum
	k.pool.Put(m)
	return out
}

// revisions fingerprints how a provider or a site is asked. Its key comes from the identity all instances of
// this service share, so all of them, and the same instance after a restart, give the same revision, while
// whoever reads one cannot try out secrets on it.
type revisions struct{ keys *keyer }

func newRevisions(identity string) (revisions, error) {
	secret, err := hkdf.Key(sha256.New, []byte(identity), nil, "gatehouse provider revision", sha256.Size)
	if err != nil {
		return revisions{}, fmt.Errorf("revision key: %w", err)
	}
	return revisions{keys: newKeyerWith(secret)}, nil
}

func (r revisions) of(fields ...string) string {
	k := r.keys.of(fields...)
	return hex.EncodeToString(k[:16])
}
