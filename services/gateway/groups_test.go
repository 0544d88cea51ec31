package gateway_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// directory has the site look up groups at its product, as carol.
func (w *world) directory(maxAge time.Duration, rules ...proto.Message) []proto.Message {
	return append([]proto.Message{
		&configv1.UpstreamAccountSet{Site: "jira", Account: "carol", Credential: w.seal(secret.Both, w.product.PAT("carol"))},
		&configv1.DirectorySet{Site: "jira", Source: "product", Account: "carol", MaxAge: durationpb.New(maxAge)},
	}, rules...)
}

func allowing(groups ...string) []proto.Message {
	return []proto.Message{&configv1.GroupRequirementSwitched{Site: "jira", Require: true}, &configv1.AllowedGroupsSet{Site: "jira", Groups: groups}}
}

func readOnly(groups ...string) proto.Message {
	return &configv1.ReadOnlyGroupsSet{Site: "jira", Groups: groups}
}

func as(user string) []string { return []string{"Authorization", basic(user, user+"-password")} }

// TestRow12AllowAPIAccess lets in who is in one of the groups, whatever the credential.
func TestRow12AllowAPIAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.AddUser("Dörte", "DEVELOPERS")
	gw := w.started(w.directory(time.Hour, allowing("Developers", "jira-administrators")...)...)
	pat := func(user string) []string { return []string{"Authorization", "Bearer " + w.lab.Jira.PAT(user)} }
	gw.runs(t, []try{
		{name: "a member by password", header: as("alice"), status: 200, user: "alice"},
		{name: "a member by PAT", header: pat("bob"), status: 200, user: "bob"},
		{name: "in other capitals", header: []string{"Authorization", basic("ALICE", "alice-password")}, status: 200, user: "alice"},
		{name: "of the second group", header: pat("carol"), status: 200, user: "carol"},
		{name: "the group in other capitals", header: as("Dörte"), status: 200},
		{name: "no member, by token", header: []string{"Authorization", "Bearer " + w.token()}, status: 403, reason: "group_denied"},
		{name: "no member, by PAT", header: pat("svc-api"), status: 403, reason: "group_denied"},
		{name: "in the query", path: echo + "?os_username=svc-api&os_password=svc-api-password", status: 403, reason: "group_denied"},
		{name: "nobody", status: 200, user: nobody},
		{name: "pages are no API", path: "/secure/Dashboard.jspa", status: 200},
		{name: "pages with a credential are", path: "/secure/Dashboard.jspa", header: as("svc-api"), status: 403, reason: "group_denied"},
		{name: "an application link", header: []string{"Authorization", signed}, status: 401},
	})
	seq := w.commit(append(allowing("automation"), &configv1.SiteAddressed{Site: "jira", BaseUrl: "https://jira.example.com"})...)
	gw.reached(t, seq)
	gw.runs(t, []try{
		{name: "other rules hold at once", header: as("alice"), status: 403, reason: "group_denied"},
		{name: "for whom they let in too", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"},
	})
	seq = w.commit(allowing()...)
	gw.reached(t, seq)
	gw.runs(t, []try{{name: "no group at all", header: as("alice"), status: 403, reason: "group_denied"}})
	seq = w.commit(&configv1.GroupRequirementSwitched{Site: "jira"})
	gw.reached(t, seq)
	gw.runs(t, []try{{name: "the rule is off", header: as("svc-api"), status: 200, user: "svc-api"}})
	for r := range w.audited() {
		if r.GetReason() == "group_denied" && len(r.GetGroups()) > 0 {
			t.Errorf("a stranger's record names groups: %v", r)
		}
		if r.GetUser() == "alice" && r.GetReason() == "allowed" {
			if !slices.Equal(r.GetGroups(), []string{"Developers"}) {
				t.Errorf("alice's record names the groups %q", r.GetGroups())
			}
			break
		}
	}
}

