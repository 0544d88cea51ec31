package document

import (
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

const day = 24 * time.Hour

// Default gives the document without a site: what an absent field means.
func Default() configlog.Config {
	return configlog.Config{
		Sites: []configlog.Site{},
		Audit: configlog.Audit{Retention: configlog.Retention{MaxDays: 90, Every: configlog.Duration(time.Hour)}},
	}
}

// DefaultSite gives a site of which nothing was said.
func DefaultSite() configlog.Site {
	return configlog.Site{
		Enabled:       true,
		Mode:          "enforce",
		Methods:       configlog.Methods{Basic: true, OAuth: true, PAT: true, APITokens: true, Links: true},
		Grant:         "client_credentials",
		Upstream:      configlog.Upstream{Driver: "pat"},
		Directory:     configlog.Directory{Source: "product", MaxAge: configlog.Duration(10 * time.Minute)},
		TokenCreation: true,
		Tokens:        configlog.TokenLimits{MaxLifetime: configlog.Duration(365 * day), MaxPerUser: 10},
		RateLimit:     configlog.RateLimit{Requests: 1000, Per: configlog.Duration(time.Minute)},
		Stale:         configlog.Stale{Max: configlog.Duration(5 * time.Minute)},
		Audit:         configlog.Auditing{Enabled: true, Sync: "group", WhenUnavailable: "deny"},
	}
}

// DefaultProvider gives a provider of which nothing was said.
func DefaultProvider() configlog.Provider {
	return configlog.Provider{
		Kind:  "custom",
		Cache: configlog.Cache{MaxTTL: configlog.Duration(time.Minute), NegativeTTL: configlog.Duration(5 * time.Second)},
	}
}
