package opaque

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

const (
	// MaxPrefix is the longest prefix, in bytes.
	MaxPrefix = 8

	random   = 43 // characters
	checksum = 6  // characters
	longest  = MaxPrefix + random + checksum
)

// Digest is what is kept of a token: its SHA-256.
type Digest [sha256.Size]byte

// New makes a token. It is shown once; only its Hash is kept.
func New(prefix string) string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	text := base64.RawURLEncoding.AppendEncode([]byte(prefix), raw)
	sum := sumOf(string(text))
	return string(append(text, sum[:]...))
}

// WellFormed tells whether a text looks like a token New made with that prefix; whether anybody has it is another question. It
// allocates nothing.
func WellFormed(prefix, text string) bool {
	if len(text) != len(prefix)+random+checksum || text[:len(prefix)] != prefix {
		return false
	}
	sum := sumOf(text[:len(text)-checksum])
	return string(sum[:]) == text[len(text)-checksum:]
}

// sumOf gives the checksum of a text. The package crc32 takes no strings, and what it is given escapes to the heap.
func sumOf(text string) (sum [checksum]byte) {
	crc := ^uint32(0)
	for i := range len(text) {
		crc = crc32.IEEETable[crc&0xff^uint32(text[i])] ^ crc>>8
	}
	var raw [crc32.Size]byte
	binary.BigEndian.PutUint32(raw[:], ^crc)
	base64.RawURLEncoding.Encode(sum[:], raw[:])
	return sum
}

// Hash gives the Digest of a text that is WellFormed with a prefix of up to MaxPrefix bytes. It allocates nothing.
func Hash(text string) Digest {
	var buf [longest]byte
	return sha256.Sum256(buf[:copy(buf[:], text)])
}
