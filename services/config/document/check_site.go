package document

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/names"
)

func (k *checker) sites(sites []configlog.Site) {
	ids := map[string]bool{}
	claimed := map[string]string{} // host and context path, by site
	for i := range sites {
		s, path := &sites[i], at("sites", i)
		if k.id(path+".id", s.ID) && ids[s.ID] {
			k.problem(path+".id", "is another site's already")
		}
		ids[s.ID] = true
		k.oneOf(path+".product", s.Product, "jira", "confluence", "bitbucket")
		k.addressed(path, s, claimed)
		k.nodes(path, s)
		k.oneOf(path+".mode", s.Mode, "enforce", "observe")
		if k.oneOf(path+".grant", s.Grant, "client_credentials", "authorization_code", "jwt") {
			k.users(path, s)
		}
		k.upstream(path, s)
		k.providers(path, s)
		k.directory(path, s)
		k.rules(path, s)
		k.patterns(path, s)
		k.limits(path, s)
		k.tests(path+".tests", s)
	}
}

// addressed checks how calls are matched to the site. claimed is who has which host and context path.
func (k *checker) addressed(path string, s *configlog.Site, claimed map[string]string) {
	if p := s.ContextPath; p != "" && (!strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.ContainsAny(p, "?#%;\\* ") || hasDots(p)) {
		k.problem(path+".context_path", "must be empty or a plain path such as /jira")
	}
	for j, h := range s.Hosts {
		if !goodHost(strings.Trim(h, "[]")) {
			k.problem(at(path+".hosts", j), "must be a host name or address, without port")
		}
	}
	hosts := s.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for j, h := range hosts {
		where := path + ".hosts"
		if h != "" {
			where = at(where, j)
		}
		key := h + " " + s.ContextPath
		if other, taken := claimed[key]; taken {
			k.problem(where, "with this context_path belongs to %s already", other)
			continue
		}
		claimed[key] = path
	}
	if s.BaseURL == "" {
		return
	}
	u := k.url(path+".base_url", s.BaseURL, shape{path: true})
	if u == nil {
		return
	}
	if u.Path != s.ContextPath {
		k.warn(path+".base_url", "has another path than context_path")
	}
	if len(s.Hosts) > 0 && !slices.Contains(s.Hosts, strings.ToLower(u.Hostname())) {
		k.warn(path+".base_url", "has a host that is not in hosts: calls to it do not reach this site")
	}
}

func hasDots(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func (k *checker) nodes(path string, s *configlog.Site) {
	if len(s.Nodes) == 0 {
		k.problem(path+".nodes", "at least one node is required")
	}
	ids, urls := map[string]bool{}, map[string]bool{}
	for j, n := range s.Nodes {
		where := at(path+".nodes", j)
		if k.id(where+".id", n.ID) && ids[n.ID] {
			k.problem(where+".id", "is another node's already")
		}
		ids[n.ID] = true
		if k.url(where+".url", n.URL, shape{}) != nil && urls[n.URL] {
			k.warn(where+".url", "is another node's too: it gets twice the calls")
		}
		urls[n.URL] = true
	}
	if len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, func(n configlog.Node) bool { return !n.Drain }) {
		k.warn(path+".nodes", "are all drained: they go on to get calls")
	}
}

// upstream checks how Gatehouse shows itself to the product.
func (k *checker) upstream(path string, s *configlog.Site) {
	path += ".upstream"
	u := s.Upstream
	if !k.oneOf(path+".driver", u.Driver, "pat", "basic", "oauth1-2loi") {
		return
	}
	seen := map[string]bool{}
	for _, account := range slices.Sorted(maps.Keys(u.Accounts)) {
		where := under(path+".accounts", account)
		folded := names.Fold(account)
		if seen[folded] {
			k.problem(where, "is another account's name in other capitals")
			continue
		}
		seen[folded] = true
		switch {
		case strings.TrimSpace(account) == "" || len(account) > 255 || hasControl(account):
			k.problem(where, "must be called by a user name of 1 to 255 bytes")
		case u.Driver == "basic" && strings.Contains(account, ":"):
			k.problem(where, "a user name with a colon cannot log in with Basic (RFC 7617 §2)")
		case u.Accounts[account].IsZero():
			k.problem(where, "a secret is required: value, ref, env or file")
		default:
			k.secret(where, u.Accounts[account])
		}
	}
	if u.Driver != "oauth1-2loi" {
		if u.ConsumerKey != "" {
			k.problem(path+".consumer_key", "is only for driver oauth1-2loi")
		}
		if !u.PrivateKey.IsZero() {
			k.problem(path+".private_key", "is only for driver oauth1-2loi")
		}
		if u.SignedURL != "" {
			k.problem(path+".signed_url", "is only for driver oauth1-2loi")
		}
		return
	}
	if u.ConsumerKey == "" {
		k.problem(path+".consumer_key", "is required for driver oauth1-2loi")
	}
	if u.PrivateKey.IsZero() {
		k.problem(path+".private_key", "is required for driver oauth1-2loi")
	}
	k.secret(path+".private_key", u.PrivateKey)
	if u.SignedURL != "" {
		k.url(path+".signed_url", u.SignedURL, shape{})
	} else if s.BaseURL == "" {
		k.warn(path+".signed_url", "is empty, and so is base_url: calls are signed for http and the host the client names")
	}
	for _, account := range slices.Sorted(maps.Keys(u.Accounts)) {
		if account != s.Directory.Account || !s.Directory.Credential.IsZero() {
			k.warn(under(path+".accounts", account), "is not used by driver oauth1-2loi, which acts as any user")
		}
	}
}

// canAct tells whether the site has what it takes to call as an account.
func canAct(s *configlog.Site, account string) bool {
	if s.Upstream.Driver != "pat" && s.Upstream.Driver != "basic" {
		return true // any user, or a driver that is refused elsewhere
	}
	_, ok := s.Upstream.Accounts[account]
	return ok
}

func (k *checker) directory(path string, s *configlog.Site) {
	path += ".directory"
	d := s.Directory
	if !k.oneOf(path+".source", d.Source, "product", "crowd") {
		return
	}
	k.between(path+".max_age", d.MaxAge, time.Second, 24*time.Hour)
	if !d.Credential.IsZero() {
		k.secret(path+".credential", d.Credential)
	}
	switch {
	case d.Account == "" && s.NeedsDirectory():
		k.problem(path+".account", "is required by the group rules")
	case d.Account == "" && !d.Credential.IsZero():
		k.problem(path+".account", "is required: whose is the credential?")
	case d.Account != "" && s.DirectoryCredential().IsZero() && (s.NeedsDirectory() || !canAct(s, d.Account)):
		k.problem(path+".account", "has no credential: neither directory.credential nor one in upstream.accounts")
	}
	if d.Source == "product" {
		if d.URL != "" {
			k.problem(path+".url", "is only for source crowd")
		}
		return
	}
	if u := k.url(path+".url", d.URL, shape{path: true}); u != nil && u.Scheme == "http" && !loopback(u) {
		k.warn(path+".url", "is plain http: the directory's password travels unencrypted")
	}
}
