package lab

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients every lab knows.
const (
	ClientID       = "ci-bot"        // a machine: client credentials, scopes read and write
	ClientSecret   = "ci-bot-secret" //nolint:gosec // the lab's published demo secret
	ResourceID     = "gatehouse"     // the resource client: introspects, and people log in for it
	ResourceSecret = "gatehouse-secret"
)

const tokenLifetime = time.Hour

// storage is the op.Storage: clients, tokens and keys in memory. What belongs to
// one grant only is in provider_code.go and provider_jwt.go.
type storage struct {
	issuer   string
	users    *directory
	requests *requests

	mu      sync.Mutex
	clients map[string]*client
	tokens  map[string]token
	sweepAt int // size at which the expired tokens are thrown out
	keys    []*signingKey
	trusted map[keyName]*jose.JSONWebKey
}

// token is what introspection answers about.
type token struct {
	grant
	id      string
	issued  time.Time
	expires time.Time
}

// grant is an op.TokenRequest: what a token is to be made of.
type grant struct {
	clientID, subject, username string
	scopes, audience            []string
	lifetime                    time.Duration
	issued                      time.Time
	request                     string // of the code it was made for
}

// GetSubject is of op.TokenRequest.
func (g *grant) GetSubject() string { return g.subject }

// GetAudience is of op.TokenRequest.
func (g *grant) GetAudience() []string { return g.audience }

// GetScopes is of op.TokenRequest.
func (g *grant) GetScopes() []string { return g.scopes }

func newGrant(spec TokenSpec) *grant {
	g := &grant{
		clientID: spec.ClientID, subject: spec.Subject, username: spec.Username,
		scopes: spec.Scopes, audience: spec.Audience, lifetime: spec.Lifetime, issued: spec.IssuedAt,
	}
	if g.clientID == "" {
		g.clientID = ClientID
	}
	if g.subject == "" {
		g.subject = g.clientID
	}
	if g.scopes == nil {
		g.scopes = []string{"read", "write"}
	}
	if g.audience == nil {
		g.audience = []string{ResourceID}
	}
	if g.lifetime == 0 {
		g.lifetime = tokenLifetime
	}
	return g
}

func newStorage() *storage {
	s := &storage{
		users: newDirectory("users"), requests: newRequests(),
		clients: map[string]*client{}, tokens: map[string]token{}, sweepAt: 1 << 14,
		trusted: map[keyName]*jose.JSONWebKey{},
	}
	s.addClient(&client{id: ClientID, secret: ClientSecret, scopes: []string{"read", "write"}})
	s.addClient(&client{
		id: ResourceID, secret: ResourceSecret, resource: true, scopes: []string{oidc.ScopeOpenID, "read", "write"},
	})
	return s
}

func (s *storage) addClient(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.id] = c
}

func (s *storage) setSecret(clientID, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.clients[clientID]
	if !ok {
		return errors.New("no such client: " + clientID)
	}
	changed := *old
	changed.secret = secret
	s.clients[clientID] = &changed
	return nil
}

func (s *storage) client(clientID string) (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clients[clientID]
	if !ok {
		return nil, errors.New("no such client")
	}
	return c, nil
}

func (s *storage) authorized(clientID, secret string) (*client, error) {
	c, err := s.client(clientID)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(c.secret), []byte(secret)) != 1 {
		return nil, errors.New("wrong client secret")
	}
	return c, nil
}

func (s *storage) active(tokenID string) (token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[tokenID]
	if !ok || !time.Now().Before(t.expires) {
		return token{}, errors.New("token is not active")
	}
	return t, nil
}

func (s *storage) forget(tokenID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.tokens[tokenID]
	delete(s.tokens, tokenID)
	return ok
}

// forgetRequest forgets the token that was made for an authorization request.
func (s *storage) forgetRequest(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, t token) bool { return t.request == id })
}