// TestRow12ReadOnly: a member of a read-only group reads, by the product's own lists.
func TestRow12ReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.SetGroups("svc-api", "read-only")
	gw := w.started(w.directory(time.Hour, readOnly("READ-only"))...)
	token, bob := []string{"Authorization", "Bearer " + w.token()}, as("bob")
	denied := func(name, method, path string, more ...string) try {
		return try{name: name, method: method, path: path, header: append(slices.Clone(bob), more...), status: 403, reason: "read_only"}
	}
	reads := func(name, method, path string, status int, more ...string) try {
		return try{name: name, method: method, path: path, header: append(slices.Clone(bob), more...), status: status}
	}
	gw.runs(t, []try{
		reads("GET", "GET", echo, 200), reads("HEAD", "HEAD", "/rest/api/2/serverInfo", 200), reads("OPTIONS", "OPTIONS", echo, 200),
		denied("POST", "POST", echo), denied("PUT", "PUT", echo), denied("DELETE", "DELETE", echo), denied("PATCH", "PATCH", echo), denied("another method", "PROPFIND", echo),
		{name: "by a token", method: "POST", header: token, status: 403, reason: "read_only"},
		{name: "reading by a token", header: token, status: 200, user: "svc-api"},
		reads("a POST that reads", "POST", "/rest/api/2/search", 400, "X-Atlassian-Token", "no-check"), reads("its latest version", "POST", "/rest/api/latest/search", 400, "X-Atlassian-Token", "no-check"),
		denied("almost one", "POST", "/rest/api/2/search/"), denied("with an extension", "POST", "/rest/api/2/search.json"),
		denied("of another version", "POST", "/rest/api/2.0/search"), denied("below one", "POST", "/rest/api/2/search/x"),
		denied("by another method", "PUT", "/rest/api/2/search"),
		denied("a parameter that makes it another method", "POST", "/rest/api/2/search?_method=DELETE"),
		denied("the same, escaped", "POST", "/rest/api/2/search?%5Fmethod=DELETE"),
		denied("a header that says it reads", "POST", "/rest/api/2/issue", "X-HTTP-Method-Override", "GET"),
		reads("a header that says it does not, which the node never sees", "POST", "/rest/api/2/search", 400, "X-Atlassian-Token", "no-check", "X-HTTP-Method-Override", "DELETE"),
		denied("a GET that changes", "GET", "/rest/api/2/email-templates"), denied("its HEAD", "HEAD", "/rest/api/latest/email-templates/"),
		denied("by another name", "GET", "/s/x/_/rest/api/2/email-templates.json"),
		reads("an issue", "GET", "/rest/api/2/issue/LAB-1", 200), reads("without a mark", "GET", "/rest/api/2/issue/LAB-1?updateHistory=false", 200),
		denied("with a mark", "GET", "/rest/api/2/issue/LAB-1?updateHistory=true"), denied("with two", "GET", "/rest/api/latest/issue/LAB-1?updateHistory=false&update%48istory=true"),
		denied("a page takes orders by GET", "GET", "/secure/DeleteIssue.jspa?id=1&confirm=true"), denied("behind a slash", "GET", "/secure/DeleteIssue.jspa/x"),
		reads("a file of a page", "GET", "/secure/attachment/zeros/10", 200), reads("nearly a page", "GET", "/rest/lab/1/echo/x.jspax", 200),
		denied("a websocket", "GET", "/rest/lab/1/websocket", "Connection", "Upgrade", "Upgrade", "websocket"),
		{name: "who is in no such group", method: "POST", header: as("alice"), status: 200, user: "alice"},
	})
	for r := range w.audited() {
		if r.GetReason() != "read_only" {
			continue
		}
		if r.GetAccess() != "WRITE" || !slices.Equal(r.GetGroups(), []string{"READ-only"}) || r.GetDetail() != `member of "READ-only"` {
			t.Errorf("record %v", r)
		}
		break
	}
}

// TestRow12TheDirectory: who is not there is not let in, and its last word holds until max_age.
func TestRow12TheDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const maxAge = 2 * time.Second
	gw := w.started(w.directory(maxAge, readOnly("read-only"))...)
	gw.runs(t, []try{
		{name: "known", header: as("bob"), status: 200, user: "bob"},
		{name: "a token's account", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"},
	})
	w.lab.Jira.SetFault("/rest/api/2/user", lab.Status500())
	began := time.Now()
	testkit.Until(t, "three quarters of the time", func() bool {
		gw.runs(t, []try{{name: "the last word", method: "POST", header: as("bob"), status: 403, reason: "read_only"}})
		return time.Since(began) > maxAge*3/4
	})
	testkit.Until(t, "the last word to end", func() bool {
		resp, body := do(t, request(t, http.MethodGet, gw.url+echo, nil, as("bob")...))
		if resp.StatusCode == http.StatusServiceUnavailable {
			if resp.Header.Get("X-Gatehouse-Reason") != "directory_unavailable" || resp.Header.Get("Retry-After") == "" {
				t.Fatalf("%v %s", resp.Header, body)
			}
			return true
		}
		if time.Since(began) > maxAge+time.Second {
			t.Fatalf("it holds %v later", time.Since(began))
		}
		return false
	})
	w.lab.Jira.SetFault("/rest/api/2/user", lab.Fault{})
	w.lab.Jira.SetActive("svc-api", false)
	testkit.Until(t, "the directory to be asked again", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, as("bob")...))
		return resp.StatusCode == http.StatusOK
	})
	testkit.Until(t, "an account that is no longer active to be refused", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, "Authorization", "Bearer "+w.token()))
		return resp.Header.Get("X-Gatehouse-Reason") == "user_unknown"
	})
}

