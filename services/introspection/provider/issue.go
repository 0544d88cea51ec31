package provider

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// Client is Gatehouse where a provider issues tokens to it: as the client of the provider's configuration, or as another that
// it was given.
type Client struct {
	provider *configlog.Provider
	way, id  string // how it shows itself, and as whom
	open     func() (string, error)
	http     *http.Client
	inquiry  *inquiry // to find endpoints that are not configured
}

// NewClient makes ready the client of a provider, which calls by once: no request is sent twice. id and secret stand in for those
// of the configuration, which open opens when it is to be shown. The error is a fault.
func NewClient(e *Endpoint, p *configlog.Provider, via *Via, once *http.Client, id, secret string, open func(configlog.Secret) (string, error)) (*Client, error) {
	way, named := issuedTo(p)
	c := &Client{provider: p, way: way, id: p.ClientID, http: once, inquiry: &inquiry{Via: via, endpoint: e}}
	c.open = func() (string, error) { return open(named) }
	switch {
	case id != "":
		c.id, c.open = id, func() (string, error) { return secret, nil }
		if way == "none" || way == "private_key_jwt" {
			c.way = "client_secret_basic"
		}
	case p.ClientID == "":
		return nil, fault.New(fault.Unavailable, "provider "+p.ID+" has no client_id")
	case way == "none":
		c.open = func() (string, error) { return "", nil }
	}
	return c, nil
}

// shown gives what the client shows itself with.
func (c *Client) shown() (*caller, error) {
	secret, err := c.open()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+": "+TroubleUnopened, err)
	}
	audience := ""
	if preset, _ := presets.Of(c.provider.Kind); preset.Audience == "issuer" {
		audience = c.provider.Issuer
	}
	shown, err := newCaller(c.way, c.id, secret, c.provider.PrivateKeyID, audience)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+": "+troubleKey, err)
	}
	return shown, nil
}

// issuedTo says how the client of a provider shows itself where tokens are issued, and with which secret: as it does where they
// are introspected, or as its secret allows where nobody is asked or nothing has to be shown.
func issuedTo(p *configlog.Provider) (way string, with configlog.Secret) {
	switch {
	case p.CallerAuth == "private_key_jwt" && !p.PrivateKey.IsZero():
		return p.CallerAuth, p.PrivateKey
	case p.ClientSecret.IsZero():
		return "none", configlog.Secret{}
	case p.CallerAuth == "client_secret_post":
		return p.CallerAuth, p.ClientSecret
	default:
		return "client_secret_basic", p.ClientSecret
	}
}

// places is where users sign in and tokens are issued.
type places struct {
	authorization, token string
	issuer               string // who comes back from signing in names it; empty: may
}

// places gives them: as they are configured or known of the kind, and what is missing from the discovery document.
func (c *Client) places(ctx context.Context, signIn bool) (places, error) {
	p := c.provider
	preset, _ := presets.Of(p.Kind)
	at := places{authorization: cmp.Or(p.AuthorizationEndpoint, preset.SignIn.Authorization), token: cmp.Or(p.TokenEndpoint, preset.SignIn.Token)}
	if p.Issuer == "" || at.token != "" && (at.authorization != "" || !signIn) {
		return at, nil
	}
	m, _, problem := c.inquiry.endpoint.metadata.get(ctx, c.inquiry)
	switch {
	case problem != nil:
		return at, fault.Wrap(fault.Unavailable, "provider "+p.ID+": "+problem.Text, problem)
	case signIn && !trusted(m.Authorization, p.Issuer), !trusted(m.Token, p.Issuer):
		return at, fault.New(fault.Unavailable, "provider "+p.ID+": its discovery document names an endpoint that is no https URL")
	}
	at.authorization, at.token = cmp.Or(at.authorization, m.Authorization), cmp.Or(at.token, m.Token)
	if m.NamesIssuer {
		at.issuer = m.Issuer
	}
	return at, nil
}

// unnamed is a provider of which nobody says where something is.
func (c *Client) unnamed(endpoint string) error {
	return fault.New(fault.Unavailable, "provider "+c.provider.ID+" has no "+endpoint+", nor a discovery document that names it")
}

// SignIn is where a sign-in goes on, found out as it begins: who comes back with a code does not wait for a discovery document.
type SignIn struct {
	URL      string `json:"-"`                // where the browser goes
	TokenURL string `json:"token"`            // where the code is shown
	Issuer   string `json:"issuer,omitempty"` // whom the parameter iss must name (RFC 9207 §2.4); empty: the provider may send none
}

// SignIn begins the sign-in of a person: authorization code (RFC 6749 §4.1) with PKCE (RFC 7636). The error is a fault.
func (c *Client) SignIn(ctx context.Context, redirect, state, verifier string) (SignIn, error) {
	at, err := c.places(ctx, true)
	switch {
	case err != nil:
		return SignIn{}, err
	case at.authorization == "":
		return SignIn{}, c.unnamed("authorization_endpoint")
	case at.token == "":
		return SignIn{}, c.unnamed("token_endpoint")
	}
	config := c.config(oauth2.Endpoint{AuthURL: at.authorization}, "", redirect)
	return SignIn{URL: config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), TokenURL: at.token, Issuer: at.issuer}, nil
}

