package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/secret"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// plan is a configuration made ready for judging calls: everything that can be done once is done. It is frozen.
type plan struct {
	state eventlog.State
	// version is the value of X-Gatehouse-Config-Version, shared by all replies.
	version []string
	hosts   map[string][]*site // by host, longest context path first
	any     []*site            // sites of every host, longest context path first
	sites   []*site
}

// site is one site of a plan.
type site struct {
	config  *configlog.Site
	product *product
	api     rules.Patterns
	login   rules.Patterns
	// bypass opens, restricted closes; tokenPaths open to tokens.
	bypass, tokenPaths rules.Patterns
	restricted         rules.Closing
	// ipAllow are the addresses calls may come from, proxies those whose proxyHeader, in canonical form, is believed.
	ipAllow, proxies rules.Addresses
	proxyHeader      string
	pool             *upstream.Pool
	providers        map[string]*provider
	issuers          []presets.Issuer // of their tokens
	groups           *groupRules      // nil: none
	reading          readings
	// salt separates this site's cached identities from those of another site, and from its own once a
	// provider is asked in another way.
	salt string
	// accounts are who Gatehouse can act as, by folded name.
	accounts map[string]*account
	// anyone acts as any user, where the site's driver can; accounts are empty then.
	anyone *account
	// problems are the accounts it cannot act with, for readiness.
	problems []string
	realm    string
	counts   *siteCounts
}

// foreign tells whether a Bearer token goes to the product, as one that the product itself may have issued: its OAuth 2.0
// tokens are taken, and no provider of the site can have issued it.
func (s *site) foreign(token string) bool {
	return s.config.Methods.ProductOAuth && (len(s.issuers) == 0 || len(presets.Issuers(s.issuers, presets.Look(token))) == 0)
}

// provider is one provider of a site.
type provider struct {
	config  *configlog.Provider
	clients map[string]string
}

// account gives the account a client's tokens act as; listed is false for a client the provider is not open to.
func (p *provider) account(clientID string) (account string, listed bool) {
	if p == nil {
		return "", false
	}
	if len(p.clients) == 0 {
		return p.config.ServiceAccount, true
	}
	account, listed = p.clients[clientID]
	return account, listed
}

// planner makes plans.
type planner struct {
	fleet  *upstream.Fleet
	opener *secret.Opener
	counts *counts
	// opened are the values of sealed secrets: one version of a reference never changes, and opening it costs
	// more than the rest of a site.
	opened map[string]string
	// acting are the accounts of the last plan: one whose credential stays is known to have been refused.
	acting map[actingKey]*account
}

// actingKey is a site, an account and its credential.
type actingKey struct{ site, name, authorization string }

// build makes a plan. It fails when a sealed secret cannot be fetched, so that the last plan stays; a
// credential that can never be opened takes only its own account away.
func (p *planner) build(ctx context.Context, snap *configlog.Snapshot) (*plan, error) {
	acting := map[actingKey]*account{}
	out := &plan{state: snap.State, version: []string{strconv.FormatUint(snap.State.Seq, 10)}, hosts: map[string][]*site{}}
	for i := range snap.Config.Sites {
		s, err := p.site(ctx, &snap.Config.Sites[i])
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", snap.Config.Sites[i].ID, err)
		}
		for name, a := range s.accounts {
			key := actingKey{s.config.ID, name, a.authorization}
			if known := p.acting[key]; known != nil {
				s.accounts[name] = known
			}
			acting[key] = s.accounts[name]
		}
		out.sites = append(out.sites, s)
		if len(s.config.Hosts) == 0 {
			out.any = append(out.any, s)
		}
		for _, h := range s.config.Hosts {
			out.hosts[bareHost(h)] = append(out.hosts[bareHost(h)], s)
		}
	}
	longestFirst := func(a, b *site) int { return cmp.Compare(len(b.config.ContextPath), len(a.config.ContextPath)) }
	slices.SortStableFunc(out.any, longestFirst)
	for _, sites := range out.hosts {
		slices.SortStableFunc(sites, longestFirst)
	}
	p.acting = acting
	return out, nil
}

// specs are the nodes a configuration wants.
func specs(c *configlog.Config) []upstream.Spec {
	var all []upstream.Spec
	for i := range c.Sites {
		all = append(all, siteSpecs(&c.Sites[i])...)
	}
	return all
}

func siteSpecs(s *configlog.Site) []upstream.Spec {
	all := make([]upstream.Spec, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		all = append(all, upstream.Spec{Site: s.ID, ID: n.ID, URL: n.URL, Status: s.ContextPath + productOf(s.Product).statusPath})
	}
	return all
}