// TestRow12WithIntrospectionAway: what is known of a user holds at the gateway itself.
func TestRow12WithIntrospectionAway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	gw := w.started(w.directory(2*time.Second, readOnly("read-only"))...)
	gw.runs(t, []try{{name: "known", header: as("bob"), status: 200, user: "bob"}})
	w.stopIntrospection()
	began := time.Now()
	testkit.Until(t, "half of the time", func() bool {
		gw.runs(t, []try{{name: "the last word", method: "POST", header: as("bob"), status: 403, reason: "read_only"}})
		return time.Since(began) > time.Second
	})
	testkit.Until(t, "it to end", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, as("bob")...))
		return resp.Header.Get("X-Gatehouse-Reason") == "directory_unavailable"
	})
}

// TestRow12ObserveMode: neither a group nor a directory that is away refuses anybody.
func TestRow12ObserveMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(append(w.directory(time.Hour, append(allowing("developers"), readOnly("read-only"))...), &configv1.ModeSet{Site: "jira", Mode: "observe"})...)
	gw.runs(t, []try{
		{name: "a member", method: "POST", header: as("alice"), status: 200, user: "alice"},
		{name: "read-only", method: "POST", header: as("bob"), status: 200, user: "bob"},
		{name: "no member", header: as("carol"), status: 200, user: "carol"},
	})
	w.lab.Jira.SetFault("/rest/api/2/user", lab.Status500())
	gw.runs(t, []try{{name: "nobody knows", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"}})
	want := map[string]string{"alice": "", "bob": "read_only", "carol": "group_denied", "svc-api": "directory_unavailable"}
	for r := range w.audited() {
		noted, ok := want[r.GetUser()]
		if !ok {
			continue
		}
		if r.GetObserved() != noted || r.GetReason() != "allowed" || (r.GetDecision() == "allow") != (noted == "") {
			t.Errorf("%s: %v", r.GetUser(), r)
		}
		if delete(want, r.GetUser()); len(want) == 0 {
			break
		}
	}
}

// TestRow12Sessions: with sessions.groups the rules bind people in the browser too, whose session the product is asked about.
func TestRow12Sessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.SetSessionAffinity(true)
	gw := w.started(w.directory(time.Hour, append(allowing("developers"), readOnly("read-only"))...)...)
	alice, bob, carol := gw.person(t), gw.person(t), gw.person(t)
	alice.login("alice")
	bob.login("bob")
	carol.login("carol")
	post := func(p *person, path string) (int, string, string) {
		resp, body := p.do(request(t, http.MethodPost, gw.url+path, strings.NewReader("{}"), "Content-Type", "application/json", "Origin", gw.url))
		return resp.StatusCode, resp.Header.Get("X-Gatehouse-Reason"), body
	}
	if status, _, body := post(bob, echo); status != 200 || decode(t, body).User != "bob" {
		t.Errorf("not bound: %d %s", status, body)
	}
	seq := w.commit(&configv1.SessionRulesSet{Site: "jira", Groups: true})
	gw.reached(t, seq)
	if status, _, body := post(alice, echo); status != 200 || decode(t, body).User != "alice" {
		t.Errorf("a member: %d %s", status, body)
	}
	if status, reason, _ := post(bob, echo); status != 403 || reason != "read_only" {
		t.Errorf("read-only: %d %s", status, reason)
	}
	if status, reason, _ := post(bob, "/rest/issueNav/1/issueTable"); status != 404 || reason != "" {
		t.Errorf("what a page asks for: %d %s", status, reason)
	}
	if resp, body := bob.get(echo); resp.StatusCode != 200 || decode(t, body).User != "bob" {
		t.Errorf("reading: %s %s", resp.Status, body)
	}
	if resp, _ := carol.get(echo); resp.Header.Get("X-Gatehouse-Reason") != "group_denied" {
		t.Errorf("no member: %s", resp.Status)
	}
	if resp, _ := carol.get("/secure/Dashboard.jspa"); resp.StatusCode != 200 {
		t.Errorf("a page: %s", resp.Status)
	}
	gw.runs(t, []try{{name: "a session nobody knows is nobody", header: []string{"Cookie", "JSESSIONID=1"}, status: 200, user: nobody, check: func(t *testing.T, e echoed) {
		if e.Header["Cookie"] != nil {
			t.Errorf("the node saw %q", e.Header["Cookie"])
		}
	}}})
}

// TestRow12ManyAtOnce: a user nobody knows yet is asked about once.
func TestRow12ManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.directory(time.Hour, readOnly("read-only"))...)
	w.lab.Jira.SetFault("/rest/api/2/user", lab.Slow(100*time.Millisecond))
	before, token := w.lab.Jira.Count("carol"), "Bearer "+w.token()
	done := make(chan int, 50)
	for range 50 {
		r := request(t, http.MethodGet, gw.url+echo, nil, "Authorization", token)
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				done <- 0
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			done <- resp.StatusCode
		}()
	}
	for range 50 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if n := w.lab.Jira.Count("carol") - before; n != 1 {
		t.Errorf("the directory was asked %d times", n)
	}
}
