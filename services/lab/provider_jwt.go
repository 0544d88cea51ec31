package lab

import (
	"context"
	"crypto"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// The part of op.Storage that belongs to the JWT bearer grant (RFC 7523 §2.1): a user's own key signs an assertion, which is
// exchanged for a token of that user.

// TrustKey has assertions that a key signs count as a user's. The key id may be empty.
func (p *Provider) TrustKey(user, keyID string, public crypto.PublicKey) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.userKeys[user] = &jose.JSONWebKey{Key: public, KeyID: keyID, Use: "sig"}
}

// GetKeyByIDAndClientID is of op.OPStorage: who signs an assertion is its issuer.
func (s *storage) GetKeyByIDAndClientID(_ context.Context, keyID, user string) (*jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.userKeys[user]
	if key == nil || key.KeyID != keyID {
		return nil, errors.New("nobody has this key")
	}
	return key, nil
}

// ValidateJWTProfileScopes is of op.OPStorage.
func (s *storage) ValidateJWTProfileScopes(_ context.Context, _ string, scopes []string) ([]string, error) {
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return scope == "" })
	for _, scope := range scopes {
		if scope != "read" && scope != "write" {
			return nil, oidc.ErrInvalidScope().WithDescription("scope %s is not for this grant", scope)
		}
	}
	return scopes, nil
}
