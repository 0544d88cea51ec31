package introspection

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
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
			x.unopened = x.unopened || p.trouble == troubleUnopened
		}
		if s.directory != nil {
			named := c.DirectoryCredential()
			sealed[named.Key()] = true
			x.files = x.files || named.File != ""
			x.unopened = x.unopened || s.directory.trouble == troubleUnopened
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

// What keeps a provider from being asked. The log says more.
const (
	troubleUnopened = "its secret cannot be opened"
	troubleKind     = "its kind is not known, or not judged in this way"
	troubleURL      = "an endpoint of it is no http or https URL, or missing"
	troubleAuth     = "its caller_auth is not known"
	troubleRegex    = "its username_regex is none"
	troubleKey      = "its private key cannot be used"
)

// provider makes ready one provider, on the endpoint it had before when nothing about that has changed.
func (k *keeper) provider(ctx context.Context, old *index, siteID string, c *configlog.Provider) *provider {
	p := &provider{id: c.ID, config: c, maxTTL: c.Cache.MaxTTL.Std(), negativeTTL: c.Cache.NegativeTTL.Std(), staleFor: c.Cache.StaleFor.Std()}
	how, err := k.asking(ctx, old, siteID, c)
	before := old.provider(siteID, c.ID)
	if err != nil {
		p.trouble = err.trouble
		k.troubled(ctx, "provider "+c.ID, siteID, before != nil && before.trouble == p.trouble, err)
		return p
	}
	revision := how.revision(k.revisions)
	if before != nil && before.ask != nil && before.ask.revision == revision {
		p.ask = before.ask
		return p
	}
	e := newEndpoint(siteID, c, k.settings)
	e.revision, e.how = revision, how
	if e.validator, err = how.judges(e.metadata, k.settings); err != nil {
		p.trouble = err.trouble
		k.troubled(ctx, "provider "+c.ID, siteID, before != nil && before.trouble == p.trouble, err)
		return p
	}
	if before != nil && before.trouble != "" {
		k.healed(ctx, "provider "+c.ID, siteID)
	}
	p.ask = e
	return p
}

// troubled logs that what cannot be asked, a provider or the directory of a site, unless that was said before.
func (k *keeper) troubled(ctx context.Context, what, siteID string, said bool, why *cannot) {
	if !said {
		k.log.LogAttrs(ctx, slog.LevelWarn, "cannot be asked", slog.String("site", siteID), slog.String("what", what),
			slog.String("trouble", why.trouble), slog.Any("error", why.cause))
	}
}

func (k *keeper) healed(ctx context.Context, what, siteID string) {
	k.log.LogAttrs(ctx, slog.LevelInfo, "can be asked again", slog.String("site", siteID), slog.String("what", what))
}

// cannot is why a provider or a directory cannot be asked.
type cannot struct {
	trouble string
	cause   error
}

// asking gives how a provider is asked, with its secret open.
func (k *keeper) asking(ctx context.Context, old *index, siteID string, c *configlog.Provider) (asking, *cannot) {
	a := asking{
		kind: c.Kind, validation: string(presets.ValidationOf(c)), issuer: c.Issuer, url: c.IntrospectionEndpoint, jwksURI: c.JWKSURI,
		callerAuth: c.CallerAuth, clientID: c.ClientID, usernameClaim: c.UsernameClaim, usernameRegex: c.UsernameRegex,
	}
	needed, known := needsSecret(a.callerAuth)
	switch {
	case !known:
		return a, &cannot{trouble: troubleAuth, cause: errors.New("caller_auth " + strconv.Quote(a.callerAuth))}
	case !needed || a.validation != string(presets.Introspection) && a.validation != string(presets.JWTAndIntrospection) && a.validation != string(presets.TokenCheck):
		return a, nil
	}
	a.secret = c.ClientSecret
	if a.callerAuth == "private_key_jwt" {
		a.secret, a.keyID = c.PrivateKey, c.PrivateKeyID
	}
	if p := old.provider(siteID, c.ID); p != nil && p.ask != nil && a.secret.Ref != "" && p.ask.how.secret == a.secret {
		a.value = p.ask.how.value // sealed under a key that is never written again
		return a, nil
	}
	var err error
	if a.value, err = k.opener.Open(ctx, a.secret); err != nil {
		return a, &cannot{trouble: troubleUnopened, cause: err}
	}
	return a, nil
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
