package document

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

// how a kind of provider is asked whose token it is.
type how uint8

const (
	introspects how = iota // RFC 7662, or by its keys when only an issuer is named
	byKeys                 // it has no introspection: its signed tokens are verified by its keys
	byItsOwn               // an endpoint and a way of its own, known to Gatehouse
	byItsClient            // as byItsOwn, with a client id and secret
)

// howAsked gives how each kind of provider is asked; see docs/reference for the sources.
func howAsked() map[string]how {
	return map[string]how{
		"custom": introspects, "okta": introspects, "keycloak": introspects, "gitlab": introspects,
		"pingfederate": introspects, "pingone": introspects,
		"entra": byKeys, "cognito": byKeys,
		"google": byItsOwn, "github": byItsClient,
	}
}

// Kinds gives the kinds of provider, sorted.
func Kinds() []string {
	var kinds []string
	for kind := range howAsked() {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

func (k *checker) providers(path string, s *configlog.Site) {
	ids := map[string]bool{}
	for j := range s.Providers {
		p, where := &s.Providers[j], at(path+".providers", j)
		if k.id(where+".id", p.ID) && ids[p.ID] {
			k.problem(where+".id", "is another provider's already")
		}
		ids[p.ID] = true
		if k.oneOf(where+".kind", p.Kind, Kinds()...) {
			k.endpoints(where, p)
		}
		k.audience(where, s, p)
		k.between(where+".cache.max_ttl", p.Cache.MaxTTL, 0, time.Hour)
		k.between(where+".cache.negative_ttl", p.Cache.NegativeTTL, 0, 10*time.Minute)
	}
	if len(s.Providers) > 0 && !s.Methods.OAuth {
		k.warn(path+".providers", "are not used while methods.oauth is off")
	}
}

// endpoints checks where the provider is and what Gatehouse shows itself with there.
func (k *checker) endpoints(path string, p *configlog.Provider) {
	asked := howAsked()[p.Kind]
	if p.IntrospectionEndpoint != "" {
		k.endpoint(path+".introspection_endpoint", p.IntrospectionEndpoint, shape{path: true, query: true}, p)
	}
	if p.Issuer != "" {
		k.endpoint(path+".issuer", p.Issuer, shape{path: true}, p)
	}
	switch {
	case asked == byKeys && p.Issuer == "":
		k.problem(path+".issuer", "is required: %s has no introspection, its tokens are verified by its keys", p.Kind)
	case asked == introspects && p.IntrospectionEndpoint == "" && p.Issuer == "":
		k.problem(path+".introspection_endpoint", "is required, or an issuer whose keys verify its tokens")
	}
	switch { // as long as introspection asks by RFC 7662 only
	case asked != introspects:
		k.warn(path+".kind", "is kept, but this version cannot ask such a provider: its tokens are answered provider_unavailable")
	case p.IntrospectionEndpoint == "":
		k.warn(path+".introspection_endpoint", "is empty, and this version does not verify by keys: tokens are answered provider_unavailable")
	}
	k.oneOf(path+".caller_auth", p.CallerAuth, "client_secret_basic", "client_secret_post", "none")
	k.secret(path+".client_secret", p.ClientSecret)
	if p.CallerAuth == "none" && !p.ClientSecret.IsZero() {
		k.warn(path+".client_secret", "is never sent while caller_auth is none")
	}
	if p.CallerAuth == "none" && asked != byItsClient || (asked != byItsClient && p.IntrospectionEndpoint == "") {
		return
	}
	if p.ClientID == "" {
		k.problem(path+".client_id", "is required to ask this provider")
	}
	if p.ClientSecret.IsZero() {
		k.problem(path+".client_secret", "is required to ask this provider: value, ref, env or file")
	}
}

// endpoint checks a URL that secrets or tokens are sent to, or keys fetched from.
func (k *checker) endpoint(path, raw string, allowed shape, p *configlog.Provider) {
	u := k.url(path, raw, allowed)
	switch {
	case u == nil || u.Scheme == "https" || loopback(u):
	case p.AllowPlainHTTP:
		k.warn(path, "is plain http: secrets and tokens travel unencrypted")
	default:
		k.problem(path, "must be https: plain http is for loopback, or for who sets allow_plain_http")
	}
}

// audience checks for whom the provider's tokens are good, and as whom they act.
func (k *checker) audience(path string, s *configlog.Site, p *configlog.Provider) {
	if p.Audience == "" && len(p.RequiredScopes) == 0 && len(p.Clients) == 0 {
		k.problem(path, "open_to_all_clients: name an audience, required_scopes or clients, or every client of the provider may call")
	}
	for i, scope := range p.RequiredScopes {
		if scope == "" || strings.ContainsAny(scope, " \"\\") { // RFC 6749 §3.3
			k.problem(at(path+".required_scopes", i), "must be one scope, without spaces")
		}
	}
	if p.ServiceAccount != "" && !canAct(s, p.ServiceAccount) {
		k.problem(path+".service_account", "has no credential in upstream.accounts")
	}
	acts := p.ServiceAccount != ""
	seen := map[string]bool{}
	for i, c := range p.Clients {
		where := at(path+".clients", i)
		switch {
		case c.ClientID == "":
			k.problem(where+".client_id", "is required")
		case seen[c.ClientID]:
			k.problem(where+".client_id", "is there already")
		}
		seen[c.ClientID] = true
		if c.ServiceAccount != "" && !canAct(s, c.ServiceAccount) {
			k.problem(where+".service_account", "has no credential in upstream.accounts")
		}
		acts = acts || c.ServiceAccount != ""
	}
	if !acts && s.Grant == "client_credentials" {
		k.warn(path+".service_account", "is empty: tokens of clients act as nobody and are refused (no_upstream_account)")
	}
}

// secret checks where a secret is said to be.
func (k *checker) secret(path string, s configlog.Secret) {
	name, found := strings.CutPrefix(s.Env, secret.EnvPrefix)
	if s.Env != "" && (!found || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "") {
		k.problem(path+".env", "must begin with %s and go on with A-Z, 0-9 and _", secret.EnvPrefix)
	}
	if s.File != "" && (!filepath.IsLocal(s.File) || filepath.Clean(s.File) != s.File || s.File == "." || strings.Contains(s.File, `\`)) {
		k.problem(path+".file", "must be a plain relative path, without ..")
	}
}
