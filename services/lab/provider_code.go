package lab

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The authorization code with PKCE (RFC 6749 section 4.1, RFC 7636): the library
// answers at /authorize, its callback and the token endpoint; here is what it
// leaves to a storage, and where the lab is stricter. The requests under way are
// in provider_request.go, the log-in page is in provider_login.go.

// redirectPath is Gatehouse's redirect URI, at any host and below any context path.
const redirectPath = "/plugins/servlet/restauth/token"

// authorizer is the library's provider as an op.AuthorizeValidator.
type authorizer struct{ *op.Provider }

// ValidateAuthRequest asks for more than the library does: a redirect URI that is
// only scheme, host and path (a glob takes "user@host" and "host#" for a host), PKCE
// with S256, and no scope that is not offered. What the library drops or takes in
// silence (offline_access without refresh tokens, prompt=none without a session)
// is an error.
func (a authorizer) ValidateAuthRequest(
	ctx context.Context, asked *oidc.AuthRequest, storage op.Storage, hint *op.IDTokenHintVerifier,
) (string, error) {
	c, err := storage.GetClientByClientID(ctx, asked.ClientID)
	if err != nil {
		return "", oidc.ErrInvalidRequestRedirectURI().WithDescription("no such client").WithParent(err)
	}
	// First of all: the errors below are sent to the redirect URI.
	if !plainURL(asked.RedirectURI) {
		return "", oidc.ErrInvalidRequestRedirectURI().WithDescription("redirect_uri is more than scheme, host and path")
	}
	if err := op.ValidateAuthReqRedirectURI(c, asked.RedirectURI, asked.ResponseType); err != nil {
		return "", err
	}
	foreign := func(scope string) bool { return !c.IsScopeAllowed(scope) }
	switch {
	case asked.CodeChallenge == "", asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256:
		return "", oidc.ErrInvalidRequest().WithDescription("code_challenge with code_challenge_method S256 required")
	case slices.ContainsFunc(asked.Scopes, foreign):
		return "", oidc.ErrInvalidScope().WithDescription("openid, read and write are offered, and no refresh tokens")
	case slices.Contains(asked.Prompt, oidc.PromptNone):
		return "", oidc.ErrLoginRequired().WithDescription("the lab keeps no sessions")
	}
	return op.ValidateAuthRequestClient(ctx, asked, c, hint)
}

// plainURL reports whether a URL is scheme, host and a path that ends in
// redirectPath, and nothing else.
func plainURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(raw, "?#") &&
		strings.HasSuffix(u.Path, redirectPath)
}

// codeToken is the token endpoint's answer to a code: the library's, but with an
// ID token only when openid was asked for.
func (p *Provider) codeToken(r *http.Request) (*oidc.AccessTokenResponse, error) {
	ask, err := op.ParseAccessTokenRequest(r, p.op.Decoder())
	if err != nil {
		return nil, err
	}
	if ask.Code == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("code missing")
	}
	request, c, err := op.ValidateAccessTokenRequest(r.Context(), ask, p.op)
	if err != nil {
		return nil, err
	}
	answer, err := op.CreateTokenResponse(r.Context(), request, c, p.op, true, ask.Code, "")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(request.GetScopes(), oidc.ScopeOpenID) {
		answer.IDToken = ""
	}
	return answer, nil
}

// CreateAuthRequest is of op.AuthStorage.
func (s *storage) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	return asRequest(s.requests.add(time.Now(), asked))
}

// AuthRequestByID is of op.AuthStorage.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	return asRequest(s.requests.find(time.Now(), id))
}

// SaveAuthCode is of op.AuthStorage.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	return s.requests.code(time.Now(), id, code)
}

// AuthRequestByCode is of op.AuthStorage. A code is spent as soon as it is shown,
// whatever is wrong with the call; shown again, it costs the token that was made
// for it (RFC 6749 section 4.1.2).
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	a, err := s.requests.spend(time.Now(), code)
	if err == nil && a.spent {
		s.forgetRequest(a.id)
		err = errNoCode
	}
	return asRequest(a, err)
}

// DeleteAuthRequest is of op.AuthStorage: its code is spent already.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

// SetUserinfoFromRequest is of op.CanSetUserinfoFromRequest: who an ID token is about.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, _ []string) error {
	info.Subject = request.GetSubject()
	info.PreferredUsername = request.GetSubject()
	return nil
}

// asRequest keeps a nil pointer from becoming a request.
func asRequest(a *authRequest, err error) (op.AuthRequest, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}
