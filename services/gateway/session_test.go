package gateway_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// person is somebody with a browser, as far as cookies go.
type person struct {
	t      *testing.T
	gw     *running
	client *http.Client
}

func (r *running) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, gw: r, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p *person) get(path string) (*http.Response, string) {
	p.t.Helper()
	return p.do(request(p.t, http.MethodGet, p.gw.url+path, nil, "X-Forwarded-For", "198.51.100.1"))
}

func (p *person) do(r *http.Request) (*http.Response, string) {
	p.t.Helper()
	resp, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(body)
}

func (p *person) login(user string) *http.Response {
	p.t.Helper()
	form := url.Values{"os_username": {user}, "os_password": {user + "-password"}}
	resp, body := p.do(request(p.t, http.MethodPost, p.gw.url+"/login.jsp", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded"))
	if resp.StatusCode != http.StatusFound {
		p.t.Fatalf("log-in: %s %s", resp.Status, body)
	}
	return resp
}

// TestABrowserStaysAtItsNode: the products keep a session on the node that made it.
func TestABrowserStaysAtItsNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.SetSessionAffinity(true)
	gw := w.started()
	nodes := map[string]bool{}
	var last *person
	for range 6 {
		p := gw.person(t)
		resp := p.login("alice")
		made := ""
		for _, c := range resp.Cookies() {
			if c.Name == "GATEHOUSE_NODE" {
				made = c.Value
				if !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Secure {
					t.Errorf("cookie %v", c)
				}
			}
		}
		for range 6 {
			resp, body := p.get(echo)
			if e := decode(t, body); e.User != "alice" || resp.Header.Get("Set-Cookie") != "" {
				t.Fatalf("the session made at %q was lost: %s", made, body)
			}
		}
		nodes[made], last = true, p
	}
	if len(nodes) != len(w.lab.Jira.Nodes()) || nodes[""] {
		t.Errorf("all sessions are at %v", nodes)
	}
	// The node goes: the browser is sent on, and to log in again.
	at, _ := last.get(echo)
	var gone *lab.Node
	for _, n := range w.lab.Jira.Nodes() {
		if at.Header.Get("X-Anodeid") == n.ID() {
			gone = n
		}
	}
	gone.Stop()
	if resp, body := last.get(echo); resp.StatusCode != http.StatusOK || decode(t, body).User != "" {
		t.Errorf("with its node gone: %s %s", resp.Status, body)
	}
	last.login("alice")
	for range 6 {
		if _, body := last.get(echo); decode(t, body).User != "alice" {
			t.Fatalf("the new session was lost: %s", body)
		}
	}
}

// TestACredentialStaysAtOneNode, so that the product's caches know it there.
func TestACredentialStaysAtOneNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started()
	at := map[string]bool{}
	for range 12 {
		token, mine := "Bearer "+w.token(), map[string]bool{}
		for range 5 {
			resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, "Authorization", token))
			mine[resp.Header.Get("X-Anodeid")] = true
			at[resp.Header.Get("X-Anodeid")] = true
		}
		if len(mine) != 1 || mine[""] {
			t.Fatalf("one token was at %v", mine)
		}
	}
	if len(at) != len(w.lab.Jira.Nodes()) {
		t.Errorf("all tokens are at %v", at)
	}
}

// TestRow6ASessionTheProductKnows is let through where a stranger is not; one that it does not know is a stranger.
func TestRow6ASessionTheProductKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.SetSessionAffinity(true)
	gw := w.started(
		&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true},
		&configv1.ReverseProxySet{Site: "jira", Header: "X-Forwarded-For", TrustedProxies: []string{"127.0.0.1"}},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: myself},
	)
	p := gw.person(t)
	p.login("alice")
	asked := w.lab.Jira.WhoAmICalls()
	for range 5 {
		if resp, body := p.get(echo); resp.StatusCode != http.StatusOK || decode(t, body).User != "alice" {
			t.Fatalf("a known session from elsewhere: %s %s", resp.Status, body)
		}
	}
	if n := w.lab.Jira.WhoAmICalls() - asked; n != 1 {
		t.Errorf("the product was asked %d times", n)
	}
	if resp, body := p.get(myself); resp.StatusCode != http.StatusOK || !strings.Contains(body, "alice") {
		t.Errorf("a known session at a restricted path: %s %s", resp.Status, body)
	}
	session := ""
	for _, c := range p.client.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(gw.url, "http://"), Path: "/"}) {
		session += c.Name + "=" + c.Value + "; "
	}
	session = strings.TrimSuffix(session, "; ")
	stranger := []string{"X-Forwarded-For", "198.51.100.1"}
	gw.runs(t, []try{
		{name: "the cookies alone", header: append(stranger, "Cookie", session), status: 200, user: "alice"},
		{name: "an unknown session", header: append(stranger, "Cookie", "JSESSIONID=0123456789ABCDEF0123456789ABCDEF"), status: 403, reason: "ip_denied"},
		{name: "a session in the path", path: echo + ";jsessionid=0123456789ABCDEF", header: stranger, status: 403, reason: "ip_denied"},
		{name: "Referer and Origin prove nothing", header: append(stranger, "Referer", gw.url+"/", "Origin", gw.url, "Cookie", "atlassian.xsrf.token=x"), status: 403, reason: "ip_denied"},
		{name: "a session and a credential", header: append(stranger, "Cookie", session, "Authorization", basic("bob", "bob-password")), status: 403, reason: "ip_denied"},
		{name: "a session and half a credential", path: echo + "?os_username=bob", header: append(stranger, "Cookie", session), status: 403, reason: "ip_denied"},
		{name: "a node that is none", header: append(stranger, "Cookie", "GATEHOUSE_NODE=n99; JSESSIONID=1"), status: 403, reason: "ip_denied"},
	})
	for r := range w.audited() {
		if r.GetReason() == "browser" && r.GetUser() == "alice" && r.GetCredential() == "session" && r.GetDecision() == "pass" {
			break
		}
	}
	seq := w.commit(&configv1.SessionRulesSet{Site: "jira", Ip: true})
	gw.reached(t, seq)
	gw.runs(t, []try{{name: "sessions are bound too", header: append(stranger, "Cookie", session), status: 403, reason: "ip_denied"}})
	seq = w.commit(&configv1.SessionRulesSet{Site: "jira"})
	gw.reached(t, seq)
	w.stopIntrospection()
	gw.runs(t, []try{
		{name: "nobody to ask, and known", header: append(stranger, "Cookie", session), status: 200, user: "alice"},
		{name: "nobody to ask", header: append(stranger, "Cookie", "JSESSIONID=2"), status: 503, reason: "provider_unavailable"},
	})
}
