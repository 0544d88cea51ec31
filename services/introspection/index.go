package introspection

import (
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// index is a Snapshot made ready for asking: frozen, but for what lives in its endpoints and upstreams.
type index struct {
	seq   uint64
	sites map[string]*site
	// unopened: a secret could not be opened; files: a secret comes from a file, which changes unannounced.
	unopened, files bool
}

// site is one product and the providers it trusts.
type site struct {
	id        string
	providers []*provider
	issuers   []presets.Issuer // beside providers
	product   *upstream        // nil: a product of which it is not known how to ask it
	directory *directory       // nil: no rule asks for groups
}

// provider is a provider as one configuration trusts it.
type provider struct {
	id                            string
	maxTTL, negativeTTL, staleFor time.Duration
	config                        *configlog.Provider
	// ask is how it is asked; nil when it cannot be, and trouble says why.
	ask     *endpoint
	trouble string
}

// endpoint is how a provider is asked, and how that goes. It lives as long as its revision does, over any
// number of configurations. Two sites never share one.
type endpoint struct {
	site, provider string
	revision       string
	how            asking
	validator      validator
	breaker        *remote.Breaker
	metadata       *kept[metadata]
	published      *remote.Breaker // of metadata and keys
	gate           *remote.Gate
	notes          remote.Notes
}

func newEndpoint(siteID string, p *configlog.Provider, s Settings) *endpoint {
	return &endpoint{
		site: siteID, provider: p.ID, metadata: newMetadata(p.Issuer, s),
		breaker: remote.NewBreaker(s.Limits), published: remote.NewBreaker(s.Limits), gate: remote.NewGate(s.Concurrency),
	}
}

// asking is everything that has a part in what a provider answers; its fingerprint is the revision.
type asking struct {
	kind, validation     string
	issuer, url, jwksURI string
	callerAuth           string
	clientID, keyID      string
	secret               configlog.Secret // a client secret, or the key that signs client assertions
	value                string           // of the secret
	usernameClaim        string
	usernameRegex        string
}

// revision fingerprints a. A sealed secret is known by reference, version and fingerprint; one from a variable
// or a file only by its value, and the fingerprint is keyed.
func (a asking) revision(r revisions) string {
	value := a.value
	if a.secret.Ref != "" {
		value = ""
	}
	return r.of(a.kind, a.validation, a.issuer, a.url, a.jwksURI, a.callerAuth, a.clientID, a.keyID, a.usernameClaim, a.usernameRegex,
		a.secret.Key(), a.secret.Fingerprint, a.secret.Env, a.secret.File, value)
}

// choose gives the providers that can have issued a token, in the order they are to be asked.
func (s *site) choose(token string) []*provider {
	indices := presets.Issuers(s.issuers, presets.Look(token))
	out := make([]*provider, len(indices))
	for i, at := range indices {
		out[i] = s.providers[at]
	}
	return out
}

// provider gives a provider, or nil.
func (x *index) provider(siteID, id string) *provider {
	if x == nil || x.sites[siteID] == nil {
		return nil
	}
	all := x.sites[siteID].providers
	if i := slices.IndexFunc(all, func(p *provider) bool { return p.id == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// directory gives where a site's groups are looked up, or nil.
func (x *index) directory(siteID string) *directory {
	if x == nil || x.sites[siteID] == nil {
		return nil
	}
	return x.sites[siteID].directory
}

// upstream gives how a site's nodes are asked, or nil.
func (x *index) upstream(siteID string) *upstream {
	if x == nil || x.sites[siteID] == nil {
		return nil
	}
	return x.sites[siteID].product
}
