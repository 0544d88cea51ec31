package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Provider is an OAuth 2.0 / OpenID provider: zitadel/oidc on storage in memory,
// with the controls a test needs.
type Provider struct {
	issuer string
	srv    *server
	op     *op.Provider
	store  *storage

	fault          atomic.Pointer[Fault]
	introspections atomic.Uint64
	redirected     atomic.Uint64
}

func startProvider(ctx context.Context, log *slog.Logger, addr string) (*Provider, error) {
	p := &Provider{srv: &server{log: log, addr: addr}, store: newStorage()}
	if err := p.srv.listen(ctx); err != nil {
		return nil, err
	}
	p.issuer = p.srv.url()
	p.store.issuer = p.issuer
	config := &op.Config{
		AuthMethodPost:  true,
		CodeMethodS256:  true,
		SupportedScopes: []string{oidc.ScopeOpenID, "read", "write"},
		CryptoKeyId:     "lab",
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, errors.Join(err, p.srv.drain(ctx))
	}
	var err error
	p.op, err = op.NewProvider(config, p.store, op.StaticIssuer(p.issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, errors.Join(err, p.srv.drain(ctx))
	}
	p.op.Handler = op.CreateRouter(authorizer{p.op})
	p.srv.handler = p.routes()
	p.srv.serve()
	return p, nil
}

// routes puts in front of the library: the introspection controls,
// client_secret_post for introspection (RFC 7662 leaves the method open, the
// library knows Basic only), two grants that it answers a little differently, the
// log-in page that it leaves to us, and a discovery document of what is offered.
func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(p.op.IntrospectionEndpoint().Relative(), http.HandlerFunc(p.introspect))
	mux.HandleFunc(p.op.TokenEndpoint().Relative(), p.token)
	mux.HandleFunc(oidc.DiscoveryEndpoint, p.discovery)
	p.loginRoutes(mux)
	mux.HandleFunc(redirectTarget, func(w http.ResponseWriter, _ *http.Request) {
		p.redirected.Add(1)
		writeJSON(w, http.StatusOK, map[string]any{"active": true})
	})
	mux.Handle("/", p.op)
	return mux
}

func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	p.introspections.Add(1)
	fault := Fault{}
	if f := p.fault.Load(); f != nil {
		fault = *f
	}
	fault.handle(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			id, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
			if id != "" && secret != "" {
				r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
			}
		}
		p.op.ServeHTTP(w, r)
	}))
}

// token is the token endpoint.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	r = r.WithContext(op.ContextWithIssuer(r.Context(), p.issuer))
	var exchange func(*http.Request) (*oidc.AccessTokenResponse, error)
	switch oidc.GrantType(r.FormValue("grant_type")) {
	case oidc.GrantTypeCode:
		exchange = p.codeToken
	case oidc.GrantTypeBearer:
		exchange = p.assertionToken
	default:
		p.op.ServeHTTP(w, r)
		return
	}
	answer, err := exchange(r)
	if err != nil {
		op.RequestError(w, r, err, nil)
		return
	}
	httphelper.MarshalJSON(w, answer)
}

func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	d := op.CreateDiscoveryConfig(op.ContextWithIssuer(r.Context(), p.issuer), p.op, p.store)
	d.GrantTypesSupported = []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeClientCredentials, oidc.GrantTypeBearer}
	d.ResponseTypesSupported = []string{string(oidc.ResponseTypeCode)}
	secret := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost}
	d.TokenEndpointAuthMethodsSupported, d.IntrospectionEndpointAuthMethodsSupported = secret, secret
	d.DeviceAuthorizationEndpoint = ""
	op.Discover(w, d)
}

// Issuer is the URL the discovery document stands under.
func (p *Provider) Issuer() string { return p.issuer }

// DiscoveryURL is where the discovery document is.
func (p *Provider) DiscoveryURL() string { return p.issuer + oidc.DiscoveryEndpoint }

// AuthorizationEndpoint is the URL where a code is asked for.
func (p *Provider) AuthorizationEndpoint() string {
	return p.op.AuthorizationEndpoint().Absolute(p.issuer)
}

// TokenEndpoint is the URL of all grants.
func (p *Provider) TokenEndpoint() string { return p.op.TokenEndpoint().Absolute(p.issuer) }

// IntrospectionEndpoint is the URL of RFC 7662.
func (p *Provider) IntrospectionEndpoint() string {
	return p.op.IntrospectionEndpoint().Absolute(p.issuer)
}

// RevocationEndpoint is the URL of RFC 7009.
func (p *Provider) RevocationEndpoint() string { return p.op.RevocationEndpoint().Absolute(p.issuer) }

// JWKSEndpoint is the URL of the signing keys.
func (p *Provider) JWKSEndpoint() string { return p.op.KeysEndpoint().Absolute(p.issuer) }

// Introspections counts the calls of the introspection endpoint, faulty ones too.
func (p *Provider) Introspections() uint64 { return p.introspections.Load() }

// Redirected counts who followed a Redirect fault.
func (p *Provider) Redirected() uint64 { return p.redirected.Load() }

// SetFault makes the introspection endpoint fail from the next call on; the zero Fault heals it.
func (p *Provider) SetFault(f Fault) { p.fault.Store(&f) }

// Stop closes the listener and cuts the connections.
func (p *Provider) Stop() { p.srv.stop() }

// Start listens again on the same port; tokens and clients are as before.
func (p *Provider) Start(ctx context.Context) error { return p.srv.start(ctx) }

// SetClientSecret replaces a client's secret from the next call on.
func (p *Provider) SetClientSecret(clientID, secret string) error {
	return p.store.setSecret(clientID, secret)
}

// AddClient registers a client for client credentials, with the scopes it may ask for.
func (p *Provider) AddClient(clientID, secret string, scopes ...string) {
	p.store.addClient(&client{id: clientID, secret: secret, scopes: scopes})
}

// RotateKey signs from now on with a new key; the old ones stay published.
func (p *Provider) RotateKey() error { return p.store.rotateKey() }

// TokenSpec describes a token to mint. Zero values: client ci-bot, subject the
// client, no username, scopes read and write, audience gatehouse, one hour.
type TokenSpec struct {
	ClientID string
	Subject  string // without ":"
	Username string
	Scopes   []string
	Audience []string
	Lifetime time.Duration // negative: already expired
	IssuedAt time.Time     // opaque tokens only; default now
	JWT      bool          // signed, for JWKS; default opaque
}

// MintToken makes a token without asking anybody, of any client or person.
func (p *Provider) MintToken(ctx context.Context, spec TokenSpec) (string, error) {
	g := newGrant(spec)
	if strings.Contains(g.subject, ":") {
		return "", fmt.Errorf("mint token: subject %q holds a colon", g.subject)
	}
	kind := op.AccessTokenTypeBearer
	if spec.JWT {
		kind = op.AccessTokenTypeJWT
	}
	ctx = op.ContextWithIssuer(ctx, p.issuer)
	token, _, _, err := op.CreateAccessToken(ctx, g, kind, p.op, &client{id: g.clientID}, "")
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return token, nil
}

// Revoke makes a token inactive; it reports whether the token was active.
func (p *Provider) Revoke(ctx context.Context, token string) bool {
	var id string
	if plain, err := p.op.Crypto().Decrypt(token); err == nil {
		id, _, _ = strings.Cut(plain, ":")
	} else {
		ctx = op.ContextWithIssuer(ctx, p.issuer)
		claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, p.op.AccessTokenVerifier(ctx))
		if err != nil {
			return false
		}
		id = claims.JWTID
	}
	return p.store.forget(id)
}
