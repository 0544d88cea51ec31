package introspection_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const (
	known   = identityv1.WhoAmIReply_VERDICT_KNOWN
	refused = identityv1.WhoAmIReply_VERDICT_REFUSED
	captcha = identityv1.WhoAmIReply_VERDICT_CAPTCHA
)

func (w *world) whoAmI(r *identityv1.WhoAmIRequest) (*identityv1.WhoAmIReply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 10*time.Second)
	defer cancel()
	r.ConfigSequence = w.at.Seq
	reply := new(identityv1.WhoAmIReply)
	return reply, ask.Do(ctx, w.gw, topology.WhoAmI, r, reply)
}

func (w *world) pat(site, pat string) (*identityv1.WhoAmIReply, error) {
	return w.whoAmI(&identityv1.WhoAmIRequest{Site: site, Credential: &identityv1.WhoAmIRequest_Pat{Pat: pat}})
}

func (w *world) password(site, user, password string) (*identityv1.WhoAmIReply, error) {
	return w.whoAmI(&identityv1.WhoAmIRequest{Site: site, Credential: &identityv1.WhoAmIRequest_Password{
		Password: &identityv1.Password{Username: user, Password: password},
	}})
}

// products configures a site for each product of a lab.
func (w *world) products(l *lab.Lab) {
	w.t.Helper()
	for site, p := range map[string]*lab.Product{"jira": l.Jira, "confluence": l.Confluence} {
		w.commit(registered(site, site), &configv1.SiteAddressed{Site: site, ContextPath: p.ContextPath()})
		for _, n := range p.Nodes() {
			w.commit(&configv1.NodeAttached{Site: site, Node: n.ID(), Url: n.URL()})
		}
	}
}

func TestTheProductsSayWhoAPATIs(t *testing.T) {
	t.Parallel()
	settings := lab.Free("")
	settings.JiraContextPath, settings.ConfluenceContextPath = "/jira", "/wiki"
	w, l := newWorld(t), startLab(t, settings)
	w.products(l)
	w.run(nil)
	for site, p := range map[string]*lab.Product{"jira": l.Jira, "confluence": l.Confluence} {
		pat := p.MintPAT("alice", 0)
		for range 3 {
			if r, err := w.pat(site, pat); err != nil || r.GetVerdict() != known || r.GetUser() != "alice" || r.GetAge() == nil {
				t.Errorf("%s: %v, %v", site, r, err)
			}
		}
		if p.WhoAmICalls() != 1 {
			t.Errorf("%s was asked %d times", site, p.WhoAmICalls())
		}
		gone := p.MintPAT("bob", 0)
		p.RevokePAT(gone)
		for _, bad := range []string{gone, p.MintPAT("bob", -time.Hour), p.PAT("mallory"), "never-heard-of"} {
			if r, err := w.pat(site, bad); err != nil || r.GetVerdict() != refused || r.GetUser() != "" {
				t.Errorf("%s: a bad PAT: %v, %v", site, r, err)
			}
		}
	}
	if r, err := w.pat("confluence", l.Jira.PAT("alice")); err != nil || r.GetVerdict() != refused {
		t.Errorf("a PAT of another product: %v, %v", r, err)
	}
	for _, n := range l.Jira.Nodes() {
		for _, r := range n.Requests() {
			if r.Header.Get("Cookie") != "" || r.RequestURI != "/jira/rest/api/2/myself" {
				t.Errorf("request %s with cookies %q", r.RequestURI, r.Header.Get("Cookie"))
			}
		}
	}
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	w.run(nil)
	for site, p := range map[string]*lab.Product{"jira": l.Jira, "confluence": l.Confluence} {
		if r, err := w.password(site, "Alice", "alice-password"); err != nil || r.GetVerdict() != known || r.GetUser() != "alice" {
			t.Errorf("%s: %v, %v", site, r, err)
		}
		before := p.PasswordAttempts("alice")
		var callers sync.WaitGroup
		for n := range 20 {
			callers.Go(func() {
				if r, err := w.password(site, []string{"alice", "ALICE"}[n%2], "wrong"); err != nil || r.GetVerdict() != refused || !strings.Contains(r.GetLoginReason(), "AUTHENTICATED_FAILED") {
					t.Errorf("%s: %v, %v", site, r, err)
				}
			})
		}
		callers.Wait()
		if n := p.PasswordAttempts("alice") - before; n != 1 {
			t.Errorf("%s: tried %d times", site, n)
		}
		if r, err := w.password(site, "bob", "alice-password"); err != nil || r.GetVerdict() != refused {
			t.Errorf("%s: a password that is somebody else's: %v, %v", site, r, err)
		}
	}
}

