package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const (
	echo   = "/rest/lab/1/echo"
	signed = `OAuth oauth_consumer_key="x", oauth_token="", oauth_signature_method="RSA-SHA1", oauth_signature="x", oauth_timestamp="1", oauth_nonce="1"`
	nobody = "nobody" // whom a node saw that saw no user
)

// try is a call and what is expected of it.
type try struct {
	name   string
	method string // default GET
	path   string // default echo
	header []string
	status int
	// reason is X-Gatehouse-Reason; empty: the node answered. user is whom it saw then; empty: not looked at.
	reason, user string
	// check looks at what the node saw.
	check func(t *testing.T, e echoed)
}

// runs makes the calls one after the other.
func (r *running) runs(t *testing.T, tries []try) {
	t.Helper()
	for _, c := range tries {
		method, path := c.method, c.path
		if method == "" {
			method = http.MethodGet
		}
		if path == "" {
			path = echo
		}
		resp, body := do(t, request(t, method, r.url+path, nil, c.header...))
		if resp.StatusCode != c.status || resp.Header.Get("X-Gatehouse-Reason") != c.reason {
			t.Errorf("%s: %s %s: %s, %q; want %d, %q", c.name, method, path, resp.Status, resp.Header.Get("X-Gatehouse-Reason"), c.status, c.reason)
			continue
		}
		if c.user == "" && c.check == nil {
			continue
		}
		e := decode(t, body)
		if c.user != "" && e.User != strings.TrimPrefix(c.user, nobody) {
			t.Errorf("%s: the node saw %q, want %q", c.name, e.User, c.user)
		}
		if c.check != nil {
			c.check(t, e)
		}
	}
}

// started runs a gateway for the lab's site with more facts.
func (w *world) started(facts ...proto.Message) *running {
	w.t.Helper()
	seq := w.commit(append(w.site(), facts...)...)
	gw := w.gateway("")
	gw.reached(w.t, seq)
	return gw
}

// TestRow4 IP restriction, with Reverse Proxy Compatibility: the test is the proxy, because it calls from loopback.
func TestRow4IPRestriction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(
		&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true},
		&configv1.IpRangeAllowed{Site: "jira", Range: "192.0.2.0/24"},
		&configv1.IpRangeAllowed{Site: "jira", Range: "2001:db8::/32"},
		&configv1.ReverseProxySet{Site: "jira", Header: "x-forwarded-for", TrustedProxies: []string{"127.0.0.0/8", "10.0.0.0/8"}},
	)
	token := "Bearer " + w.token()
	xff := func(lines ...string) []string {
		all := []string{"Authorization", token}
		for _, l := range lines {
			all = append(all, "X-Forwarded-For", l)
		}
		return all
	}
	sees := func(client string) func(*testing.T, echoed) {
		return func(t *testing.T, e echoed) {
			if got := strings.Join(e.Header["X-Forwarded-For"], "|"); got != client {
				t.Errorf("the node was told the client is %q, want %q", got, client)
			}
		}
	}
	gw.runs(t, []try{
		{name: "allowed", header: xff("192.0.2.9"), status: 200, user: "svc-api", check: sees("192.0.2.9")},
		{name: "through two proxies", header: xff("192.0.2.9, 10.0.0.1"), status: 200, user: "svc-api", check: sees("192.0.2.9")},
		{name: "in two lines", header: xff("198.51.100.1", "192.0.2.9"), status: 200, check: sees("192.0.2.9")},
		{name: "IPv6 with port", header: xff("[2001:db8::5]:443"), status: 200, check: sees("2001:db8::5")},
		{name: "mapped", header: xff("::ffff:192.0.2.9"), status: 200, check: sees("192.0.2.9")},
		{name: "a cookie proves nothing", header: append(xff("198.51.100.1")[2:], "Cookie", "JSESSIONID=1"), status: 403, reason: "ip_denied"},
		{name: "a proxy that spoke TLS", header: append(xff("192.0.2.9"), "X-Forwarded-Proto", "https"), status: 200, check: func(t *testing.T, e echoed) {
			if got := e.Header["X-Forwarded-Proto"]; len(got) != 1 || got[0] != "https" {
				t.Errorf("X-Forwarded-Proto %q", got)
			}
		}},
	})
	seen := 0
	for r := range w.audited() {
		if r.GetClientIp() == "192.0.2.9" && r.GetClientIpSource() == "X-Forwarded-For" {
			seen++
		}
		if r.GetReason() == "ip_denied" && r.GetStatus() != 403 {
			t.Errorf("record %v", r)
		}
		if seen == 5 {
			break
		}
	}
}

func TestRow4TheHeaderOfAStrangerIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(
		&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true},
		&configv1.IpRangeAllowed{Site: "jira", Range: "192.0.2.0/24"},
		&configv1.ReverseProxySet{Site: "jira", Header: "Forwarded", TrustedProxies: []string{"10.0.0.0/8"}},
	)
	gw.runs(t, []try{
		{name: "no trusted proxy", header: []string{"Forwarded", "for=192.0.2.9"}, status: 403, reason: "ip_denied"},
		{name: "no trusted proxy, with TLS", header: []string{"Forwarded", "for=192.0.2.9;proto=https", "X-Forwarded-For", "192.0.2.9"}, status: 403, reason: "ip_denied"},
	})
	seq := w.commit(&configv1.ReverseProxySet{Site: "jira", Header: "Forwarded", TrustedProxies: []string{"127.0.0.1"}})
	gw.reached(t, seq)
	gw.runs(t, []try{
		{name: "trusted", header: []string{"Forwarded", "for=192.0.2.9"}, status: 200},
		{name: "of two", header: []string{"Forwarded", `for=192.0.2.9, for="198.51.100.7:80"`}, status: 403, reason: "ip_denied"},
		{name: "a quote that swallows", header: []string{"Forwarded", `for=192.0.2.9;x=", for=198.51.100.7`}, status: 403, reason: "ip_denied"},
		{name: "hidden", header: []string{"Forwarded", "for=_gazonk"}, status: 403, reason: "ip_denied"},
	})
}

// TestRow5WhatIsNotTheProducts: where the gateway steps aside, what is none of the product's business stays here all the same.
func TestRow5WhatIsNotTheProducts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(&configv1.ApiBypassed{Site: "jira", Pattern: "GET " + echo})
	secretless := func(t *testing.T, e echoed) {
		if e.Header["Authorization"] != nil {
			t.Errorf("the node saw %q", e.Header["Authorization"])
		}
	}
	gw.runs(t, []try{
		{name: "a provider's token", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, check: secretless},
		{name: "an API token", header: []string{"Authorization", "Bearer ght_x"}, status: 200, check: secretless},
	})
}

