package introspection

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/secret"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// keeper keeps the index of the last Snapshot, with every secret open that can be opened, and goes on trying
// the others.
type keeper struct {
	opener    *secret.Opener
	revisions revisions
	flows     flowSealer
	settings  Settings
	log       *slog.Logger
	follower  *configlog.Follower // set once, before anybody asks

	mu     sync.Mutex // one build at a time
	snap   *configlog.Snapshot
	readAt time.Time // when secrets were last read

	current atomic.Pointer[index]
}

// openTime bounds the opening of all secrets of one build; what is not open by then is tried again.
const openTime = 2 * time.Second

// at gives the index at a sequence or behind it, waiting a little for one that is on its way.
func (k *keeper) at(ctx context.Context, seq uint64) (*index, error) {
	if x := k.current.Load(); x != nil && x.seq >= seq {
		return x, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.settings.CatchUp)
	defer cancel()
	if _, err := k.follower.AtLeast(ctx, seq); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "configuration "+strconv.FormatUint(seq, 10)+" has not arrived here", err)
	}
	return k.current.Load(), nil
}

// take is the Follower's OnSnapshot. It never fails: what cannot be opened makes one provider unavailable, and
// nothing else.
func (k *keeper) take(ctx context.Context, s *configlog.Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.snap = s
	k.build(ctx)
	return nil
}

// run tries again what could not be opened, and reads files again, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(k.settings.SecretRetry)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			k.again(ctx)
		}
	}
}

func (k *keeper) again(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.current.Load()
	if x != nil && (x.unopened || x.files && time.Since(k.readAt) >= k.settings.SecretRead) {
		k.build(ctx)
	}
}

// build makes the index of the Snapshot anew. The caller holds mu.
func (k *keeper) build(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	k.readAt = time.Now()
	old := k.current.Load()
	x := &index{seq: k.snap.State.Seq, sites: make(map[string]*site, len(k.snap.Config.Sites))}
	sealed := map[string]bool{}
	for i := range k.snap.Config.Sites {
		c := &k.snap.Config.Sites[i]
		s := k.site(ctx, old, c)
		for j, p := range s.providers {
			for _, named := range []configlog.Secret{c.Providers[j].ClientSecret, c.Providers[j].PrivateKey} {
				sealed[named.Key()] = true
				x.files = x.files || named.File != ""
			}
			x.unopened = x.unopened || p.trouble == provider.TroubleUnopened
		}
		if s.directory != nil {
			named := c.DirectoryCredential()
			sealed[named.Key()] = true
			x.files = x.files || named.File != ""
			x.unopened = x.unopened || s.directory.trouble == provider.TroubleUnopened
		}
		x.sites[c.ID] = s
	}
	k.opener.Keep(func(key string) bool { return sealed[key] })
	k.current.Store(x)
}

// site makes ready one site.
func (k *keeper) site(ctx context.Context, old *index, c *configlog.Site) *site {
	s := &site{id: c.ID, product: k.upstream(old, c)}
	for i := range c.Providers {
		s.providers = append(s.providers, k.provider(ctx, old, c.ID, &c.Providers[i]))
		s.issuers = append(s.issuers, presets.IssuerOf(&c.Providers[i]))
	}
	s.directory = k.directory(ctx, old, c, s.product)
	return s
}

// provider makes ready one provider, on the endpoint it had before when nothing about that has changed.
func (k *keeper) provider(ctx context.Context, old *index, siteID string, c *configlog.Provider) *trusted {
	p := &trusted{id: c.ID, config: c, maxTTL: c.Cache.MaxTTL.Std(), negativeTTL: c.Cache.NegativeTTL.Std(), staleFor: c.Cache.StaleFor.Std()}
	before := old.provider(siteID, c.ID)
	var asked *provider.Endpoint
	if before != nil {
		asked = before.ask
	}
	how, cannot := provider.How(c, asked, func(s configlog.Secret) (string, error) { return k.opener.Open(ctx, s) })
	if cannot == nil {
		revision := how.Revised(k.revisions.of)
		if asked != nil && asked.Revision == revision {
			p.ask = asked
			return p
		}
		p.ask, cannot = provider.New(siteID, c, how, revision, k.settings.Options)
	}
	if cannot != nil {
		p.trouble = cannot.Trouble
		k.troubled(ctx, "provider "+c.ID, siteID, before != nil && before.trouble == p.trouble, cannot)
		return p
	}
	if before != nil && before.trouble != "" {
		k.healed(ctx, "provider "+c.ID, siteID)
	}
	return p
}

// troubled logs that what cannot be asked, a provider or the directory of a site, unless that was said before.
func (k *keeper) troubled(ctx context.Context, what, siteID string, said bool, why *provider.Cannot) {
	if !said {
		k.log.LogAttrs(ctx, slog.LevelWarn, "cannot be asked", slog.String("site", siteID), slog.String("what", what),
			slog.String("trouble", why.Trouble), slog.Any("error", why.Cause))
	}
}

func (k *keeper) healed(ctx context.Context, what, siteID string) {
	k.log.LogAttrs(ctx, slog.LevelInfo, "can be asked again", slog.String("site", siteID), slog.String("what", what))
}

// upstream makes ready the nodes of a site, on what is known of them when nothing about them has changed.
func (k *keeper) upstream(old *index, c *configlog.Site) *upstream {
	p, known := productOf(c.Product)
	if !known {
		return nil
	}
	fields := []string{c.Product, c.ContextPath}
	for _, n := range c.Nodes {
		fields = append(fields, n.URL)
	}
	revision := k.revisions.of(fields...)
	if before := old.upstream(c.ID); before != nil && before.revision == revision {
		return before
	}
	return newUpstream(c, p, revision, k.settings)
}
