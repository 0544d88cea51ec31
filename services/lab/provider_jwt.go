package lab

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// keyName is a key as an assertion names it.
type keyName struct{ user, id string }

// TrustKey gives tokens from now on for assertions that a user of the lab signs
// with this key (RFC 7523 section 2.1: iss and sub are the user, aud is the issuer,
// iat is at most an hour ago). keyID is the kid of their header. The key is RSA
// (RS256, PS256) or on P-256 (ES256).
func (p *Provider) TrustKey(user, keyID string, public crypto.PublicKey) error {
	if _, ok := p.store.users.find(user); !ok {
		return fmt.Errorf("trust key: no such user: %s", user)
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return errors.New("trust key: not on P-256")
		}
	default:
		return fmt.Errorf("trust key: a %T verifies nothing here", public)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.trusted[keyName{user, keyID}] = &jose.JSONWebKey{Key: public, KeyID: keyID, Use: "sig"}
	return nil
}

// assertionToken is the token endpoint's answer to an assertion: the library's,
// but what is wrong with an assertion is invalid_grant (RFC 7523 section 3.1), and
// not a server_error.
func (p *Provider) assertionToken(r *http.Request) (*oidc.AccessTokenResponse, error) {
	ask, err := op.ParseJWTProfileGrantRequest(r, p.op.Decoder())
	if err != nil {
		return nil, err
	}
	if ask.Assertion == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("assertion missing")
	}
	ctx := r.Context()
	assertion, err := op.VerifyJWTAssertion(ctx, ask.Assertion, p.op.JWTProfileVerifier(ctx))
	if err != nil {
		return nil, oidc.ErrInvalidGrant().WithDescription("assertion: %v", err).WithParent(err)
	}
	assertion.Scopes, err = p.store.ValidateJWTProfileScopes(ctx, assertion.Subject, ask.Scope)
	if err != nil {
		return nil, err
	}
	return op.CreateJWTTokenResponse(ctx, assertion, p.op)
}

// assertionGrant is what an assertion gives. It names no client, as none showed
// itself; the user is none, and would make the token look like a client's own.
func assertionGrant(request *oidc.JWTTokenRequest) *grant {
	g := newGrant(TokenSpec{Subject: request.Subject, Username: request.Subject, Scopes: request.Scopes})
	g.clientID = ""
	return g
}

// GetKeyByIDAndClientID is of op.OPStorage; the library calls a client who is the
// issuer of an assertion.
func (s *storage) GetKeyByIDAndClientID(_ context.Context, keyID, user string) (*jose.JSONWebKey, error) {
	if a, ok := s.users.find(user); !ok || !a.active {
		return nil, errors.New("no such user")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.trusted[keyName{user, keyID}]
	if !ok {
		return nil, errors.New("not a key of this user")
	}
	return key, nil
}

// ValidateJWTProfileScopes is of op.OPStorage. No scope asked for is all there are.
func (s *storage) ValidateJWTProfileScopes(_ context.Context, _ string, scopes []string) ([]string, error) {
	return allowed(scopes, []string{"read", "write"})
}
