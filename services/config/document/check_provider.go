package document

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

func (k *checker) providers(path string, s *configlog.Site) {
	ids := map[string]bool{}
	for j := range s.Providers {
		p, where := &s.Providers[j], at(path+".providers", j)
		if k.id(where+".id", p.ID) && ids[p.ID] {
			k.problem(where+".id", "is another provider's already")
		}
		ids[p.ID] = true
		if k.oneOf(where+".kind", p.Kind, presets.Kinds()...) {
			k.judged(where, p)
		}
		k.audience(where, s, p)
		k.between(where+".cache.max_ttl", p.Cache.MaxTTL, 0, time.Hour)
		k.between(where+".cache.negative_ttl", p.Cache.NegativeTTL, 0, 10*time.Minute)
		if k.between(where+".cache.stale_for", p.Cache.StaleFor, 0, 24*time.Hour); p.Cache.StaleFor > 0 && p.Cache.MaxTTL == 0 {
			k.warn(where+".cache.stale_for", "has no effect: nothing is remembered while max_ttl is 0")
		}
	}
	k.alike(path+".providers", s)
	if len(s.Providers) > 0 && !s.Methods.OAuth {
		k.warn(path+".providers", "are not used while methods.oauth is off")
	}
}

// judged checks how the provider's tokens are judged, and that all is there for it.
func (k *checker) judged(path string, p *configlog.Provider) {
	preset, _ := presets.Of(p.Kind)
	way := presets.ValidationOf(p)
	ways := make([]string, len(preset.Validations))
	for i, v := range preset.Validations {
		ways[i] = string(v)
	}
	sound := k.oneOf(path+".validation", string(way), ways...)
	for name, raw := range map[string]string{
		"introspection_endpoint": p.IntrospectionEndpoint, "jwks_uri": p.JWKSURI,
		"authorization_endpoint": p.AuthorizationEndpoint, "token_endpoint": p.TokenEndpoint,
	} {
		if raw != "" {
			k.endpoint(path+"."+name, strings.ReplaceAll(raw, "{client_id}", "x"), shape{path: true, query: true}, p)
		}
	}
	if p.Issuer != "" {
		k.endpoint(path+".issuer", p.Issuer, shape{path: true}, p)
	}
	if sound {
		k.found(path, p, preset, way)
		k.shown(path, p, preset, way)
	}
	k.prefix(path+".token_prefix", p, preset)
	k.regex(path+".username_regex", p)
}

// regex checks what of a claim's value is the user.
func (k *checker) regex(path string, p *configlog.Provider) {
	if p.UsernameRegex == "" {
		return
	}
	if _, err := regexp.Compile(p.UsernameRegex); err != nil || len(p.UsernameRegex) > 256 {
		k.problem(path, "must be a regular expression (RE2) of at most 256 bytes")
	} else if p.UsernameClaim == "" {
		k.problem(path, "is of the value of a username_claim, and none is named")
	}
}

// found checks that the provider can be found.
func (k *checker) found(path string, p *configlog.Provider, preset presets.Preset, way presets.Validation) {
	own := way == presets.TokenInfo || way == presets.TokenCheck
	switch {
	case own && p.IntrospectionEndpoint == "" && strings.Contains(preset.Endpoint, "{host}"):
		k.problem(path+".introspection_endpoint", "is required: %s", preset.Endpoint)
	case own:
	case way.Asked() && preset.Hidden && p.IntrospectionEndpoint == "":
		k.problem(path+".introspection_endpoint", "is required: %s", preset.Endpoint)
	case p.Kind == "entra" && manyTenants(p.Issuer):
		k.problem(path+".issuer", "must name one tenant: tokens are never issued by common, organizations or consumers")
	case way.Signed() && p.Issuer == "":
		k.problem(path+".issuer", "is required: signed tokens are believed of one issuer only")
	case way == presets.Introspection && p.IntrospectionEndpoint == "" && p.Issuer == "":
		k.problem(path+".introspection_endpoint", "is required, or an issuer whose discovery document names it")
	}
	if p.IntrospectionEndpoint != "" && !way.Asked() {
		k.warn(path+".introspection_endpoint", "is not used: tokens are verified by keys, and a revoked one goes on until it ends")
	}
	if p.JWKSURI != "" && !way.Signed() {
		k.warn(path+".jwks_uri", "is not used: tokens are not verified by keys")
	}
}