// Exchange gets the token of the person whom the provider has sent back with a code. The error is a fault.
func (c *Client) Exchange(ctx context.Context, tokenURL, code, verifier, redirect string) (*identityv1.Token, error) {
	at, shown, params, err := c.shownAt(tokenURL)
	if err != nil {
		return nil, err
	}
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	for name := range params {
		options = append(options, oauth2.SetAuthURLParam(name, params.Get(name)))
	}
	return c.issued(ctx, func(ctx context.Context) (*oauth2.Token, error) {
		return c.config(at, shown.secret, redirect).Exchange(ctx, code, options...)
	})
}

// Fetch gets a token by client credentials (RFC 6749 §4.4). hide is told the secret before it is shown. The error is a fault.
func (c *Client) Fetch(ctx context.Context, hide func(secret string)) (*identityv1.Token, error) {
	where, err := c.places(ctx, false)
	switch {
	case err != nil:
		return nil, err
	case where.token == "":
		return nil, c.unnamed("token_endpoint")
	}
	at, shown, params, err := c.shownAt(where.token)
	if err != nil {
		return nil, err
	}
	hide(shown.secret)
	config := clientcredentials.Config{
		ClientID: c.id, ClientSecret: shown.secret, TokenURL: at.TokenURL, Scopes: strings.Fields(c.provider.Scope),
		EndpointParams: params, AuthStyle: at.AuthStyle,
	}
	return c.issued(ctx, config.Token)
}

// config is the client as the library has it.
func (c *Client) config(at oauth2.Endpoint, secret, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: c.id, ClientSecret: secret, Endpoint: at, RedirectURL: redirect, Scopes: strings.Fields(c.provider.Scope)}
}

// shownAt gives what is shown where tokens are issued, and what a client assertion adds to the request.
func (c *Client) shownAt(tokenURL string) (oauth2.Endpoint, *caller, url.Values, error) {
	at := oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: oauth2.AuthStyleInParams}
	if c.way == "client_secret_basic" {
		at.AuthStyle = oauth2.AuthStyleInHeader
	}
	shown, err := c.shown()
	if err != nil {
		return at, nil, nil, err
	}
	params := url.Values{}
	if c.way == "private_key_jwt" {
		if err := shown.show(at.TokenURL, nil, params, time.Now()); err != nil {
			return at, nil, nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+": "+troubleKey, err)
		}
		params.Del("client_id") // the library says it
	}
	return at, shown, params, nil
}

// issued has a token issued.
func (c *Client) issued(ctx context.Context, by func(context.Context) (*oauth2.Token, error)) (*identityv1.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.inquiry.Timeout)
	defer cancel()
	gate := c.inquiry.endpoint.issuing
	if err := gate.Enter(ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+" is asked too much at once", err)
	}
	defer gate.Leave()
	began := time.Now()
	token, err := by(context.WithValue(witness.To(ctx, "provider "+c.provider.ID), oauth2.HTTPClient, c.http))
	scope := ""
	if err == nil {
		if scope, _ = token.Extra("scope").(string); !TokenShaped(token.AccessToken) || len(scope) > maxWords {
			err = errNoToken
		}
	}
	c.inquiry.Counted(c.inquiry.endpoint, "token", string(becameOf(err)), time.Since(began))
	if err != nil {
		code := fault.Unavailable
		if refused := new(oauth2.RetrieveError); errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
			code = fault.Invalid // the code is wrong, and nothing else
		}
		return nil, fault.Wrap(code, "provider "+c.provider.ID+" issued no token: "+notIssued(ctx, err), errNoToken)
	}
	return &identityv1.Token{AccessToken: token.AccessToken, TokenType: token.Type(), Scope: scope, ExpiresAt: Stamp(token.Expiry)}, nil
}

// errNoToken is a reply that holds nothing that could be a token.
var errNoToken = errors.New("no token")

// becameOf is a token request as metrics name it.
func becameOf(err error) remote.Result {
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return remote.Answered
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode >= http.StatusInternalServerError:
		return remote.ServerError
	case errors.As(err, &refused):
		return remote.UnexpectedStatus
	case errors.Is(err, context.DeadlineExceeded):
		return remote.Timeout
	case errors.As(err, new(*url.Error)):
		return remote.Unreachable
	default:
		return remote.Malformed
	}
}

// notIssued says why, in words that hold nothing a stranger could have put there: the library's own texts repeat the reply.
func notIssued(ctx context.Context, err error) string {
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		text := "it answers " + strconv.Itoa(refused.Response.StatusCode)
		if regexp.MustCompile(`^[a-z_]{1,40}$`).MatchString(refused.ErrorCode) { // RFC 6749 §5.2
			text += " " + refused.ErrorCode
		}
		return text
	case errors.As(err, new(*url.Error)), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return remote.NotAnswered(ctx, err).Text
	default:
		return "its reply is no token (RFC 6749 §5.1)"
	}
}