// CreateAccessToken is of op.AuthStorage.
func (s *storage) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	var g *grant
	switch r := request.(type) {
	case *grant:
		g = r
	case *authRequest:
		g = r.grant()
	case *oidc.JWTTokenRequest:
		g = assertionGrant(r)
	default:
		return "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	now := time.Now()
	t := token{grant: *g, id: rand.Text(), issued: g.issued, expires: now.Add(g.lifetime)}
	if t.issued.IsZero() {
		t.issued = now.Add(min(0, g.lifetime-tokenLifetime))
		if g.lifetime > 0 {
			t.issued = now
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) >= s.sweepAt {
		maps.DeleteFunc(s.tokens, func(_ string, t token) bool { return now.After(t.expires) })
		s.sweepAt = max(1<<14, 2*len(s.tokens))
	}
	s.tokens[t.id] = t
	return t.id, t.expires, nil
}

// ClientCredentials is of op.ClientCredentialsStorage.
func (s *storage) ClientCredentials(_ context.Context, clientID, secret string) (op.Client, error) {
	return s.authorized(clientID, secret)
}

// ClientCredentialsTokenRequest is of op.ClientCredentialsStorage.
func (s *storage) ClientCredentialsTokenRequest(_ context.Context, clientID string, scopes []string) (op.TokenRequest, error) {
	c, err := s.client(clientID)
	if err != nil {
		return nil, err
	}
	scopes, err = allowed(scopes, c.scopes)
	if err != nil {
		return nil, err
	}
	return newGrant(TokenSpec{ClientID: clientID, Scopes: scopes}), nil
}

// allowed are the scopes asked for, which must all be offered; none asked for are
// all that are offered (RFC 6749 section 3.3).
func allowed(asked, offered []string) ([]string, error) {
	asked = slices.DeleteFunc(slices.Clone(asked), func(scope string) bool { return scope == "" })
	if len(asked) == 0 {
		return offered, nil
	}
	for _, scope := range asked {
		if !slices.Contains(offered, scope) {
			return nil, oidc.ErrInvalidScope().WithDescription("scope %s is not for this client", scope)
		}
	}
	return asked, nil
}

// RevokeToken is of op.AuthStorage; an unknown token is no error (RFC 7009 section 2.2).
func (s *storage) RevokeToken(_ context.Context, tokenOrID, _, clientID string) *oidc.Error {
	t, err := s.active(tokenOrID)
	if err != nil {
		return nil
	}
	if t.clientID != clientID {
		return oidc.ErrInvalidClient().WithDescription("token was not issued to this client")
	}
	s.forget(tokenOrID)
	return nil
}

// GetClientByClientID is of op.OPStorage.
func (s *storage) GetClientByClientID(_ context.Context, clientID string) (op.Client, error) {
	return s.client(clientID)
}

// AuthorizeClientIDSecret is of op.OPStorage.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, clientID, secret string) error {
	_, err := s.authorized(clientID, secret)
	return err
}

// SetIntrospectionFromToken is of op.OPStorage: a resource client may ask about
// every token, another client about its own; anyone else hears "inactive".
func (s *storage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, tokenID, subject, clientID string) error {
	t, err := s.active(tokenID)
	if err != nil {
		return err
	}
	asking, err := s.client(clientID)
	if err != nil {
		return err
	}
	if !asking.resource && t.clientID != clientID {
		return errors.New("not a token of this client")
	}
	answer.Scope = t.scopes
	answer.ClientID = t.clientID
	answer.TokenType = oidc.BearerToken
	answer.Expiration = oidc.FromTime(t.expires)
	answer.IssuedAt = oidc.FromTime(t.issued)
	answer.NotBefore = oidc.FromTime(t.issued)
	answer.Subject = subject
	answer.Audience = t.audience
	answer.Issuer = s.issuer
	answer.JWTID = t.id
	answer.Username = t.username
	return nil
}

// SetUserinfoFromToken is of op.OPStorage.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, subject, _ string) error {
	t, err := s.active(tokenID)
	if err != nil {
		return err
	}
	info.Subject = subject
	info.PreferredUsername = t.username
	return nil
}

// GetPrivateClaimsFromRequest puts scope and username into a JWT.
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, request op.TokenRequest, _ []string) (map[string]any, error) {
	claims := map[string]any{"scope": oidc.SpaceDelimitedArray(request.GetScopes()).String()}
	if g, ok := request.(*grant); ok && g.username != "" {
		claims["preferred_username"] = g.username
	}
	return claims, nil
}

// Health is of op.Storage.
func (s *storage) Health(context.Context) error { return nil }
