package introspection

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

	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// client is Gatehouse where it gets tokens of a provider itself, as the client of the provider's configuration or as another
// that it was given.
type client struct {
	provider *configlog.Provider
	caller   *caller
	http     *http.Client
	limit    time.Duration
	// metadata finds the endpoints that are not configured.
	metadata *kept[metadata]
	inquiry  *inquiry
}

// client makes ready the client of a provider. id and secret stand in for those of the configuration.
func (a *answering) client(ctx context.Context, siteID string, p *configlog.Provider, id, secret string) (*client, error) {
	way, named := issuedTo(p)
	if id != "" {
		way = cmp.Or(strings.TrimPrefix(way, "private_key_jwt"), "client_secret_basic")
	} else if id = p.ClientID; way != "none" {
		var err error
		if secret, err = a.config.opener.Open(ctx, named); err != nil {
			return nil, fault.Wrap(fault.Unavailable, "provider "+p.ID+": "+troubleUnopened, err)
		}
	}
	if id == "" {
		return nil, fault.New(fault.Invalid, "provider "+p.ID+" has no client_id")
	}
	audience := ""
	if preset, _ := presets.Of(p.Kind); preset.Audience == "issuer" {
		audience = p.Issuer
	}
	shown, err := newCaller(way, id, secret, p.PrivateKeyID, audience)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+p.ID+": "+troubleKey, err)
	}
	return &client{
		provider: p, caller: shown, http: a.clients.once, limit: a.settings.CallTimeout, metadata: newMetadata(p.Issuer, a.settings),
		inquiry: &inquiry{asker: a.tokens.asker, endpoint: newEndpoint(siteID, p.ID, a.settings)},
	}, nil
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

// at gives where tokens are issued and users sign in.
func (c *client) at(ctx context.Context) (oauth2.Endpoint, error) {
	preset, _ := presets.Of(c.provider.Kind)
	e := oauth2.Endpoint{
		AuthURL:  cmp.Or(c.provider.AuthorizationEndpoint, preset.SignIn.Authorization),
		TokenURL: cmp.Or(c.provider.TokenEndpoint, preset.SignIn.Token), AuthStyle: oauth2.AuthStyleInParams,
	}
	if c.caller.way == "client_secret_basic" {
		e.AuthStyle = oauth2.AuthStyleInHeader
	}
	if c.provider.Issuer == "" || e.AuthURL != "" && e.TokenURL != "" {
		return e, nil
	}
	m, _, p := c.metadata.get(ctx, c.inquiry)
	if p != nil {
		return e, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+": "+p.text, p)
	}
	if !trusted(m.Authorization, c.provider.Issuer) || !trusted(m.Token, c.provider.Issuer) {
		return e, fault.New(fault.Unavailable, "provider "+c.provider.ID+": its discovery document names an endpoint that is no https URL")
	}
	e.AuthURL, e.TokenURL = cmp.Or(e.AuthURL, m.Authorization), cmp.Or(e.TokenURL, m.Token)
	return e, nil
}

// fetch gets a token by client credentials (RFC 6749 §4.4).
func (a *answering) fetch(ctx context.Context, s *configlog.Site, r *identityv1.FetchRequest, hide func(secret string)) (*identityv1.Token, error) {
	p := s.Provider(r.GetProvider())
	if p == nil {
		return nil, fault.Newf(fault.NotFound, "no provider %.64q", r.GetProvider())
	}
	c, err := a.client(ctx, s.ID, p, r.GetClientId(), r.GetClientSecret())
	if err != nil {
		return nil, err
	}
	hide(c.caller.secret)
	at, err := c.at(ctx)
	if err != nil {
		return nil, err
	}
	if at.TokenURL == "" {
		return nil, fault.New(fault.Unavailable, "provider "+p.ID+" names no token_endpoint, nor does its discovery document")
	}
	params, err := c.params(at.TokenURL)
	if err != nil {
		return nil, err
	}
	config := clientcredentials.Config{
		ClientID: c.caller.id, ClientSecret: c.caller.secret, TokenURL: at.TokenURL, Scopes: strings.Fields(p.Scope),
		EndpointParams: params, AuthStyle: at.AuthStyle,
	}
	return c.issued(ctx, config.Token)
}

// params are what a client assertion adds to a request.
func (c *client) params(endpoint string) (url.Values, error) {
	params := url.Values{}
	if c.caller.way != "private_key_jwt" {
		return params, nil
	}
	if err := c.caller.show(endpoint, nil, params, time.Now()); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+": "+troubleKey, err)
	}
	params.Del("client_id")
	return params, nil
}

// issued has a token issued.
func (c *client) issued(ctx context.Context, by func(context.Context) (*oauth2.Token, error)) (*identityv1.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	token, err := by(context.WithValue(witness.To(ctx, "provider "+c.provider.ID), oauth2.HTTPClient, c.http))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "provider "+c.provider.ID+" issued no token: "+notIssued(ctx, err))
	}
	if !tokenShaped(token.AccessToken) {
		return nil, fault.New(fault.Unavailable, "provider "+c.provider.ID+" issued something that is no token")
	}
	scope, _ := token.Extra("scope").(string)
	return &identityv1.Token{AccessToken: token.AccessToken, TokenType: token.Type(), Scope: scope, ExpiresAt: stamp(token.Expiry)}, nil
}

// notIssued says why, in words that hold nothing a stranger could have put there: the library's own texts repeat the reply.
func notIssued(ctx context.Context, err error) string {
	var refused *oauth2.RetrieveError
	var broken *url.Error
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		text := "it answers " + strconv.Itoa(refused.Response.StatusCode)
		if regexp.MustCompile(`^[a-z_]{1,40}$`).MatchString(refused.ErrorCode) { // RFC 6749 §5.2
			text += " " + refused.ErrorCode
		}
		return text
	case errors.As(err, &broken), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return notAnswered(ctx, err).text
	default:
		return "its reply is no token (RFC 6749 §5.1)"
	}
}
