package introspection_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

func (w *world) session(cookies, node string) (*identityv1.WhoAmIReply, error) {
	return w.whoAmI(&identityv1.WhoAmIRequest{Site: "jira", Credential: &identityv1.WhoAmIRequest_Session{
		Session: &identityv1.Session{Cookies: cookies, Node: node},
	}})
}

// signIn makes a session at a node and gives its cookies.
func signIn(t *testing.T, n *lab.Node, user string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(n.URL()+"/login.jsp", url.Values{"os_username": {user}, "os_password": {user + "-password"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	u, err := url.Parse(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// TestWhoseASessionIs is asked at the node that made it, because the others do not know it.
func TestWhoseASessionIs(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	w.run(nil)
	l.Jira.SetSessionAffinity(true)
	first, second := l.Jira.Nodes()[0], l.Jira.Nodes()[1]
	cookies := signIn(t, first, "alice")
	for range 3 {
		if r, err := w.session(cookies, first.ID()); err != nil || r.GetVerdict() != known || r.GetUser() != "alice" {
			t.Errorf("its own node: %v, %v", r, err)
		}
		if r, err := w.session(cookies, second.ID()); err != nil || r.GetVerdict() != refused {
			t.Errorf("another node: %v, %v", r, err)
		}
	}
	if n := l.Jira.WhoAmICalls(); n != 2 {
		t.Errorf("the product was asked %d times", n)
	}
	for _, cookies := range []string{"", "JSESSIONID=1\r\nX-A: b", strings.Repeat("x", 64<<10)} {
		if r, err := w.session(cookies, ""); err != nil || r.GetVerdict() != refused {
			t.Errorf("%.20q: %v, %v", cookies, r, err)
		}
	}
	if n := l.Jira.WhoAmICalls(); n != 2 {
		t.Errorf("what no product could take was shown to it")
	}
	l.Jira.SetActive("alice", false)
	if r, err := w.session(cookies, ""); err != nil || r.GetVerdict() != refused {
		t.Errorf("an inactive user's: %v, %v", r, err)
	}
}

func TestASessionOfANodeThatIsAwayIsAskedForAtTheNext(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.products(l)
	w.run(nil)
	first, second := l.Jira.Nodes()[0], l.Jira.Nodes()[1]
	cookies := signIn(t, first, "alice") // the nodes share their sessions here
	first.Stop()
	if r, err := w.session(cookies, first.ID()); err != nil || r.GetVerdict() != known {
		t.Errorf("%v, %v", r, err)
	}
	second.Stop()
	if r, err := w.session(cookies+" ", first.ID()); err == nil {
		t.Errorf("with all nodes away: %v", r)
	}
}
