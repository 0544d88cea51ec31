package lab

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/names"
)

const maxPATs = 10 // atlassian.pats.max.tokens.per.user

// pat is a personal access token as its owner sees it.
type pat struct {
	id                         int
	raw, name, user            string
	created, expires, lastUsed time.Time // expires zero: never
}

// patStore knows the tokens of one product.
type patStore struct {
	product string

	mu      sync.Mutex
	next    int
	byRaw   map[string]*pat
	revoked map[string]*pat
}

func newPATStore(product string) *patStore {
	return &patStore{product: product, byRaw: map[string]*pat{}, revoked: map[string]*pat{}}
}

// rawPAT has the products' shape: base64 of 12 digits, a colon and 20 bytes, which
// are 33 bytes and so 44 characters without padding.
func rawPAT(seed [32]byte) string {
	digits := binary.BigEndian.Uint64(seed[:8]) % 1_000_000_000_000
	return base64.StdEncoding.EncodeToString(append(fmt.Appendf(nil, "%012d:", digits), seed[12:]...))
}

// fixedPAT is the same for a product and a user in every lab there will ever be.
func fixedPAT(product, user string) string {
	return shaped(product, sha256.Sum256([]byte("gatehouse-lab\x00"+product+"\x00"+user)))
}

// shaped gives a token the shape of a product's.
func shaped(product string, seed [32]byte) string {
	if product == "bitbucket" {
		return "BBDC-" + base64.StdEncoding.EncodeToString(seed[:])
	}
	return rawPAT(seed)
}

// add makes a token known; raw may be "" for a random one.
func (s *patStore) add(raw, name, user string, lifetime time.Duration) pat {
	if raw == "" {
		var seed [32]byte
		_, _ = rand.Read(seed[:]) // never fails, crypto/rand.Read
		raw = shaped(s.product, seed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	p := &pat{id: s.next, raw: raw, name: name, user: user, created: time.Now()}
	if lifetime != 0 {
		p.expires = p.created.Add(lifetime)
	}
	s.byRaw[raw] = p
	return *p
}

// owner is who a raw token stands for now, "" when nobody.
func (s *patStore) owner(raw string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.byRaw[raw]
	now := time.Now()
	if !ok || (!p.expires.IsZero() && !now.Before(p.expires)) {
		return ""
	}
	p.lastUsed = now
	return p.user
}

func (s *patStore) revoke(raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.byRaw[raw]; ok {
		delete(s.byRaw, raw)
		s.revoked[raw] = p
	}
}

func (s *patStore) restore(raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.revoked[raw]; ok {
		delete(s.revoked, raw)
		s.byRaw[raw] = p
	}
}

// of lists a user's tokens, oldest first.
func (s *patStore) of(user string) []pat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []pat
	for _, p := range s.byRaw {
		if names.Same(p.user, user) {
			list = append(list, *p)
		}
	}
	slices.SortFunc(list, func(a, b pat) int { return a.id - b.id })
	return list
}

// bearer is the token of an Authorization header as the PAT filter parses it:
// "Bearer", in exactly this case, a space and one word.
func bearer(header string) (string, bool) {
	if !strings.HasPrefix(header, "Bearer") {
		return "", false
	}
	parts := strings.Split(header, " ")
	if len(parts) != 2 || parts[0] != "Bearer" {
		return "", false
	}
	return parts[1], true
}
