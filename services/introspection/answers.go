package introspection

import (
	"fmt"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// answer is what a provider said of a token, and when.
type answer struct {
	provider.Facts
	at      time.Time // with a monotonic reading: ages do not follow a clock that is set
	renewal renewal.Mark
	stale   bool // the provider is away, and this older than its max_ttl
}

// answers are the two caches of introspection: what is active, and in its own small room what is not, so that
// nobody's invented tokens push out anybody's real ones.
//
// An entry holds when the provider spoke, not when it ends: how long it may be used is asked of the
// configuration at each look, so a shortened max_ttl holds at once.
type answers struct {
	active   *otter.Cache[key, *answer]
	inactive *otter.Cache[key, time.Time]
}

// entryUnit is what an ordinary entry weighs: key, facts, its share of the table. A larger one counts as
// several, so ActiveEntries bounds the memory too, at about 1 KiB each.
const entryUnit = 1 << 10

func newAnswers(activeEntries, inactiveEntries int) (*answers, error) {
	active, err := otter.New(&otter.Options[key, *answer]{
		MaximumWeight: uint64(max(activeEntries, 1)),
		Weigher:       func(_ key, a *answer) uint32 { return a.units() },
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	inactive, err := otter.New(&otter.Options[key, time.Time]{MaximumSize: max(inactiveEntries, 1)})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &answers{active: active, inactive: inactive}, nil
}

// units is the weight of an answer: at most maxWords and a few names, so never more than some twenty.
func (a *answer) units() uint32 {
	size := len(a.ClientID) + len(a.Username) + len(a.Subject) + len(a.MappedUser) + len(a.Issuer) + len(a.TokenType)
	for _, list := range [][]string{a.Scopes, a.Audience} {
		for _, w := range list {
			size += len(w) + 16
		}
	}
	return 1 + uint32(size/entryUnit) //nolint:gosec // bounded by the parser
}

// lookup gives the provider's last word on a token while it may be used, or nil.
func (c *answers) lookup(k key, p *trusted, now time.Time) *answer {
	if a, ok := c.active.GetIfPresent(k); ok && now.Sub(a.at) < p.maxTTL && (a.ExpiresAt.IsZero() || now.Before(a.ExpiresAt)) {
		return a
	}
	if at, ok := c.inactive.GetIfPresent(k); ok && now.Sub(at) < p.inactiveTTL() {
		return &answer{at: at}
	}
	return nil
}

// stale gives the provider's last word on a token while that may be used because it is away, or nil.
func (c *answers) stale(k key, p *trusted, now time.Time) *answer {
	a, ok := c.active.GetIfPresent(k)
	if !ok || p.maxTTL <= 0 || p.staleFor <= 0 || now.Sub(a.at) >= p.maxTTL+p.staleFor || !a.ExpiresAt.IsZero() && !now.Before(a.ExpiresAt) {
		return nil
	}
	return &answer{Facts: a.Facts, at: a.at, stale: true}
}

// inactiveTTL is negative_ttl, unless max_ttl says that nothing may be kept.
func (p *trusted) inactiveTTL() time.Duration {
	if p.maxTTL <= 0 {
		return 0
	}
	return p.negativeTTL
}

// keep remembers an answer, where it may be used at all, and forgets what it contradicts.
func (c *answers) keep(k key, p *trusted, a *answer, now time.Time) {
	if !a.Active {
		c.active.Invalidate(k)
		if p.inactiveTTL() > 0 {
			c.inactive.Set(k, a.at)
		}
		return
	}
	c.inactive.Invalidate(k)
	if p.maxTTL > 0 && (a.ExpiresAt.IsZero() || now.Before(a.ExpiresAt)) {
		c.active.Set(k, a)
	} else {
		c.active.Invalidate(k)
	}
}
