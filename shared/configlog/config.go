package configlog

import "strconv"

// Config is the whole configuration, as the document of the admin API shows it.
type Config struct {
	Sites []Site `json:"sites"`
	Audit Audit  `json:"audit"`
}

// Site is one product behind Gatehouse.
type Site struct {
	ID          string     `json:"id"`
	Product     string     `json:"product"`      // jira, confluence, bitbucket
	Hosts       []string   `json:"hosts"`        // lower case, without port; empty: any
	ContextPath string     `json:"context_path"` // "" or "/jira"
	BaseURL     string     `json:"base_url"`
	Nodes       []Node     `json:"nodes"`
	Enabled     bool       `json:"enabled"` // Enable REST API Authentication
	Mode        string     `json:"mode"`    // enforce, observe
	Methods     Methods    `json:"methods"`
	APIPaths    []string   `json:"api_paths"`   // empty: the product's own list
	TokenPaths  []string   `json:"token_paths"` // empty: the product's own list
	Grant       string     `json:"grant"`       // client_credentials, authorization_code, jwt
	Providers   []Provider `json:"providers"`
	Upstream    Upstream   `json:"upstream"`
	Directory   Directory  `json:"directory"`
	Groups      Groups     `json:"groups"`
	// TokenCreation is "Allow users to create Tokens".
	TokenCreation bool        `json:"token_creation"`
	Tokens        TokenLimits `json:"tokens"`
	Sessions      Sessions    `json:"sessions"`
	IP            IP          `json:"ip"`
	// PublicRestricted is "Restrict Access to Public APIs", Bypass is "Bypass API Authentication".
	PublicRestricted []string  `json:"public_restricted"`
	Bypass           []string  `json:"bypass"`
	RateLimit        RateLimit `json:"rate_limit"`
	Stale            Stale     `json:"stale"`
	Audit            Auditing  `json:"audit"`
	// Tests are tried before a change is made.
	Tests []Test `json:"tests"`
}

// Node is one JVM that serves a site.
type Node struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Drain: only the sessions that are there already go to it.
	Drain bool `json:"drain,omitempty"`
}

// Methods are the kinds of credential a site takes.
type Methods struct {
	Basic        bool `json:"basic"`
	OAuth        bool `json:"oauth"`
	PAT          bool `json:"pat"`
	APITokens    bool `json:"api_tokens"`
	Links        bool `json:"links"`
	ProductOAuth bool `json:"product_oauth"`
}

