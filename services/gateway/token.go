package gateway

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
)

// whoseAPIToken judges an API token by what this gateway has read of their log: nobody is asked. The caller is told the same of one
// that is unknown, expired, revoked, of another site or shown under another name.
func whoseAPIToken(c *call) answer {
	whole := opaque.WellFormed(tokenPrefix, c.cred.token)
	if whole && c.gw.tokensTooOld(c.site, c.at) {
		return refuse(staleConfiguration, "of API tokens")
	}
	t, wrong := (*tokenlog.Token)(nil), "no API token, or mistyped"
	if whole {
		t, wrong = c.findToken()
	}
	if wrong != "" {
		if a := c.tooOften(c.gw.identities.guesses); a.kind == deny {
			return a
		}
		c.gw.identities.guesses.missed(network(c.caller.addr), c.at)
		return refuse(tokenInactive, wrong)
	}
	c.token, c.owner = t, t.Owner
	if t.Ranges != nil && !slices.ContainsFunc(*t.Ranges, func(p netip.Prefix) bool { return p.Contains(c.caller.addr) }) {
		return refuse(ipDenied, "the token is for other addresses")
	}
	return answer{}
}

// findToken gives the token a call shows, or what is wrong with it. The fingerprint of one that was issued is its id.
func (c *call) findToken() (t *tokenlog.Token, wrong string) {
	if t = c.gw.tokens.Registry.Find(opaque.Hash(c.cred.token)); t == nil {
		return nil, "unknown API token"
	}
	c.fingerprint = t.ID().String()
	switch standing := t.Standing(c.at); {
	case standing != tokenlog.Good:
		return nil, string(standing) + " API token of " + t.Owner
	case t.Site != c.site.config.ID:
		return nil, "API token of site " + t.Site
	case c.cred.inBasic && !names.Same(c.cred.user, t.Owner):
		return nil, "API token of " + t.Owner + ", shown as another's"
	default:
		return t, ""
	}
}

// tokensTooOld tells whether the log of tokens was never read, or not heard of for longer than a site allows.
func (g *gateway) tokensTooOld(s *site, now time.Time) bool {
	heard, allowed := g.tokensHeardAt.Load(), s.config.Stale.Max.Std()
	return heard == 0 || allowed > 0 && now.UnixNano()-heard > int64(allowed)
}
