package document

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

// complete writes what has several spellings in one, so that the same thing said twice is no change: host
// names, URLs without a last slash, address ranges. It fills in the defaults that depend on another field
// and leaves out what a list names again.
func complete(c *configlog.Config) []fault.Problem {
	var twice []fault.Problem
	for i := range c.Sites {
		s, path := &c.Sites[i], at("sites", i)
		for j, h := range s.Hosts {
			s.Hosts[j] = strings.TrimSuffix(strings.ToLower(h), ".")
		}
		s.ContextPath = strings.TrimRight(s.ContextPath, "/")
		s.BaseURL = strings.TrimRight(s.BaseURL, "/")
		s.Upstream.SignedURL = strings.TrimRight(s.Upstream.SignedURL, "/")
		for j := range s.Nodes {
			s.Nodes[j].URL = strings.TrimRight(s.Nodes[j].URL, "/")
		}
		spellRanges(s.IP.Allow)
		spellRanges(s.IP.TrustedProxies)
		if s.Directory.Account == "" && len(s.Upstream.Accounts) == 1 {
			for only := range s.Upstream.Accounts {
				s.Directory.Account = only
			}
		}
		for name, list := range lists(s) {
			twice = append(twice, unique(path+"."+name, list)...)
		}
		for j := range s.Providers {
			usual(&s.Providers[j])
			twice = append(twice, unique(at(path+".providers", j)+".required_scopes", &s.Providers[j].RequiredScopes)...)
		}
		for j := range s.Tests {
			Complete(&s.Tests[j], s)
		}
	}
	slices.SortFunc(twice, byPath)
	return twice
}

// Complete fills in what a test leaves open and its site says.
func Complete(t *configlog.Test, s *configlog.Site) {
	if t.Fetch && t.Type == "" {
		t.Type = "oauth"
	}
	if t.Fetch && t.Provider == "" && len(s.Providers) == 1 {
		t.Provider = s.Providers[0].ID
	}
}

// usual fills in what a provider's preset says where nothing was said.
func usual(p *configlog.Provider) {
	preset, known := presets.Of(p.Kind)
	if !known {
		return
	}
	p.Validation = string(presets.ValidationOf(p))
	if p.CallerAuth == "" {
		p.CallerAuth = preset.CallerAuth[0]
	}
}

// lists gives every list of texts of a site but those of its providers, by path.
func lists(s *configlog.Site) map[string]*[]string {
	return map[string]*[]string{
		"hosts": &s.Hosts, "api_paths": &s.APIPaths, "token_paths": &s.TokenPaths,
		"groups.allowed": &s.Groups.Allowed, "groups.read_only": &s.Groups.ReadOnly, "groups.token_creators": &s.Groups.TokenCreators,
		"ip.allow": &s.IP.Allow, "ip.trusted_proxies": &s.IP.TrustedProxies,
		"public_restricted": &s.PublicRestricted, "bypass": &s.Bypass,
	}
}

// unique keeps the first of what is there more than once.
func unique(path string, list *[]string) []fault.Problem {
	var twice []fault.Problem
	seen := make(map[string]bool, len(*list))
	kept := (*list)[:0]
	for i, item := range *list {
		if item != "" && seen[item] {
			twice = append(twice, fault.Problem{Path: at(path, i), Message: "is in the list already"})
			continue
		}
		seen[item] = true
		kept = append(kept, item)
	}
	*list = kept
	return twice
}

// spellRanges writes addresses and ranges as netip does; what it cannot read stays for Check to refuse.
func spellRanges(ranges []string) {
	for i, text := range ranges {
		if p, err := netip.ParsePrefix(text); err == nil {
			ranges[i] = p.String()
		} else if a, err := netip.ParseAddr(text); err == nil {
			ranges[i] = a.String()
		}
	}
}
