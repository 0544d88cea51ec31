package gateway_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gomodule/oauth1/oauth"
)

// TestApplicationLinks: another product's signed calls go to the product as they are, and nothing beside the signature does.
func TestApplicationLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.lab.Jira.TrustConsumer("wiki", &key.PublicKey, true)
	gw := w.started(append(
		w.directory(time.Hour, readOnly("read-only"), &configv1.SessionRulesSet{Site: "jira", Groups: true, Ip: true}),
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/**"},
	)...)
	wiki := &oauth.Client{Credentials: oauth.Credentials{Token: "wiki"}, SignatureMethod: oauth.RSASHA1, PrivateKey: key}
	of := func(method, target string) string {
		u, err := url.Parse(gw.url + target)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		if err := wiki.SetAuthorizationHeader(header, &oauth.Credentials{}, method, u, nil); err != nil {
			t.Fatal(err)
		}
		return header.Get("Authorization")
	}
	call := func(method, target, authorization string, more ...string) (*http.Response, string) {
		return do(t, request(t, method, gw.url+target, nil, append(more, "Authorization", authorization)...))
	}
	const target = echo + "?xoauth_requestor_id=alice&a=1"
	resp, body := call("GET", target, of("GET", target), "Cookie", "JSESSIONID=1")
	if e := decode(t, body); resp.StatusCode != 200 || e.User != "alice" || e.Header["Cookie"] != nil || e.RequestURI != target {
		t.Errorf("a signed call: %s %s", resp.Status, body)
	}
	bob := w.signIn("bob")
	for name, c := range map[string]struct {
		method, target, authorization string
		more                          []string
		status                        int
		reason                        string
	}{
		"a forged signature":                                 {"GET", target, signed, nil, 401, ""},
		"beside a session of who only reads":                 {"POST", echo, signed, []string{"Cookie", bob}, 401, ""},
		"one that Connection takes away":                     {"GET", echo, signed, []string{"Cookie", bob, "Connection", "Authorization, Cookie"}, 401, ""},
		"half a signature beside it":                         {"POST", echo, `OAuth oauth_consumer_key="x"`, []string{"Cookie", bob}, 400, "credential_malformed"},
		"nothing of one":                                     {"POST", echo, "OAuth", []string{"Cookie", bob}, 400, "credential_malformed"},
		"a parameter twice":                                  {"GET", echo, signed + `, oauth_nonce="2"`, nil, 400, "credential_malformed"},
		"without quotes":                                     {"GET", echo, strings.ReplaceAll(signed, `"`, ""), nil, 400, "credential_malformed"},
		"a client that the OAuth filter takes no heed of":    {"GET", target, signed, []string{"User-Agent", "WebDAVFS/3.0.0 (03008000) Darwin/19"}, 401, ""},
		"an unknown user, whom the product takes for nobody": {"GET", echo + "?xoauth_requestor_id=ghost", of("GET", echo+"?xoauth_requestor_id=ghost"), nil, 401, "authentication_required"},
		"no user at all":                                     {"GET", echo, of("GET", echo), nil, 401, "authentication_required"},
		"a token is fetched without one":                     {"POST", "/plugins/servlet/oauth/request-token", strings.Replace(signed, `oauth_token="", `, "", 1), nil, 404, ""},
	} {
		resp, body := call(c.method, c.target, c.authorization, c.more...)
		if resp.StatusCode != c.status || resp.Header.Get("X-Gatehouse-Reason") != c.reason {
			t.Errorf("%s: %s %q %s", name, resp.Status, resp.Header.Get("X-Gatehouse-Reason"), body)
		}
	}
	for _, n := range w.lab.Jira.Nodes() {
		for _, r := range n.Requests() {
			if agent := r.Header.Get("User-Agent"); strings.Contains(agent, "WebDAV") || r.User == "bob" && r.Method == http.MethodPost && !strings.HasPrefix(r.RequestURI, "/login") {
				t.Errorf("a node saw %s %s as %q of %q", r.Method, r.RequestURI, r.User, agent)
			}
		}
	}
}

// TestHostileRequestsWhereEverythingIsOn: with every kind of credential on, a call without a good one opens no restricted
// path, whatever stands beside it.
func TestHostileRequestsWhereEverythingIsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(append(
		w.directory(time.Hour, append(allowing("developers"), readOnly("read-only"))...),
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/**"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rpc/**"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/plugins/servlet/**"},
		&configv1.SessionRulesSet{Site: "jira", Ip: true, Groups: true},
	)...)
	corpus := slices.Concat(hostilePaths(), hostileSessions())
	for _, h := range slices.Concat(hostilePaths()[:20], hostileSessions()) {
		for _, beside := range []string{"Authorization: OAuth x", `Authorization: OAuth oauth_consumer_key="x", oauth_signature="x"`, "Authorization: Negotiate x", "Authorization: " + signed} {
			line, rest, _ := strings.Cut(h.message, "\r\n")
			corpus = append(corpus, hostile{name: h.name + " beside " + beside, message: line + "\r\n" + beside + "\r\n" + rest, may: unserved})
		}
	}
	t.Logf("%d messages", len(corpus))
	w.attack(gw, corpus)
}
