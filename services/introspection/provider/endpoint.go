package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// Endpoint is how a provider is asked, and how that goes. It lives as long as its revision does, over any
// number of configurations. Two sites never share one.
type Endpoint struct {
	Site, Provider string
	Revision       string
	How            Asking
	validator      validator
	Breaker        *remote.Breaker
	metadata       *kept[metadata]
	published      *remote.Breaker // of metadata and keys
	Gate           *remote.Gate
	issuing        *remote.Gate // of tokens: people who sign in do not hold up those whose tokens are judged
	notes          remote.Notes
}

// New makes ready how a provider is asked.
func New(siteID string, p *configlog.Provider, how Asking, revision string, o Options) (*Endpoint, *Cannot) {
	e := &Endpoint{
		Site: siteID, Provider: p.ID, Revision: revision, How: how, metadata: newMetadata(p.Issuer, o),
		Breaker: remote.NewBreaker(o.Limits), published: remote.NewBreaker(o.Limits), Gate: remote.NewGate(o.Concurrency), issuing: remote.NewGate(o.Concurrency),
	}
	var cannot *Cannot
	if e.validator, cannot = how.judges(e.metadata, o); cannot != nil {
		return nil, cannot
	}
	return e, nil
}

// Judge has the provider say what it knows of a token, and when it said so. key stands for the token: failures count once a
// token.
func (e *Endpoint) Judge(ctx context.Context, via *Via, key [32]byte, token string) (Facts, time.Time, *remote.Problem) {
	return e.validator.judge(ctx, &inquiry{Via: via, endpoint: e, key: key}, token)
}

// Via is how providers are called.
type Via struct {
	Client  *http.Client
	Timeout time.Duration
	Life    *flight.Life
	Log     *slog.Logger
	Tracer  trace.Tracer
	// Counted is told what became of a call; took is 0 for one that was not made.
	Counted func(e *Endpoint, call, result string, took time.Duration)
}

// Asking is everything that has a part in what a provider answers; its fingerprint is the revision.
type Asking struct {
	kind, validation     string
	issuer, url, jwksURI string
	callerAuth           string
	clientID, keyID      string
	secret               configlog.Secret // a client secret, or the key that signs client assertions
	value                string           // of the secret
	usernameClaim        string
	usernameRegex        string
}

// Revised fingerprints a. A sealed secret is known by reference, version and fingerprint; one from a variable
// or a file only by its value, and the fingerprint is keyed.
func (a Asking) Revised(fingerprint func(fields ...string) string) string {
	value := a.value
	if a.secret.Ref != "" {
		value = ""
	}
	return fingerprint(a.kind, a.validation, a.issuer, a.url, a.jwksURI, a.callerAuth, a.clientID, a.keyID, a.usernameClaim, a.usernameRegex,
		a.secret.Key(), a.secret.Fingerprint, a.secret.Env, a.secret.File, value)
}

// Secret is what is shown to the provider, open; empty: nothing.
func (a Asking) Secret() string { return a.value }

// What keeps a provider from being asked. The log says more.
const (
	TroubleUnopened = "its secret cannot be opened"
	troubleKind     = "its kind is not known, or not judged in this way"
	troubleURL      = "an endpoint of it is no http or https URL, or missing"
	troubleAuth     = "its caller_auth is not known"
	troubleRegex    = "its username_regex is none"
	troubleKey      = "its private key cannot be used"
)

// Cannot is why a provider or a directory Cannot be asked.
type Cannot struct {
	Trouble string
	Cause   error
}

// How gives how a provider is asked, with its secret open. before is how it was asked until now, or nil.
func How(c *configlog.Provider, before *Endpoint, open func(configlog.Secret) (string, error)) (Asking, *Cannot) {
	a := Asking{
		kind: c.Kind, validation: string(presets.ValidationOf(c)), issuer: c.Issuer, url: c.IntrospectionEndpoint, jwksURI: c.JWKSURI,
		callerAuth: c.CallerAuth, clientID: c.ClientID, usernameClaim: c.UsernameClaim, usernameRegex: c.UsernameRegex,
	}
	needed, known := needsSecret(a.callerAuth)
	switch {
	case !known:
		return a, &Cannot{Trouble: troubleAuth, Cause: errors.New("caller_auth " + strconv.Quote(a.callerAuth))}
	case !needed || a.validation != string(presets.Introspection) && a.validation != string(presets.JWTAndIntrospection) && a.validation != string(presets.TokenCheck):
		return a, nil
	}
	a.secret = c.ClientSecret
	if a.callerAuth == "private_key_jwt" {
		a.secret, a.keyID = c.PrivateKey, c.PrivateKeyID
	}
	if before != nil && a.secret.Ref != "" && before.How.secret == a.secret {
		a.value = before.How.value // sealed under a key that is never written again
		return a, nil
	}
	var err error
	if a.value, err = open(a.secret); err != nil {
		return a, &Cannot{Trouble: TroubleUnopened, Cause: err}
	}
	return a, nil
}
