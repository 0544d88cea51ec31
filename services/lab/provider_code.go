package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The part of op.Storage that belongs to the authorization code flow (RFC 6749 §4.1). Refresh tokens are not offered.

const (
	// signInFor is how long a person may take to log in, codeFor how long the code that comes of it is good.
	signInFor = 10 * time.Minute
	codeFor   = time.Minute
	// maxSignIns is how many may be under way.
	maxSignIns = 1 << 12
)

// signIn is an op.AuthRequest: one person on the way to a token. It is replaced, never changed in place.
type signIn struct {
	id, code string
	request  *oidc.AuthRequest
	user     string // empty: not logged in yet
	at       time.Time
	until    time.Time
}

// GetID is of op.AuthRequest.
func (s *signIn) GetID() string { return s.id }

// GetACR is of op.AuthRequest.
func (s *signIn) GetACR() string { return "" }

// GetAMR is of op.AuthRequest.
func (s *signIn) GetAMR() []string { return []string{"pwd"} }

// GetAudience is who tokens are for.
func (s *signIn) GetAudience() []string { return []string{ResourceID} }

// GetAuthTime is when the person logged in.
func (s *signIn) GetAuthTime() time.Time { return s.at }

// GetClientID is of op.AuthRequest.
func (s *signIn) GetClientID() string { return s.request.ClientID }

// GetCodeChallenge is that of RFC 7636; nil: none was sent.
func (s *signIn) GetCodeChallenge() *oidc.CodeChallenge {
	if s.request.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: s.request.CodeChallenge, Method: s.request.CodeChallengeMethod}
}

// GetNonce is of op.AuthRequest.
func (s *signIn) GetNonce() string { return s.request.Nonce }

// GetRedirectURI is of op.AuthRequest.
func (s *signIn) GetRedirectURI() string { return s.request.RedirectURI }

// GetResponseType is of op.AuthRequest.
func (s *signIn) GetResponseType() oidc.ResponseType { return s.request.ResponseType }

// GetResponseMode is of op.AuthRequest.
func (s *signIn) GetResponseMode() oidc.ResponseMode { return s.request.ResponseMode }

// GetScopes is of op.AuthRequest.
func (s *signIn) GetScopes() []string { return s.request.Scopes }

// GetState is of op.AuthRequest.
func (s *signIn) GetState() string { return s.request.State }

// GetSubject is the person.
func (s *signIn) GetSubject() string { return s.user }

// Done tells whether the person has logged in.
func (s *signIn) Done() bool { return s.user != "" }

var errNoSignIn = errors.New("no such sign-in is under way")

// CreateAuthRequest is of op.AuthStorage. A client must bind the code to itself (RFC 9700 §2.1.1).
func (s *storage) CreateAuthRequest(_ context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if request.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.signIns) >= maxSignIns {
		maps.DeleteFunc(s.signIns, func(_ string, in *signIn) bool { return now.After(in.until) })
	}
	if len(s.signIns) >= maxSignIns {
		return nil, oidc.ErrServerError().WithDescription("too many sign-ins are under way")
	}
	in := &signIn{id: rand.Text(), request: request, until: now.Add(signInFor)}
	s.signIns[in.id] = in
	return in, nil
}

// AuthRequestByID is of op.AuthStorage.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.signIns[id]
	if in == nil || time.Now().After(in.until) {
		return nil, errNoSignIn
	}
	return in, nil
}

// AuthRequestByCode is of op.AuthStorage. A code is good once (RFC 6749 §4.1.2).
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, in := range s.signIns {
		if in.code != "" && in.code == code {
			delete(s.signIns, id)
			if time.Now().Before(in.until) {
				return in, nil
			}
		}
	}
	return nil, errNoSignIn
}

// SaveAuthCode is of op.AuthStorage.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	return s.changeSignIn(id, func(in *signIn) { in.code, in.until = code, time.Now().Add(codeFor) })
}

// loggedIn notes who has logged in.
func (s *storage) loggedIn(id, user string) error {
	return s.changeSignIn(id, func(in *signIn) { in.user, in.at = user, time.Now() })
}

func (s *storage) changeSignIn(id string, change func(*signIn)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.signIns[id]
	if in == nil || time.Now().After(in.until) {
		return errNoSignIn
	}
	changed := *in
	change(&changed)
	s.signIns[id] = &changed
	return nil
}

// DeleteAuthRequest is of op.AuthStorage.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.signIns, id)
	return nil
}

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
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, _ []string) error {
	info.PreferredUsername = user
	return nil
}

// GetPrivateClaimsFromScopes is of op.OPStorage; GetPrivateClaimsFromRequest stands in for it.
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}
