package facts

import (
	"maps"
	"slices"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Diff gives the facts that lead from one configuration to another. It changes neither.
func Diff(from, to configlog.Config) []proto.Message {
	var d diff
	for i := range from.Sites {
		a := &from.Sites[i]
		if b := to.Site(a.ID); b == nil || b.Product != a.Product {
			d.add(&configv1.SiteRemoved{Site: a.ID})
		}
	}
	for i := range to.Sites {
		b := &to.Sites[i]
		a := from.Site(b.ID)
		if a == nil || a.Product != b.Product {
			d.add(&configv1.SiteRegistered{Site: b.ID, Product: b.Product})
			a = &configlog.Site{ID: b.ID, Product: b.Product}
		}
		d.address(a, b)
		d.identity(a, b)
		d.rules(a, b)
	}
	if r := to.Audit.Retention; r != from.Audit.Retention {
		d.add(&configv1.RetentionSet{MaxDays: r.MaxDays, MaxEntries: r.MaxEntries, Every: durationpb.New(r.Every.Std())})
	}
	return d.facts
}

// diff collects the facts of one change.
type diff struct{ facts []proto.Message }

func (d *diff) add(fact proto.Message) { d.facts = append(d.facts, fact) }

// address finds what changed about where the site is and whether it is watched.
func (d *diff) address(a, b *configlog.Site) {
	id := b.ID
	if !slices.Equal(a.Hosts, b.Hosts) || a.ContextPath != b.ContextPath || a.BaseURL != b.BaseURL {
		d.add(&configv1.SiteAddressed{Site: id, Hosts: b.Hosts, ContextPath: b.ContextPath, BaseUrl: b.BaseURL})
	}
	d.nodes(a, b)
	if a.Enabled != b.Enabled {
		d.add(&configv1.EnforcementSwitched{Site: id, Enabled: b.Enabled})
	}
	if a.Mode != b.Mode {
		d.add(&configv1.ModeSet{Site: id, Mode: b.Mode})
	}
	if !slices.Equal(a.APIPaths, b.APIPaths) {
		d.add(&configv1.ApiPathsSet{Site: id, Patterns: b.APIPaths})
	}
	if !slices.Equal(a.TokenPaths, b.TokenPaths) {
		d.add(&configv1.TokenPathsSet{Site: id, Patterns: b.TokenPaths})
	}
	if a.Stale != b.Stale {
		d.add(&configv1.StalenessSet{Site: id, Max: durationpb.New(b.Stale.Max.Std()), Strict: b.Stale.Strict})
	}
	if a.Audit != b.Audit {
		d.add(&configv1.AuditingSet{
			Site: id, Enabled: b.Audit.Enabled, Pages: b.Audit.Pages, Sync: b.Audit.Sync, WhenUnavailable: b.Audit.WhenUnavailable,
		})
	}
}

func (d *diff) nodes(a, b *configlog.Site) {
	was := make(map[string]configlog.Node, len(a.Nodes))
	for _, n := range a.Nodes {
		was[n.ID] = n
		if !slices.ContainsFunc(b.Nodes, func(m configlog.Node) bool { return m.ID == n.ID }) {
			d.add(&configv1.NodeDetached{Site: b.ID, Node: n.ID})
		}
	}
	for _, n := range b.Nodes {
		before, there := was[n.ID]
		if !there || before.URL != n.URL {
			d.add(&configv1.NodeAttached{Site: b.ID, Node: n.ID, Url: n.URL})
			before.Drain = false // attached anew
		}
		if before.Drain != n.Drain {
			d.add(&configv1.NodeDrained{Site: b.ID, Node: n.ID, Drain: n.Drain})
		}
	}
}

// identity finds what changed about who is believed and as whom Gatehouse acts.
func (d *diff) identity(a, b *configlog.Site) {
	id := b.ID
	if m := b.Methods; a.Methods != m {
		d.add(&configv1.MethodsSet{
			Site: id, Basic: m.Basic, Oauth: m.OAuth, Pat: m.PAT, ApiTokens: m.APITokens, Links: m.Links, ProductOauth: m.ProductOAuth,
		})
	}
	if a.Grant != b.Grant {
		d.add(&configv1.GrantSwitched{Site: id, Grant: b.Grant})
	}
	d.providers(a, b)
	if a.Upstream.Driver != b.Upstream.Driver || a.Upstream.ConsumerKey != b.Upstream.ConsumerKey || a.Upstream.PrivateKey != b.Upstream.PrivateKey {
		d.add(&configv1.UpstreamDriverSet{
			Site: id, Driver: b.Upstream.Driver, ConsumerKey: b.Upstream.ConsumerKey, PrivateKey: b.Upstream.PrivateKey.Proto(),
		})
	}
	if a.Upstream.SignedURL != b.Upstream.SignedURL {
		d.add(&configv1.UpstreamSignedUrlSet{Site: id, Url: b.Upstream.SignedURL})
	}
	d.accounts(a, b)
	if was, is := a.Directory, b.Directory; was.Source != is.Source || was.URL != is.URL || was.Account != is.Account || was.MaxAge != is.MaxAge {
		d.add(&configv1.DirectorySet{
			Site: id, Source: b.Directory.Source, Url: b.Directory.URL, Account: b.Directory.Account,
			MaxAge: durationpb.New(b.Directory.MaxAge.Std()),
		})
	}
	if a.Directory.Credential != b.Directory.Credential {
		d.add(&configv1.DirectoryCredentialSet{Site: id, Credential: b.Directory.Credential.Proto()})
	}
	if a.TokenCreation != b.TokenCreation {
		d.add(&configv1.TokenCreationSwitched{Site: id, Enabled: b.TokenCreation})
	}
	if a.Tokens != b.Tokens {
		d.add(&configv1.TokenLimitsSet{Site: id, MaxLifetime: durationpb.New(b.Tokens.MaxLifetime.Std()), MaxPerUser: b.Tokens.MaxPerUser})
	}
}

// providers keeps the order of b: a provider that is trusted anew comes last, so from the first one that is
// out of place all are distrusted and trusted again, in one commit.
func (d *diff) providers(a, b *configlog.Site) {
	var kept []configlog.Provider
	for _, p := range a.Providers {
		if b.Provider(p.ID) == nil {
			d.add(&configv1.ProviderDistrusted{Site: b.ID, Provider: p.ID})
			continue
		}
		kept = append(kept, p)
	}
	inPlace := 0
	for inPlace < len(kept) && kept[inPlace].ID == b.Providers[inPlace].ID {
		inPlace++
	}
	for _, p := range kept[inPlace:] {
		d.add(&configv1.ProviderDistrusted{Site: b.ID, Provider: p.ID})
	}
	for i, p := range b.Providers {
		now := p.Proto()
		if i >= inPlace || !proto.Equal(kept[i].Proto(), now) {
			d.add(&configv1.ProviderTrusted{Site: b.ID, Provider: now})
		}
	}
}

func (d *diff) accounts(a, b *configlog.Site) {
	for _, account := range slices.Sorted(maps.Keys(a.Upstream.Accounts)) {
		if _, there := b.Upstream.Accounts[account]; !there {
			d.add(&configv1.UpstreamAccountRemoved{Site: b.ID, Account: account})
		}
	}
	for _, account := range slices.Sorted(maps.Keys(b.Upstream.Accounts)) {
		now := b.Upstream.Accounts[account]
		if was, there := a.Upstream.Accounts[account]; !there || was != now {
			d.add(&configv1.UpstreamAccountSet{Site: b.ID, Account: account, Credential: now.Proto()})
		}
	}
}

// rules finds what changed about what a caller may do.
func (d *diff) rules(a, b *configlog.Site) {
	id := b.ID
	if !slices.Equal(a.Tests, b.Tests) {
		d.add(&configv1.TestsSaved{Site: id, Tests: configlog.TestsProto(b.Tests)})
	}
	if a.Groups.Require != b.Groups.Require {
		d.add(&configv1.GroupRequirementSwitched{Site: id, Require: b.Groups.Require})
	}
	if !slices.Equal(a.Groups.Allowed, b.Groups.Allowed) {
		d.add(&configv1.AllowedGroupsSet{Site: id, Groups: b.Groups.Allowed})
	}
	if !slices.Equal(a.Groups.ReadOnly, b.Groups.ReadOnly) {
		d.add(&configv1.ReadOnlyGroupsSet{Site: id, Groups: b.Groups.ReadOnly})
	}
	if !slices.Equal(a.Groups.TokenCreators, b.Groups.TokenCreators) {
		d.add(&configv1.TokenCreatorGroupsSet{Site: id, Groups: b.Groups.TokenCreators})
	}
	if a.Sessions != b.Sessions {
		d.add(&configv1.SessionRulesSet{Site: id, Ip: b.Sessions.IP, Groups: b.Sessions.Groups})
	}
	if a.IP.Restrict != b.IP.Restrict {
		d.add(&configv1.IpRestrictionSwitched{Site: id, Restrict: b.IP.Restrict})
	}
	d.set(a.IP.Allow, b.IP.Allow,
		func(s string) proto.Message { return &configv1.IpRangeWithdrawn{Site: id, Range: s} },
		func(s string) proto.Message { return &configv1.IpRangeAllowed{Site: id, Range: s} })
	if a.IP.ProxyHeader != b.IP.ProxyHeader || !slices.Equal(a.IP.TrustedProxies, b.IP.TrustedProxies) {
		d.add(&configv1.ReverseProxySet{Site: id, Header: b.IP.ProxyHeader, TrustedProxies: b.IP.TrustedProxies})
	}
	d.set(a.PublicRestricted, b.PublicRestricted,
		func(s string) proto.Message { return &configv1.PublicApiReleased{Site: id, Pattern: s} },
		func(s string) proto.Message { return &configv1.PublicApiRestricted{Site: id, Pattern: s} })
	d.set(a.Bypass, b.Bypass,
		func(s string) proto.Message { return &configv1.ApiBypassEnded{Site: id, Pattern: s} },
		func(s string) proto.Message { return &configv1.ApiBypassed{Site: id, Pattern: s} })
	if a.RateLimit != b.RateLimit {
		d.add(&configv1.RateLimitSet{
			Site: id, Enabled: b.RateLimit.Enabled, Requests: b.RateLimit.Requests, Per: durationpb.New(b.RateLimit.Per.Std()),
		})
	}
}

// set adds a fact for each text that went and each that came.
func (d *diff) set(from, to []string, went, came func(string) proto.Message) {
	for _, s := range missing(from, to) {
		d.add(went(s))
	}
	for _, s := range missing(to, from) {
		d.add(came(s))
	}
}

// missing gives what of list is not in other.
func missing(list, other []string) []string {
	in := make(map[string]bool, len(other))
	for _, s := range other {
		in[s] = true
	}
	var out []string
	for _, s := range list {
		if !in[s] {
			in[s] = true
			out = append(out, s)
		}
	}
	return out
}
