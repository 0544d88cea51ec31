package lab

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// signingKey is an op.SigningKey.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

// ID is the kid.
func (k *signingKey) ID() string { return k.id }

// SignatureAlgorithm is what every provider knows.
func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

// Key is the private key.
func (k *signingKey) Key() any { return k.key }

// publicKey is an op.Key: the same, without the secret.
type publicKey struct{ k *signingKey }

// ID is the kid.
func (p publicKey) ID() string { return p.k.id }

// Algorithm is that of the signing key.
func (p publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

// Use is signing.
func (p publicKey) Use() string { return "sig" }

// Key is the public key.
func (p publicKey) Key() any { return &p.k.key.PublicKey }

func (s *storage) rotateKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, &signingKey{id: rand.Text(), key: key})
	return nil
}

// signing makes the first key when it is first asked for: most tests use opaque
// tokens, and a key costs a tenth of a second.
func (s *storage) signing() ([]*signingKey, error) {
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	if len(keys) > 0 {
		return keys, nil
	}
	if err := s.rotateKey(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, nil
}

// SigningKey is of op.AuthStorage: the newest.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	keys, err := s.signing()
	if err != nil {
		return nil, err
	}
	return keys[len(keys)-1], nil
}

// SignatureAlgorithms is of op.AuthStorage.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet is of op.AuthStorage: all of them.
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	keys, err := s.signing()
	if err != nil {
		return nil, err
	}
	set := make([]op.Key, len(keys))
	for i, k := range keys {
		set[i] = publicKey{k}
	}
	return set, nil
}