// shown checks what Gatehouse shows itself with to a provider that is asked.
func (k *checker) shown(path string, p *configlog.Provider, preset presets.Preset, way presets.Validation) {
	asked := way.Asked() && way != presets.TokenInfo
	callers := preset.CallerAuth
	if !asked { // as whom nobody is asked does not matter
		callers = append(slices.Clone(callers), "client_secret_basic", "client_secret_post", "private_key_jwt", "none")
	}
	if !k.oneOf(path+".caller_auth", p.CallerAuth, callers...) {
		return
	}
	k.secret(path+".client_secret", p.ClientSecret)
	k.secret(path+".private_key", p.PrivateKey)
	byKey, bySecret := p.CallerAuth == "private_key_jwt", strings.HasPrefix(p.CallerAuth, "client_secret_")
	if !p.ClientSecret.IsZero() && (byKey || p.ClientID == "") { // else it is sent at least where tokens are got
		k.warn(path+".client_secret", "is never sent")
	}
	if (!p.PrivateKey.IsZero() || p.PrivateKeyID != "") && (!byKey || p.ClientID == "") {
		k.warn(path+".private_key", "signs nothing unless caller_auth is private_key_jwt")
	}
	if !asked || p.CallerAuth == "none" {
		return
	}
	if p.ClientID == "" {
		k.problem(path+".client_id", "is required to ask this provider")
	}
	if bySecret && p.ClientSecret.IsZero() {
		k.problem(path+".client_secret", "is required to ask this provider: value, ref, env or file")
	}
	if byKey && p.PrivateKey.IsZero() {
		k.problem(path+".private_key", "is required to ask this provider: value, ref, env or file")
	}
}

// alike warns where the opaque tokens of one provider are shown to another: nothing tells whose they are.
func (k *checker) alike(path string, s *configlog.Site) {
	first := -1
	for i := range s.Providers {
		p := &s.Providers[i]
		preset, _ := presets.Of(p.Kind)
		if preset.Issues&presets.Opaque == 0 || presets.ValidationOf(p).Signed() || p.TokenPrefix != "" || len(preset.Prefixes) > 0 {
			continue
		}
		if first < 0 {
			first = i
			continue
		}
		k.warn(at(path, i)+".token_prefix", "is empty, as at "+at(path, first)+": opaque tokens of either are shown to both")
	}
}

// manyTenants tells whether an issuer of Entra stands for all tenants.
func manyTenants(issuer string) bool {
	for _, name := range []string{"common", "organizations", "consumers"} {
		if strings.Contains(issuer+"/", "/"+name+"/") {
			return true
		}
	}
	return false
}

func (k *checker) prefix(path string, p *configlog.Provider, preset presets.Preset) {
	switch {
	case p.TokenPrefix == "":
	case len(p.TokenPrefix) > 64 || strings.ContainsFunc(p.TokenPrefix, func(c rune) bool { return c <= ' ' || c > '~' }):
		k.problem(path, "must be 1 to 64 visible ASCII characters")
	case preset.Issues&presets.Opaque == 0 || presets.ValidationOf(p).Signed():
		k.warn(path, "has no effect: its tokens are signed, and known by their issuer")
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
	preset, known := presets.Of(p.Kind)
	switch closed := p.Audience != "" || len(p.Clients) > 0; {
	case !closed && known && preset.Public:
		k.problem(path, "open_to_all_clients: anybody can make a client of %s, with any scope: name an audience or clients", preset.Title)
	case !closed && len(p.RequiredScopes) == 0:
		k.problem(path, "open_to_all_clients: name an audience, required_scopes or clients, or every client of the provider may call")
	case p.Audience != "" && known && preset.NoAudience:
		k.problem(path+".audience", "is in no access token of %s: name required_scopes or clients", preset.Title)
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
	if known && !preset.Machines && s.Grant == "client_credentials" {
		k.warn(path+".kind", "issues tokens to persons only, and with grant client_credentials they are refused (not_a_client_token)")
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