// Provider is an OAuth 2.0 identity provider a site trusts.
type Provider struct {
	ID                    string   `json:"id"`
	Name                  string   `json:"name"`
	Kind                  string   `json:"kind"`
	Issuer                string   `json:"issuer"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	ClientID              string   `json:"client_id"`
	ClientSecret          Secret   `json:"client_secret,omitzero"`
	CallerAuth            string   `json:"caller_auth"`
	Scope                 string   `json:"scope"`
	RequiredScopes        []string `json:"required_scopes"`
	Audience              string   `json:"audience"`
	Clients               []Client `json:"clients"`
	ServiceAccount        string   `json:"service_account"`
	UsernameClaim         string   `json:"username_claim"`
	Cache                 Cache    `json:"cache"`
	AllowPlainHTTP        bool     `json:"allow_plain_http"`
	// Validation is how its tokens are judged: introspection, jwt, jwt_and_introspection, tokeninfo, token_check.
	Validation string `json:"validation"`
	// JWKSURI is where its keys are; empty: as its discovery document says.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// TokenPrefix begins its opaque tokens, and no other provider's.
	TokenPrefix string `json:"token_prefix,omitempty"`
	// PrivateKey signs client assertions (caller_auth private_key_jwt), under PrivateKeyID.
	PrivateKey   Secret `json:"private_key,omitzero"`
	PrivateKeyID string `json:"private_key_id,omitempty"`
	// UsernameRegex says what of UsernameClaim's value is the user: its first group, or what it matches (RE2); empty: all of it.
	UsernameRegex string `json:"username_regex,omitempty"`
	// AuthorizationEndpoint is where users sign in, TokenEndpoint where tokens are issued; empty: as its discovery document says.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string `json:"token_endpoint,omitempty"`
}

// Client maps an OAuth client to the account its tokens act as.
type Client struct {
	ClientID       string `json:"client_id"`
	ServiceAccount string `json:"service_account"` // empty: the provider's
}

// Cache says how long a provider's answer may be used, counted from the answer.
type Cache struct {
	MaxTTL      Duration `json:"max_ttl"`
	NegativeTTL Duration `json:"negative_ttl"`
	// StaleFor is how much longer than MaxTTL the provider's last word counts while it is away.
	StaleFor Duration `json:"stale_for,omitempty"`
}

// Secret names a secret; the secret itself is never in a Config.
type Secret struct {
	Ref         string `json:"ref,omitempty"`         // with Version the key in bucket SECRETS
	Version     uint32 `json:"version,omitempty"`     // counts the values this reference has had
	Fingerprint string `json:"fingerprint,omitempty"` // keyed, hex
	Recipient   string `json:"recipient,omitempty"`   // which key of its owner it was sealed to; empty: not said
	Env         string `json:"env,omitempty"`
	File        string `json:"file,omitempty"`
}

// Upstream is how Gatehouse shows itself to the product.
type Upstream struct {
	Driver      string            `json:"driver"` // pat, basic, oauth1-2loi
	Accounts    map[string]Secret `json:"accounts"`
	ConsumerKey string            `json:"consumer_key,omitempty"`
	PrivateKey  Secret            `json:"private_key,omitzero"`
	// SignedURL is scheme, host and port that oauth1-2loi signs calls with; empty: those of BaseURL.
	SignedURL string `json:"signed_url,omitempty"`
}

// Directory is where groups are looked up.
type Directory struct {
	Source  string   `json:"source"` // product, crowd
	URL     string   `json:"url"`
	Account string   `json:"account"` // a user of the product, or Crowd's name of the application
	MaxAge  Duration `json:"max_age"`
	// Credential of Account; none: that of Upstream.Accounts.
	Credential Secret `json:"credential,omitzero"`
}

// DirectoryCredential is what the directory is asked with.
func (s *Site) DirectoryCredential() Secret {
	if !s.Directory.Credential.IsZero() {
		return s.Directory.Credential
	}
	return s.Upstream.Accounts[s.Directory.Account]
}

// NeedsDirectory tells whether a rule of the site asks for a caller's groups.
func (s *Site) NeedsDirectory() bool {
	return s.Groups.Require || len(s.Groups.ReadOnly) > 0 || (s.TokenCreation && len(s.Groups.TokenCreators) > 0)
}

// Groups are the group rules.
type Groups struct {
	Require       bool     `json:"require"`
	Allowed       []string `json:"allowed"`
	ReadOnly      []string `json:"read_only"`
	TokenCreators []string `json:"token_creators"`
}

// TokenLimits bound API tokens.
type TokenLimits struct {
	MaxLifetime Duration `json:"max_lifetime"`
	MaxPerUser  uint32   `json:"max_per_user"`
}

// Sessions say which rules bind browser sessions too.
type Sessions struct {
	IP     bool `json:"ip"`
	Groups bool `json:"groups"`
}

// IP restricts by client address.
type IP struct {
	Restrict       bool     `json:"restrict"`
	Allow          []string `json:"allow"`
	ProxyHeader    string   `json:"proxy_header"`
	TrustedProxies []string `json:"trusted_proxies"`
}

// RateLimit is so many requests in such a time, per credential.
type RateLimit struct {
	Enabled  bool     `json:"enabled"`
	Requests uint64   `json:"requests"`
	Per      Duration `json:"per"`
}

// Stale says how long a gateway that hears nothing goes on.
type Stale struct {
	Max    Duration `json:"max"`
	Strict bool     `json:"strict"`
}

// Auditing says what of a site's calls is recorded.
type Auditing struct {
	Enabled         bool   `json:"enabled"`
	Pages           bool   `json:"pages"`
	Sync            string `json:"sync"`             // group, always
	WhenUnavailable string `json:"when_unavailable"` // deny, allow
}

// Audit is what holds for the audit trail of the whole installation.
type Audit struct {
	Retention Retention `json:"retention"`
}

// Retention says how long the audit trail is kept; 0: without that bound.
type Retention struct {
	MaxDays    uint32   `json:"max_days"`
	MaxEntries uint64   `json:"max_entries"`
	Every      Duration `json:"every"`
}

// IsZero tells whether no secret is named; encoding/json's omitzero asks it.
func (s Secret) IsZero() bool { return s == Secret{} }

// Key is the secret's key in bucket SECRETS; empty for one that is not kept there.
func (s Secret) Key() string {
	if s.Ref == "" {
		return ""
	}
	return s.Ref + "." + strconv.FormatUint(uint64(s.Version), 10)
}

// Site gives the site of that id, or nil.
func (c *Config) Site(id string) *Site {
	for i := range c.Sites {
		if c.Sites[i].ID == id {
			return &c.Sites[i]
		}
	}
	return nil
}

// Provider gives the provider of that id, or nil.
func (s *Site) Provider(id string) *Provider {
	for i := range s.Providers {
		if s.Providers[i].ID == id {
			return &s.Providers[i]
		}
	}
	return nil
}
