package introspection

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"golang.org/x/oauth2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// flow is a sign-in that has begun: what the browser keeps of it while it is at the provider, sealed, so that any instance of
// this service can end it and nobody else can read or make one.
type flow struct {
	Site     string `json:"site"`
	Provider string `json:"provider"`
	// Revision is that of the provider when it began: another provider of that name is not shown the code.
	Revision string `json:"revision"`
	provider.SignIn
	State    string    `json:"state"`
	Verifier string    `json:"verifier"` // RFC 7636 §4.1
	Redirect string    `json:"redirect"`
	Until    time.Time `json:"until"`
}

// flowSealer seals flows under a key of the identity that all instances of this service share.
type flowSealer struct{ aead cipher.AEAD }

func newFlowSealer(identity string) (flowSealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(identity), nil, "gatehouse sign-in", 32)
	if err != nil {
		return flowSealer{}, fmt.Errorf("sign-in key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return flowSealer{}, fmt.Errorf("sign-in key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return flowSealer{aead: aead}, err
}

func (s flowSealer) seal(f *flow) (string, error) {
	text, err := json.Marshal(f)
	return base64.RawURLEncoding.EncodeToString(s.sealed(text, "flow")), err
}

// sealed seals a text of a kind; opened gives it back, or an error when it is none of ours, or of another kind.
func (s flowSealer) sealed(text []byte, kind string) []byte {
	return s.aead.Seal(nil, nil, text, []byte(kind)) //nolint:gosec // it makes the nonce itself
}

func (s flowSealer) opened(sealed []byte, kind string) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(kind))
}

// open gives a flow that this service has sealed; nil: it has not.
func (s flowSealer) open(text string) *flow {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	plain, err := s.opened(sealed, "flow")
	if err != nil {
		return nil
	}
	f := new(flow)
	if json.Unmarshal(plain, f) != nil {
		return nil
	}
	return f
}

// from tells whether the parameter iss a person comes back with names the provider (RFC 9207 §2.4). One that does not say that it
// sends it may leave it out.
func (f *flow) from(iss, configured string) bool {
	if f.Issuer != "" {
		return iss == f.Issuer
	}
	return iss == "" || configured == "" || presets.SameIssuer(iss, configured)
}

// authorize answers identity.v1.authorize.
func (a *answering) authorize(ctx context.Context, r *identityv1.AuthorizeRequest) (proto.Message, error) {
	p, err := a.signsIn(ctx, r.GetSite(), r.GetProvider(), r.GetConfigSequence())
	if err != nil {
		return nil, err
	}
	c, err := a.client(ctx, p, "", "")
	if err != nil {
		return nil, err
	}
	f := &flow{
		Site: r.GetSite(), Provider: p.id, Revision: a.clientRevision(p), State: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Redirect: r.GetRedirectUri(), Until: time.Now().Add(a.settings.SignInFor),
	}
	if f.SignIn, err = c.SignIn(ctx, f.Redirect, f.State, f.Verifier); err != nil {
		return nil, err
	}
	sealed, err := a.flows.seal(f)
	return &identityv1.AuthorizeReply{Url: f.URL, Flow: sealed, State: f.State, GoodFor: durationpb.New(a.settings.SignInFor)}, err
}

// clientRevision fingerprints a provider and how tokens are got of it.
func (a *answering) clientRevision(p *trusted) string {
	c := p.config
	fields := []string{p.ask.Revision, c.AuthorizationEndpoint, c.TokenEndpoint, c.ClientID, c.CallerAuth}
	for _, s := range []configlog.Secret{c.ClientSecret, c.PrivateKey} {
		fields = append(fields, s.Key(), s.Fingerprint, s.Env, s.File)
	}
	return a.config.revisions.of(fields...)
}

// signsIn gives a provider at which people sign in.
func (a *answering) signsIn(ctx context.Context, siteID, providerID string, seq uint64) (*trusted, error) {
	x, err := a.config.at(ctx, seq)
	if err != nil {
		return nil, err
	}
	p := x.provider(siteID, providerID)
	if p == nil {
		return nil, fault.Newf(fault.NotFound, "no provider %.64q", providerID)
	}
	return p, nil
}

// client gives Gatehouse as a client of a provider; see provider.NewClient.
func (a *answering) client(ctx context.Context, p *trusted, id, secret string) (*provider.Client, error) {
	if p.ask == nil {
		return nil, fault.New(fault.Unavailable, "provider "+p.id+" cannot be asked: "+p.trouble)
	}
	open := func(s configlog.Secret) (string, error) { return a.config.opener.Open(ctx, s) }
	return provider.NewClient(p.ask, p.config, a.tokens.asker.via, a.clients.once, id, secret, open)
}

// exchange answers identity.v1.exchange.
func (a *answering) exchange(ctx context.Context, r *identityv1.ExchangeRequest) (proto.Message, error) {
	f := a.flows.open(r.GetFlow())
	switch {
	case f == nil || f.Site != r.GetSite() || subtle.ConstantTimeCompare([]byte(f.State), []byte(r.GetState())) != 1:
		return nil, fault.New(fault.Invalid, "this sign-in was not begun in this browser")
	case time.Now().After(f.Until):
		return nil, fault.New(fault.Invalid, "this sign-in was begun too long ago")
	case r.GetCode() == "" || len(r.GetCode()) > provider.MaxToken:
		return nil, fault.New(fault.Invalid, "the provider has sent no code")
	}
	p, err := a.signsIn(ctx, f.Site, f.Provider, r.GetConfigSequence())
	switch {
	case err != nil:
		return nil, err
	case p.ask == nil || a.clientRevision(p) != f.Revision:
		return nil, fault.New(fault.Invalid, "the provider is another one by now: begin again")
	case !f.from(r.GetIssuer(), p.config.Issuer):
		return nil, fault.New(fault.Invalid, "the answer is another provider's")
	}
	c, err := a.client(ctx, p, "", "")
	if err != nil {
		return nil, err
	}
	token, err := c.Exchange(ctx, f.TokenURL, r.GetCode(), f.Verifier, f.Redirect)
	if err != nil {
		return nil, err
	}
	return &identityv1.ExchangeReply{Provider: p.id, Token: token}, nil
}

// fetch gets a token by client credentials, as the provider's own client or as another. hide is told what is shown for it.
func (a *answering) fetch(ctx context.Context, r *identityv1.FetchRequest, hide func(secret string)) (*identityv1.Token, error) {
	p := a.config.current.Load().provider(r.GetSite(), r.GetProvider())
	if p == nil {
		return nil, fault.Newf(fault.NotFound, "no provider %.64q", r.GetProvider())
	}
	c, err := a.client(ctx, p, r.GetClientId(), r.GetClientSecret())
	if err != nil {
		return nil, err
	}
	return c.Fetch(ctx, hide)
}