func TestACaptchaIsReportedAndNotAskedForAgain(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	i := w.run(nil)
	for _, wrong := range []string{"a", "b", "c"} {
		if r, err := w.password("jira", "alice", wrong); err != nil || r.GetVerdict() != refused {
			t.Errorf("%v, %v", r, err)
		}
	}
	for range 3 {
		r, err := w.password("jira", "alice", "alice-password")
		if err != nil || r.GetVerdict() != captcha || r.GetLoginReason() != "AUTHENTICATION_DENIED" || !strings.HasPrefix(r.GetDeniedReason(), "CAPTCHA_CHALLENGE; login-url=") {
			t.Errorf("%v, %v", r, err)
		}
	}
	if n := l.Jira.PasswordAttempts("alice"); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
	if n := i.metric(t, "gatehouse_introspection_product_calls_total", `result="captcha"`); n != 1 {
		t.Errorf("%v captchas counted", n)
	}
	l.Jira.SetBasicDisabled(true)
	if r, err := w.password("jira", "bob", "bob-password"); err != nil || r.GetVerdict() != refused {
		t.Errorf("Basic switched off: %v, %v", r, err)
	}
}

func TestVerdictsEndWithTheirTime(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	w.run(func(s *introspection.Settings) { s.KnownTTL, s.RefusedTTL = 300*time.Millisecond, 150*time.Millisecond })
	pat := l.Jira.MintPAT("alice", 0)
	if r, err := w.pat("jira", pat); err != nil || r.GetVerdict() != known {
		t.Errorf("%v, %v", r, err)
	}
	l.Jira.RevokePAT(pat)
	testkit.Until(t, "a refusal", func() bool { r, err := w.pat("jira", pat); return err == nil && r.GetVerdict() == refused })
	l.Jira.RestorePAT(pat)
	testkit.Until(t, "the user to be known", func() bool { r, err := w.pat("jira", pat); return err == nil && r.GetVerdict() == known })
}

func TestTheNextNodeIsAskedWhenOneIsAway(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	w.run(nil)
	l.Jira.Nodes()[0].Stop()
	for _, user := range []string{"alice", "bob", "carol", "svc-api"} {
		if r, err := w.pat("jira", l.Jira.PAT(user)); err != nil || r.GetUser() != user {
			t.Errorf("PAT of %s: %v, %v", user, r, err)
		}
		if r, err := w.password("jira", user, user+"-password"); err != nil || r.GetUser() != user {
			t.Errorf("password of %s: %v, %v", user, r, err)
		}
	}
	l.Jira.Nodes()[1].Stop()
	if r, err := w.pat("jira", "new"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no node is there: %v, %v", r, err)
	}
	if r, err := w.pat("jira", l.Jira.PAT("alice")); err != nil || r.GetVerdict() != known {
		t.Errorf("what is known stays known: %v, %v", r, err)
	}
	w.commit(registered("bare", "jira"))
	if r, err := w.pat("bare", "new"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a site without nodes: %v, %v", r, err)
	}
	if r, err := w.pat("nowhere", "new"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no such site: %v, %v", r, err)
	}
}