func (p *planner) site(ctx context.Context, c *configlog.Site) (*site, error) {
	s := &site{
		config: c, product: productOf(c.Product), providers: map[string]*provider{}, accounts: map[string]*account{},
		realm: cmp.Or(c.BaseURL, c.ID), counts: p.counts.site(c.ID),
	}
	if err := s.compile(); err != nil {
		return nil, err
	}
	nodes, err := p.fleet.Nodes(siteSpecs(c))
	if err != nil {
		return nil, err
	}
	var leaving []string
	for _, n := range c.Nodes {
		if n.Drain {
			leaving = append(leaving, n.ID)
		}
	}
	s.pool = upstream.NewPool(nodes, leaving...)
	for i := range c.Providers {
		q := &provider{config: &c.Providers[i], clients: map[string]string{}}
		for _, client := range q.config.Clients {
			q.clients[client.ClientID] = cmp.Or(client.ServiceAccount, q.config.ServiceAccount)
		}
		s.providers[q.config.ID] = q
		s.issuers = append(s.issuers, presets.IssuerOf(q.config))
	}
	s.salt, s.groups = salt(c), newGroupRules(c)
	return s, p.accounts(ctx, s)
}

// compile makes the site's lists ready.
func (s *site) compile() (err error) {
	c := s.config
	for _, list := range [...]struct {
		to       *rules.Patterns
		own, std []string
	}{
		{&s.api, c.APIPaths, s.product.apiPaths},
		{&s.tokenPaths, c.TokenPaths, s.product.tokenPaths},
		{&s.login, nil, s.product.loginPaths},
		{&s.bypass, c.Bypass, nil},
	} {
		if len(list.own) == 0 {
			list.own = list.std
		}
		if *list.to, err = rules.Compile(list.own); err != nil {
			return err
		}
	}
	if s.restricted, err = rules.CompileClosing(c.PublicRestricted); err != nil {
		return err
	}
	if s.ipAllow, err = rules.CompileAddresses(c.IP.Allow); err != nil {
		return err
	}
	if s.reading, err = s.product.readings(); err != nil {
		return err
	}
	s.proxyHeader = http.CanonicalHeaderKey(c.IP.ProxyHeader)
	s.proxies, err = rules.CompileAddresses(c.IP.TrustedProxies)
	return err
}

// salt is unlike any other site's, and unlike this site's own with a provider asked or read in another way.
func salt(c *configlog.Site) string {
	var all []any
	for _, p := range c.Providers {
		all = append(all, []any{
			p.ID, p.Kind, p.Validation, p.Issuer, p.IntrospectionEndpoint, p.JWKSURI, p.TokenPrefix, p.ClientID, p.CallerAuth,
			p.ClientSecret, p.PrivateKey, p.PrivateKeyID, p.UsernameClaim, p.UsernameRegex,
		})
	}
	text, _ := json.Marshal([]any{c.ID, c.Product, nodeURLs(c), all}) // plain strings always marshal
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// actsAs gives what a site acts as a user with; nil: nothing.
func (s *site) actsAs(user string) *account {
	if s.anyone != nil {
		return s.anyone
	}
	return s.accounts[names.Fold(user)]
}

func nodeURLs(c *configlog.Site) (all []string) {
	for _, n := range c.Nodes {
		all = append(all, n.URL)
	}
	return all
}

// accounts opens the upstream credentials of a site.
func (p *planner) accounts(ctx context.Context, s *site) error {
	if s.config.Upstream.Driver == "oauth1-2loi" {
		return p.signer(ctx, s)
	}
	for name, sealed := range s.config.Upstream.Accounts {
		value, err := p.open(ctx, sealed)
		if errors.Is(err, secret.ErrAway) {
			return err
		}
		var a *account
		if err == nil {
			a, err = newAccount(s.config.Upstream.Driver, name, value)
		}
		if err != nil {
			s.problems = append(s.problems, name+": "+err.Error())
			continue
		}
		s.accounts[names.Fold(name)] = a
	}
	slices.Sort(s.problems)
	return nil
}

// signer opens the private key of a site whose driver signs.
func (p *planner) signer(ctx context.Context, s *site) error {
	key, err := p.open(ctx, s.config.Upstream.PrivateKey)
	if errors.Is(err, secret.ErrAway) {
		return err
	}
	var signer *signer
	if err == nil {
		signer, err = newSigner(&s.config.Upstream, s.config.BaseURL, key)
	}
	if err != nil {
		s.problems = append(s.problems, "upstream.private_key: "+err.Error())
		return nil
	}
	s.anyone = &account{signer: signer}
	return nil
}

func (p *planner) open(ctx context.Context, sealed configlog.Secret) (string, error) {
	if value, ok := p.opened[sealed.Key()]; ok && sealed.Ref != "" {
		return value, nil
	}
	value, err := p.opener.Open(ctx, sealed)
	if err == nil && sealed.Ref != "" {
		p.opened[sealed.Key()] = value
	}
	return value, err
}

// keep forgets every secret that the configuration names no more.
func (p *planner) keep(named map[string]bool) {
	p.opener.Keep(func(key string) bool { return named[key] })
	maps.DeleteFunc(p.opened, func(key, _ string) bool { return !named[key] })
}

// match finds the site of a call, and the path below its context path.
func (p *plan) match(host, path string) (*site, string) {
	for _, s := range p.hosts[bareHost(host)] {
		if rest, ok := rules.CutContext(path, s.config.ContextPath); ok {
			return s, rest
		}
	}
	for _, s := range p.any {
		if rest, ok := rules.CutContext(path, s.config.ContextPath); ok {
			return s, rest
		}
	}
	return nil, ""
}

// bareHost cuts port and closing dot from a Host field and lowers it.
func bareHost(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
