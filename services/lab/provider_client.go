package lab

import (
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is an op.Client; it is replaced, never changed in place.
type client struct {
	id, secret string
	scopes     []string
	resource   bool // may introspect every token, and gets those of people who log in; none of its own
}

// GetID is the client_id.
func (c *client) GetID() string { return c.id }

// RedirectURIs is empty; RedirectURIGlobs stands in for it.
func (c *client) RedirectURIs() []string { return nil }

// RedirectURIGlobs are those of Gatehouse, wherever it runs: the gateways of the
// tests take free ports.
func (c *client) RedirectURIGlobs() []string {
	if !c.resource {
		return nil
	}
	return []string{"{http,https}://*/**" + redirectPath}
}

// PostLogoutRedirectURIGlobs is empty.
func (c *client) PostLogoutRedirectURIGlobs() []string { return nil }

// PostLogoutRedirectURIs is empty.
func (c *client) PostLogoutRedirectURIs() []string { return nil }

// ApplicationType is that of a confidential client.
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }

// AuthMethod is the registered one; the lab takes client_secret_post as well.
func (c *client) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodBasic }

// ResponseTypes is that of the code flow, for the resource client.
func (c *client) ResponseTypes() []oidc.ResponseType {
	if c.resource {
		return []oidc.ResponseType{oidc.ResponseTypeCode}
	}
	return nil
}

// GrantTypes is client credentials, or the code for the resource client.
func (c *client) GrantTypes() []oidc.GrantType {
	if c.resource {
		return []oidc.GrantType{oidc.GrantTypeCode}
	}
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}

// LoginURL is where the code flow sends the browser.
func (c *client) LoginURL(id string) string { return loginPath + "?id=" + url.QueryEscape(id) }

// AccessTokenType is opaque.
func (c *client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }

// IDTokenLifetime is that of the access tokens.
func (c *client) IDTokenLifetime() time.Duration { return tokenLifetime }

// DevMode allows plain http redirects.
func (c *client) DevMode() bool { return true }

// RestrictAdditionalIdTokenScopes restricts nothing.
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:staticcheck // the library's spelling
	return func(scopes []string) []string { return scopes }
}

// RestrictAdditionalAccessTokenScopes restricts nothing.
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// IsScopeAllowed reports whether the client may ask for the scope.
func (c *client) IsScopeAllowed(scope string) bool { return slices.Contains(c.scopes, scope) }

// IDTokenUserinfoClaimsAssertion is off.
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return false }

// ClockSkew is none.
func (c *client) ClockSkew() time.Duration { return 0 }
