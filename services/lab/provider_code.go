package lab

import (
	"context"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The part of op.Storage that belongs to grants the lab does not offer yet: the
// authorization code with PKCE, refresh tokens and the JWT profile. Offering one
// means filling these in and naming it in client.GrantTypes and in discovery.

// CreateAuthRequest is of op.AuthStorage.
func (s *storage) CreateAuthRequest(context.Context, *oidc.AuthRequest, string) (op.AuthRequest, error) {
	return nil, oidc.ErrUnauthorizedClient().WithDescription("the lab offers client credentials only")
}

// AuthRequestByID is of op.AuthStorage.
func (s *storage) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errors.New("no such authorization request")
}

// AuthRequestByCode is of op.AuthStorage.
func (s *storage) AuthRequestByCode(context.Context, string) (op.AuthRequest, error) {
	return nil, errors.New("no such authorization code")
}

// SaveAuthCode is of op.AuthStorage.
func (s *storage) SaveAuthCode(context.Context, string, string) error {
	return errors.New("no authorization code is issued")
}

// DeleteAuthRequest is of op.AuthStorage.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

// CreateAccessAndRefreshTokens is of op.AuthStorage.
func (s *storage) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, oidc.ErrUnsupportedGrantType()
}

// TokenRequestByRefreshToken is of op.AuthStorage.
func (s *storage) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, op.ErrInvalidRefreshToken
}

// TerminateSession is of op.AuthStorage.
func (s *storage) TerminateSession(context.Context, string, string) error { return nil }

// GetRefreshTokenInfo is of op.AuthStorage.
func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

// SetUserinfoFromScopes is of op.OPStorage.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// GetPrivateClaimsFromScopes is of op.OPStorage; GetPrivateClaimsFromRequest stands in for it.
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

// GetKeyByIDAndClientID is of op.OPStorage.
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("no client has a key")
}

// ValidateJWTProfileScopes is of op.OPStorage.
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrUnsupportedGrantType()
}
