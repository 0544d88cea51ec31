package introspection

import (
	"fmt"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/maypok86/otter/v2"
)

// answer is what a provider said of a token, and when.
type answer struct {
	facts
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
	size := len(a.clientID) + len(a.username) + len(a.subject) + len(a.mappedUser) + len(a.issuer) + len(a.tokenType)
	for _, list := range [][]string{a.scopes, a.audience} {
		for _, w := range list {
			size += len(w) + 16
		}
	}
	return 1 + uint32(size/entryUnit) //nolint:gosec // bounded by the parser
}

// lookup gives the provider's last word on a token while it may be used, or nil.
func (c *answers) lookup(k key, p *provider, now time.Time) *answer {
	if a, ok := c.active.GetIfPresent(k); ok && now.Sub(a.at) < p.maxTTL && (a.expiresAt.IsZero() || now.Before(a.expiresAt)) {
		return a
	}
	if at, ok := c.inactive.GetIfPresent(k); ok && now.Sub(at) < p.inactiveTTL() {
		return &answer{at: at}
	}
	return nil
}

// stale gives the provider's last word on a token while that may be used because it is away, or nil.
func (c *answers) stale(k key, p *provider, now time.Time) *answer {
	a, ok := c.active.GetIfPresent(k)
	if !ok || p.maxTTL <= 0 || p.staleFor <= 0 || now.Sub(a.at) >= p.maxTTL+p.staleFor || !a.expiresAt.IsZero() && !now.Before(a.expiresAt) {
		return nil
	}
	return &answer{facts: a.facts, at: a.at, stale: true}
}

// inactiveTTL is negative_ttl, unless max_ttl says that nothing may be kept.
func (p *provider) inactiveTTL() time.Duration {
	if p.maxTTL <= 0 {
		return 0
	}
	return p.negativeTTL
}

// keep remembers an answer, where it may be used at all, and forgets what it contradicts.
func (c *answers) keep(k key, p *provider, a *answer, now time.Time) {
	if !a.active {
		c.active.Invalidate(k)
		if p.inactiveTTL() > 0 {
			c.inactive.Set(k, a.at)
		}
		return
	}
	c.inactive.Invalidate(k)
	if p.maxTTL > 0 && (a.expiresAt.IsZero() || now.Before(a.expiresAt)) {
		c.active.Set(k, a)
	} else {
		c.active.Invalidate(k)
	}
}
