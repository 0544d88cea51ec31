package introspection

import (
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
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
	providers []*trusted
	issuers   []presets.Issuer // beside providers
	product   *upstream        // nil: a product of which it is not known how to ask it
	directory *directory       // nil: no rule asks for groups
}

// trusted is a provider as one configuration trusts it.
type trusted struct {
	id                            string
	maxTTL, negativeTTL, staleFor time.Duration
	config                        *configlog.Provider
	// ask is how it is asked; nil when it cannot be, and trouble says why.
	ask     *provider.Endpoint
	trouble string
}

// choose gives the providers that can have issued a token, in the order they are to be asked.
func (s *site) choose(token string) []*trusted {
	indices := presets.Issuers(s.issuers, presets.Look(token))
	out := make([]*trusted, len(indices))
	for i, at := range indices {
		out[i] = s.providers[at]
	}
	return out
}

// provider gives a provider, or nil.
func (x *index) provider(siteID, id string) *trusted {
	if x == nil || x.sites[siteID] == nil {
		return nil
	}
	all := x.sites[siteID].providers
	if i := slices.IndexFunc(all, func(p *trusted) bool { return p.id == id }); i >= 0 {
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
