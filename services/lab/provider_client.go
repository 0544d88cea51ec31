package lab

import (
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is an op.Client; it is replaced, never changed in place.
type client struct {
	id, secret string
	scopes     []string
	resource   bool // may introspect every token, gets none
}

// GetID is the client_id.
func (c *client) GetID() string { return c.id }

// RedirectURIs is empty until there is a code flow.
func (c *client) RedirectURIs() []string { return nil }

// PostLogoutRedirectURIs is empty.
func (c *client) PostLogoutRedirectURIs() []string { return nil }

// ApplicationType is that of a confidential client.
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }

// AuthMethod is the registered one; the lab takes client_secret_post as well.
func (c *client) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodBasic }

// ResponseTypes is empty until there is a code flow.
func (c *client) ResponseTypes() []oidc.ResponseType { return nil }

// GrantTypes is client credentials, or nothing for a resource client.
func (c *client) GrantTypes() []oidc.GrantType {
	if c.resource {
		return nil
	}
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}

// LoginURL is where a code flow would send the browser.
func (c *client) LoginURL(id string) string { return "/lab/login?id=" + id }

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
