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

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// client is Gatehouse where a provider issues tokens to it: as the client of the provider's configuration, or as another that
// it was given.
type client struct {
	provider *configlog.Provider
	caller   *caller
	http     *http.Client
	limit    time.Duration
	inquiry  *inquiry // to find endpoints that are not configured
}

// client makes ready the client of a provider. id and secret stand in for those of the configuration.
func (a *answering) client(ctx context.Context, p *provider, id, secret string) (*client, error) {
	if p.ask == nil {
		return nil, fault.New(fault.Unavailable, "provider "+p.id+" cannot be asked: "+p.trouble)
	}
	way, named := issuedTo(p.config)
	switch {
	case id != "":
		if way == "none" || way == "private_key_jwt" {
			way = "client_secret_basic"
		}
	case p.config.ClientID == "":
		return nil, fault.New(fault.Unavailable, "provider "+p.id+" has no client_id")
	case way != "none":
		var err error
		if secret, err = a.config.opener.Open(ctx, named); err != nil {
			return nil, fault.Wrap(fault.Unavailable, "provider "+p.id+": "+troubleUnopened, err)
		}
	}
	audience := ""
	if preset, _ := presets.Of(p.config.Kind); preset.Audience == "issuer" {
		audience = p.config.Issuer
	}
	shown, err := newCaller(way, cmp.Or(id, p.config.ClientID), secret, p.config.PrivateKeyID, audience)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+p.id+": "+troubleKey, err)
	}
	return &client{
		provider: p.config, caller: shown, http: a.clients.once, limit: a.settings.CallTimeout,
		inquiry: &inquiry{asker: a.tokens.asker, endpoint: p.ask},
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

// at gives where users sign in and tokens are issued.
func (c *client) at(ctx context.Context) (oauth2.Endpoint, error) {
	p := c.provider
	preset, _ := presets.Of(p.Kind)
	e := oauth2.Endpoint{
		AuthURL: cmp.Or(p.AuthorizationEndpoint, preset.SignIn.Authorization), TokenURL: cmp.Or(p.TokenEndpoint, preset.SignIn.Token),
		AuthStyle: oauth2.AuthStyleInParams,
	}
	if c.caller.way == "client_secret_basic" {
		e.AuthStyle = oauth2.AuthStyleInHeader
	}
	if p.Issuer == "" || e.AuthURL != "" && e.TokenURL != "" {
		return e, nil
	}
	m, _, problem := c.inquiry.endpoint.metadata.get(ctx, c.inquiry)
	switch {
	case problem != nil:
		return e, fault.Wrap(fault.Unavailable, "provider "+p.ID+": "+problem.Text, problem)
	case !trusted(m.Authorization, p.Issuer), !trusted(m.Token, p.Issuer):
		return e, fault.New(fault.Unavailable, "provider "+p.ID+": its discovery document names an endpoint that is no https URL")
	}
	e.AuthURL, e.TokenURL = cmp.Or(e.AuthURL, m.Authorization), cmp.Or(e.TokenURL, m.Token)
	return e, nil
}

// unnamed is a provider of which nobody says where something is.
func (c *client) unnamed(endpoint string) error {
	return fault.New(fault.Unavailable, "provider "+c.provider.ID+" has no "+endpoint+", nor a discovery document that names it")
}

// fetch gets a token by client credentials (RFC 6749 §4.4).
func (a *answering) fetch(ctx context.Context, r *identityv1.FetchRequest, hide func(secret string)) (*identityv1.Token, error) {
	p := a.config.current.Load().provider(r.GetSite(), r.GetProvider())
	if p == nil {
		return nil, fault.Newf(fault.NotFound, "no provider %.64q", r.GetProvider())
	}
	c, err := a.client(ctx, p, r.GetClientId(), r.GetClientSecret())
	if err != nil {
		return nil, err
	}
	hide(c.caller.secret)
	at, err := c.at(ctx)
	if err == nil && at.TokenURL == "" {
		err = c.unnamed("token_endpoint")
	}
	if err != nil {
		return nil, err
	}
	params, err := c.params(at.TokenURL)
	if err != nil {
		return nil, err
	}
	config := clientcredentials.Config{
		ClientID: c.caller.id, ClientSecret: c.caller.secret, TokenURL: at.TokenURL, Scopes: strings.Fields(c.provider.Scope),
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
	params.Del("client_id") // the library says it
	return params, nil
}

// issued has a token issued.
func (c *client) issued(ctx context.Context, by func(context.Context) (*oauth2.Token, error)) (*identityv1.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	gate := c.inquiry.endpoint.gate
	if err := gate.Enter(ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+" is asked too much at once", err)
	}
	defer gate.Leave()
	began := time.Now()
	token, err := by(context.WithValue(witness.To(ctx, "provider "+c.provider.ID), oauth2.HTTPClient, c.http))
	if err == nil && !tokenShaped(token.AccessToken) {
		err = errNoToken
	}
	c.inquiry.counters.called(c.inquiry.endpoint, "token", string(becameOf(err)), time.Since(began))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+c.provider.ID+" issued no token: "+notIssued(ctx, err), errNoToken)
	}
	scope, _ := token.Extra("scope").(string)
	return &identityv1.Token{AccessToken: token.AccessToken, TokenType: token.Type(), Scope: scope, ExpiresAt: stamp(token.Expiry)}, nil
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