// TestAPasswordIsShownOnce: a node that took it and died may have counted it.
func TestAPasswordIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var shown atomic.Int64
	deadly := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer kept" {
			w.WriteHeader(http.StatusUnauthorized) // and the connection stays
			return
		}
		shown.Add(1)
		panic(http.ErrAbortHandler)
	})
	w.commit(registered("jira", "jira"))
	for _, id := range []string{"n1", "n2", "n3"} {
		s := httptest.NewServer(deadly)
		t.Cleanup(s.Close)
		w.commit(&configv1.NodeAttached{Site: "jira", Node: id, Url: s.URL})
	}
	w.run(func(s *introspection.Settings) { s.RefusedTTL = time.Nanosecond })
	for range 6 { // net/http repeats what fails on a connection it had kept
		if r, err := w.pat("jira", "kept"); err != nil || r.GetVerdict() != refused {
			t.Errorf("%v, %v", r, err)
		}
	}
	if _, err := w.password("jira", "alice", "secret"); fault.CodeOf(err) != fault.Unavailable || shown.Load() != 1 {
		t.Errorf("%v, shown %d times", err, shown.Load())
	}
	if _, err := w.pat("jira", "pat"); fault.CodeOf(err) != fault.Unavailable || shown.Load() < 4 {
		t.Errorf("a PAT goes on to the next: %v, shown %d times", err, shown.Load()-1)
	}
}

func TestWhatProductsMayAnswer(t *testing.T) {
	t.Parallel()
	type reply struct {
		status                 int
		header                 map[string]string
		kind, body             string
		verdict                identityv1.WhoAmIReply_Verdict // 0: unavailable
		user                   string
		loginReason, deniedFor string
	}
	const json = "application/json;charset=UTF-8"
	for product, cases := range map[string]map[string]reply{
		"jira": {
			"known":                  {status: 200, header: map[string]string{"X-AUSERNAME": "fr%20ed"}, kind: json, body: `{"name":"fr ed","active":true}`, verdict: known, user: "fr ed"},
			"other case in header":   {status: 200, header: map[string]string{"X-AUSERNAME": "FRED"}, kind: json, body: `{"name":"fred"}`, verdict: known, user: "fred"},
			"no header":              {status: 200, kind: json, body: `{"name":"fred"}`, verdict: known, user: "fred"},
			"beyond ASCII":           {status: 200, header: map[string]string{"X-AUSERNAME": "j\xfcrgen"}, kind: json, body: `{"name":"jürgen"}`, verdict: known, user: "jürgen"},
			"anonymous in header":    {status: 200, header: map[string]string{"X-AUSERNAME": "anonymous"}, kind: json, body: `{"name":"fred"}`, verdict: refused},
			"two users":              {status: 200, header: map[string]string{"X-AUSERNAME": "carol"}, kind: json, body: `{"name":"fred"}`},
			"inactive":               {status: 200, kind: json, body: `{"name":"fred","active":false}`, verdict: refused},
			"nameless":               {status: 200, kind: json, body: `{}`, verdict: refused},
			"broken name":            {status: 200, kind: json, body: `{"name":"fr\u0000ed"}`},
			"html":                   {status: 200, kind: "text/html", body: `<html>log in`},
			"broken":                 {status: 200, kind: json, body: `{"name":"fr`},
			"huge":                   {status: 200, kind: json, body: `{"name":"fred","x":"` + strings.Repeat("x", 2<<20) + `"}`},
			"401":                    {status: 401, kind: json, body: `{}`, verdict: refused},
			"401 with a page":        {status: 401, kind: "text/html", body: `<html>`, verdict: refused},
			"captcha":                {status: 403, header: map[string]string{"X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE; login-url=https://j/login.jsp", "X-Seraph-LoginReason": "AUTHENTICATION_DENIED"}, verdict: captcha, loginReason: "AUTHENTICATION_DENIED", deniedFor: "CAPTCHA_CHALLENGE; login-url=https://j/login.jsp"},
			"captcha by reason only": {status: 401, header: map[string]string{"X-Seraph-LoginReason": "AUTHENTICATED_FAILED, AUTHENTICATION_DENIED"}, verdict: captcha, loginReason: "AUTHENTICATED_FAILED, AUTHENTICATION_DENIED"},
			"no licence":             {status: 403, header: map[string]string{"X-Seraph-LoginReason": "AUTHORISATION_FAILED"}, kind: "text/html", verdict: refused, loginReason: "AUTHORISATION_FAILED"},
			"Basic is off":           {status: 403, kind: json, body: `{"message":"Basic Authentication has been disabled on this instance."}`, verdict: refused},
			"somebody between: 403":  {status: 403, kind: "text/html", body: `<html>blocked`},
			"302":                    {status: 302, header: map[string]string{"Location": "/login.jsp"}},
			"404":                    {status: 404, kind: json, body: `{}`},
			"503":                    {status: 503, kind: "text/html", body: `starting`},
		},
		"confluence": {
			"known":       {status: 200, kind: json, body: `{"type":"known","username":"fred","userKey":"k"}`, verdict: known, user: "fred"},
			"anonymous":   {status: 200, kind: json, body: `{"type":"anonymous","username":null,"displayName":"Anonymous"}`, verdict: refused},
			"unknown":     {status: 200, kind: json, body: `{"type":"unknown","username":"fred"}`, verdict: refused},
			"no use":      {status: 403, kind: json, body: `{"statusCode":403}`, verdict: refused},
			"not its API": {status: 200, kind: json, body: `[]`},
		},
		"bitbucket": {
			"known":     {status: 200, header: map[string]string{"X-AUSERNAME": "fred"}, kind: json, body: `{"version":"9"}`, verdict: known, user: "fred"},
			"anonymous": {status: 200, kind: json, body: `{"version":"9"}`, verdict: refused},
			"bad token": {status: 401, kind: json, body: `{"errors":[]}`, verdict: refused},
		},
	} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var now atomic.Pointer[reply]
			node := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				c := now.Load()
				for name, value := range c.header {
					out.Header().Set(name, value)
				}
				if r.Header.Get("Authorization") != "Bearer "+strings.ReplaceAll(r.Header.Get("Authorization"), "Bearer ", "") {
					t.Errorf("authorization %q", r.Header.Get("Authorization"))
				}
				out.Header().Set("Content-Type", c.kind)
				out.WriteHeader(c.status)
				_, _ = out.Write([]byte(c.body))
			}))
			t.Cleanup(node.Close)
			w.commit(registered("site", product), &configv1.NodeAttached{Site: "site", Node: "n", Url: node.URL + "/"})
			w.run(nil)
			for name, c := range cases {
				now.Store(&c)
				r, err := w.pat("site", strings.ReplaceAll(name, " ", "-"))
				if c.verdict == 0 {
					if fault.CodeOf(err) != fault.Unavailable {
						t.Errorf("%s: %v, %v; want unavailable", name, r, err)
					}
				} else if err != nil || r.GetVerdict() != c.verdict || r.GetUser() != c.user || r.GetLoginReason() != c.loginReason || r.GetDeniedReason() != c.deniedFor {
					t.Errorf("%s: %v, %v; want %+v", name, r, err, c)
				}
			}
		})
	}
}

func TestWhatCannotBeACredentialIsShownToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(registered("jira", "jira"), &configv1.NodeAttached{Site: "jira", Node: "n", Url: "http://127.0.0.1:1"})
	w.run(nil)
	for _, pat := range []string{"", "a b", "a\r\nX-Evil: y", "ü", strings.Repeat("x", 17<<10)} {
		if r, err := w.pat("jira", pat); err != nil || r.GetVerdict() != refused || r.GetDetail() != "malformed" {
			t.Errorf("%.20q: %v, %v", pat, r, err)
		}
	}
	for _, c := range [][2]string{{"", "x"}, {"alice", ""}, {"al:ice", "x"}, {"ali\x00ce", "x"}, {"alice", "x\n"}, {"alice", strings.Repeat("x", 17<<10)}} {
		if r, err := w.password("jira", c[0], c[1]); err != nil || r.GetVerdict() != refused || r.GetDetail() != "malformed" {
			t.Errorf("%.20q: %v, %v", c, r, err)
		}
	}
	if _, err := w.whoAmI(&identityv1.WhoAmIRequest{Site: "jira"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no credential: %v", err)
	}
	w.commit(registered("odd", "bamboo"))
	if _, err := w.pat("odd", "x"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a product nobody knows: %v", err)
	}
}