// TestRow7PublicAPIs: what is restricted wants a credential under every name the product has for it.
func TestRow7PublicAPIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/api/2/serverInfo"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "GET " + echo},
	)
	var tries []try
	for _, path := range []string{
		"/rest/api/2/serverInfo", "/rest/api/2/serverInfo/", "/rest/api/latest/serverInfo", "/rest/api/2/serverInfo.json", "/rest/api/latest/serverInfo.xml",
		"/rest/api/2/./serverInfo", "/rest//api/2/serverInfo", "/rest/api/2;x=y/serverInfo", "/rest/api/2/%73erverInfo", "/x/../rest/api/2/serverInfo",
		"/rest/api/2.0/serverInfo", "/rest/api/2/serverInfo?x=1", "/s/abc/_/rest/api/2/serverInfo", "/s/a/_/s/b/_/rest/api/2/serverInfo", echo,
	} {
		tries = append(tries,
			try{name: "nobody", path: path, status: 401, reason: "authentication_required"},
			try{name: "a cookie that proves nothing", path: path, header: []string{"Cookie", "JSESSIONID=1", "Referer", "https://jira.example.com/", "Origin", "https://jira.example.com"}, status: 401, reason: "authentication_required"})
	}
	gw.runs(t, append(tries,
		try{name: "HEAD for GET", method: http.MethodHead, status: 401, reason: "authentication_required"},
		try{name: "another method", method: http.MethodPost, status: 200, user: nobody},
		try{name: "not on the list", path: "/rest/lab/1/echox", status: 404},
		try{name: "with a token", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"},
		try{name: "with a password", header: []string{"Authorization", basic("alice", "alice-password")}, status: 200, user: "alice"},
	))
	resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil))
	if got := resp.Header.Get("Www-Authenticate"); got != `Bearer realm="https://jira.example.com"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

// TestRow11bASitesOwnPaths replace those of its product.
func TestRow11bASitesOwnPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(&configv1.TokenPathsSet{Site: "jira", Patterns: []string{"/rest/api/**"}})
	token := []string{"Authorization", "Bearer " + w.token()}
	gw.runs(t, []try{
		{name: "on the site's own list", path: myself, header: token, status: 200},
		{name: "no more", header: token, status: 403, reason: "path_not_for_tokens"},
	})
}

// TestObserveMode: rows 4, 7, 9 and who it is never refuse, the trail says what they would have done, and our credential is
// used only for whom it was established for.
func TestObserveMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(
		&configv1.ModeSet{Site: "jira", Mode: "observe"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: echo},
		&configv1.MethodsSet{Site: "jira", Basic: false, Oauth: true, Pat: true},
	)
	cases := []struct {
		try
		decision, observed, noted string
	}{
		{try{name: "restricted", status: 200, user: nobody}, "pass", "anonymous", "authentication_required"},
		{try{name: "Basic is off", header: []string{"Authorization", basic("alice", "alice-password")}, status: 200, user: "alice"}, "pass", "allowed", "basic_disabled"},
		{try{name: "links are off", header: []string{"Authorization", signed}, status: 401}, "pass", "link", "links_disabled"},
		{try{name: "an unknown token", header: []string{"Authorization", "Bearer unknown", "Cookie", "JSESSIONID=1"}, status: 200, user: nobody, check: func(t *testing.T, e echoed) {
			if e.Header["Authorization"] != nil || e.Header["Cookie"] != nil {
				t.Errorf("the node saw %v", e.Header)
			}
		}}, "pass", "anonymous", "token_inactive"},
		{try{name: "a wrong password", path: "/rest/lab/1/echo?os_username=alice&os_password=wrong&x=1", status: 200, user: nobody, check: func(t *testing.T, e echoed) {
			if e.RequestURI != "/rest/lab/1/echo?x=1" {
				t.Errorf("the node saw %s", e.RequestURI)
			}
		}}, "pass", "anonymous", "basic_disabled"},
		{try{name: "a scope too few", header: []string{"Authorization", "Bearer " + w.token(func(s *lab.TokenSpec) { s.Scopes = []string{"write"} })}, status: 200, user: nobody}, "pass", "anonymous", "scope_missing"},
		{try{name: "a page for a token", path: "/secure/x.jspa", header: []string{"Authorization", "Bearer " + w.token()}, status: 404}, "pass", "anonymous", "path_not_for_tokens"},
		{try{name: "a good token", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"}, "allow", "allowed", ""},
		{try{name: "an ambiguous path", path: "/rest/lab%2f1/echo", status: 400, reason: "path_ambiguous"}, "deny", "path_ambiguous", ""},
		{try{name: "two credentials", path: "/rest/lab/1/echo?os_username=a&os_password=b", header: []string{"Authorization", "Bearer x"}, status: 400, reason: "credential_malformed"}, "deny", "credential_malformed", ""},
	}
	for _, c := range cases {
		gw.runs(t, []try{c.try})
	}
	w.stopIntrospection()
	gw.runs(t, []try{{name: "nobody can say whose PAT it is", header: []string{"Authorization", "Bearer " + w.lab.Jira.PAT("bob")}, status: 503, reason: "provider_unavailable"}})
	gw.runs(t, []try{{name: "nobody can say who it is", header: []string{"Authorization", "Bearer another"}, status: 503, reason: "provider_unavailable"}})
	i := 0
	for r := range w.audited() {
		if i == len(cases) {
			if r.GetReason() != "provider_unavailable" || r.GetCredentialFingerprint() == "" {
				t.Errorf("a PAT nobody could judge: %v", r)
			}
			break
		}
		if r.GetPath() == "/rest/gatehouse/1.0/" {
			continue
		}
		c := cases[i]
		if r.GetDecision() != c.decision || r.GetReason() != c.observed || r.GetObserved() != c.noted {
			t.Errorf("%s: recorded %s, %s, observed %q; want %s, %s, %q", c.name, r.GetDecision(), r.GetReason(), r.GetObserved(), c.decision, c.observed, c.noted)
		}
		if r.GetClientIp() != "127.0.0.1" || r.GetClientIpSource() != "peer" {
			t.Errorf("%s: from %q by %q", c.name, r.GetClientIp(), r.GetClientIpSource())
		}
		i++
	}
}
