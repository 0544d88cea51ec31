package lab_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const captcha = "AUTHENTICATION_DENIED"

func TestPATs(t *testing.T) {
	t.Parallel()
	l := start(t)
	j := l.Jira
	pat := j.PAT("alice")
	shape := regexp.MustCompile(`^[MNO][A-Za-z0-9+/]{43}$`)
	if raw, err := base64.StdEncoding.DecodeString(pat); err != nil || len(raw) != 33 || raw[12] != ':' || !shape.MatchString(pat) {
		t.Errorf("%q has not the shape of a PAT: %v", pat, err)
	}
	if pat != start(t).Jira.PAT("alice") || pat == l.Confluence.PAT("alice") || pat == j.PAT("bob") {
		t.Error("a PAT is to be the same in every lab, and its own for product and user")
	}
	myself, public := jiraURL(l)+"/rest/api/2/myself", jiraURL(l)+"/rest/api/2/issue/OPEN-1"
	ok := get(t, myself, bearer(pat))
	ok.want(t, http.StatusOK, "X-AUSERNAME", "alice", "X-ANODEID", "n1", "X-Seraph-LoginReason", "OK", "Set-Cookie", "")
	if ok.Header.Get("X-AREQUESTID") == "" {
		t.Error("no X-AREQUESTID")
	}

	short := j.MintPAT("alice", -time.Second)
	for name, header := range map[string]string{
		"lower case": "bearer " + pat, "two spaces": "Bearer  " + pat, "more": "Bearer " + pat + " x",
		"unknown": "Bearer " + l.Confluence.PAT("alice"), "expired": "Bearer " + short,
		"inactive": "Bearer " + j.PAT("mallory"), "nonsense": "Bearer x", "digest": "Digest x",
	} {
		t.Run(name, func(t *testing.T) {
			get(t, public, head("Authorization", header)).want(t, http.StatusOK, "X-AUSERNAME", "anonymous")
			refused := get(t, myself, head("Authorization", header))
			refused.want(t, http.StatusUnauthorized, "X-AUSERNAME", "anonymous",
				"WWW-Authenticate", `OAuth realm="`+url.QueryEscape(jiraURL(l))+`"`)
			if want := `{"message":"Client must be authenticated to access this resource.","status-code":401}`; string(refused.body) != want {
				t.Errorf("body = %s", refused.body)
			}
		})
	}
	j.RevokePAT(pat)
	get(t, public, bearer(pat)).want(t, http.StatusOK, "X-AUSERNAME", "anonymous")
	j.RestorePAT(pat)
	get(t, public, bearer(pat)).want(t, http.StatusOK, "X-AUSERNAME", "alice")
}

func TestPasswordsAndCaptcha(t *testing.T) {
	t.Parallel()
	l := start(t)
	j, public := l.Jira, jiraURL(l)+"/rest/api/2/serverInfo"
	first := get(t, public, basic("alice", "alice-password"))
	first.want(t, http.StatusOK, "X-AUSERNAME", "alice", "X-Seraph-LoginReason", "OK")
	get(t, jiraURL(l)+"/rest/api/2/myself", head("Cookie", first.Header.Get("Set-Cookie"))).want(t, http.StatusOK, "X-AUSERNAME", "alice")

	wrong := func() reply { return get(t, public, basic("alice", "wrong")) }
	wrong().want(t, http.StatusUnauthorized, "X-Seraph-LoginReason", "AUTHENTICATED_FAILED", "X-AUSERNAME", "anonymous")
	wrong()
	get(t, public, basic("alice", "alice-password")).want(t, http.StatusOK) // not in a row any more
	for range 3 {
		wrong().want(t, http.StatusUnauthorized)
	}
	denied := get(t, public, basic("alice", "alice-password"))
	denied.want(t, http.StatusForbidden, "X-Seraph-LoginReason", captcha,
		"X-Authentication-Denied-Reason", "CAPTCHA_CHALLENGE; login-url="+jiraURL(l)+"/login.jsp")
	login := jiraURL(l) + "/rest/auth/1/session"
	do(t, http.MethodPost, login, `{"username":"alice","password":"alice-password"}`).want(t, http.StatusForbidden)
	get(t, public, bearer(j.PAT("alice"))).want(t, http.StatusOK, "X-AUSERNAME", "alice") // a token is not a password
	get(t, public, basic("bob", "bob-password")).want(t, http.StatusOK)

	j.ResetCaptcha("alice")
	get(t, public, basic("Alice", "alice-password")).want(t, http.StatusOK, "X-AUSERNAME", "alice")
	get(t, public, basic("mallory", "mallory-password")).want(t, http.StatusUnauthorized)
	get(t, public, basic("nobody", "x")).want(t, http.StatusUnauthorized)
	if a, m, u := j.PasswordAttempts("alice"), j.PasswordAttempts("mallory"), j.PasswordAttempts(""); a != 10 || m != 1 || u != 1 {
		t.Errorf("attempts: alice %d, mallory %d, unknown %d", a, m, u)
	}
	get(t, public+"?os_username=bob&os_password=bob-password").want(t, http.StatusOK, "X-AUSERNAME", "bob")
	get(t, public+"?os_username=bob&os_password=no").want(t, http.StatusUnauthorized)

	j.SetBasicDisabled(true)
	off := get(t, public, basic("bob", "bob-password"))
	off.want(t, http.StatusForbidden)
	if !strings.Contains(string(off.body), "Basic Authentication has been disabled on this instance.") {
		t.Errorf("body = %s", off.body)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	l := start(t)
	j, login := l.Jira, jiraURL(l)+"/rest/auth/1/session"
	get(t, login).want(t, http.StatusUnauthorized)
	do(t, http.MethodPost, login, `{"username":"alice","password":"no"}`).
		want(t, http.StatusUnauthorized, "X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
	in := do(t, http.MethodPost, login, `{"username":"alice","password":"alice-password"}`)
	in.want(t, http.StatusOK, "X-AUSERNAME", "alice")
	var body struct {
		Session struct{ Name, Value string } `json:"session"`
	}
	in.json(t, &body)
	cookie := head("Cookie", body.Session.Name+"="+body.Session.Value)
	if len(in.Cookies()) != 1 || in.Cookies()[0].Value != body.Session.Value || body.Session.Name != "JSESSIONID" {
		t.Errorf("cookies %v, body %s", in.Cookies(), in.body)
	}
	get(t, login, cookie).want(t, http.StatusOK, "X-AUSERNAME", "alice", "Set-Cookie", "")

	other := j.Nodes()[1].URL() + "/rest/api/2/myself"
	get(t, other, cookie).want(t, http.StatusOK, "X-ANODEID", "n2")
	j.SetSessionAffinity(true)
	get(t, other, cookie).want(t, http.StatusUnauthorized)
	j.SetSessionAffinity(false)

	// A bad token does not keep the cookie from counting; a good one comes first.
	get(t, other, cookie, bearer("x")).want(t, http.StatusOK, "X-AUSERNAME", "alice")
	get(t, other, cookie, bearer(j.PAT("bob"))).want(t, http.StatusOK, "X-AUSERNAME", "bob")
	if n := j.WhoAmICalls(); n != 6 {
		t.Errorf("who-am-I calls = %d, want 6", n)
	}

	do(t, http.MethodDelete, login, "", cookie).want(t, http.StatusNoContent)
	get(t, login, cookie).want(t, http.StatusUnauthorized)
}

func TestWebLogin(t *testing.T) {
	t.Parallel()
	l := start(t)
	for range 4 {
		get(t, jiraURL(l)+"/rest/api/2/myself", basic("alice", "wrong"))
	}
	form := url.Values{"os_username": {"alice"}, "os_password": {"alice-password"}, "os_destination": {"/browse/LAB-1"}}
	in := postForm(t, jiraURL(l)+"/login.jsp", form)
	in.want(t, http.StatusFound, "Location", jiraURL(l)+"/browse/LAB-1")
	get(t, jiraURL(l)+"/rest/api/2/myself", basic("alice", "alice-password")).want(t, http.StatusOK)

	page := get(t, jiraURL(l)+"/secure/Dashboard.jspa", head("Cookie", in.Header.Get("Set-Cookie")))
	page.want(t, http.StatusOK, "Content-Type", "text/html;charset=UTF-8", "X-AUSERNAME", "alice")
	if !strings.Contains(string(page.body), "Alice") {
		t.Errorf("page: %s", page.body)
	}
	form.Set("os_destination", "https://evil.example/")
	postForm(t, jiraURL(l)+"/login.jsp", form).want(t, http.StatusFound, "Location", jiraURL(l)+"/secure/Dashboard.jspa")
	get(t, jiraURL(l)+"/login.jsp").want(t, http.StatusOK)
	get(t, jiraURL(l)+"/").want(t, http.StatusFound)
	get(t, jiraURL(l)+"/nowhere").want(t, http.StatusNotFound)
}

func TestXSRF(t *testing.T) {
	t.Parallel()
	l := start(t)
	target, user := jiraURL(l)+"/rest/api/2/search", bearer(l.Jira.PAT("alice"))
	browser, foreign := head("User-Agent", "Mozilla/5.0 (X11) Firefox/140.0"), head("Origin", "https://evil.example")
	search := func(o ...option) reply {
		return do(t, http.MethodPost, target, `{"jql":""}`, append([]option{user}, o...)...)
	}
	refused := search(browser, foreign, head("X-Atlassian-Token", "no-check"))
	refused.want(t, http.StatusForbidden)
	if !strings.Contains(string(refused.body), "XSRF check failed") {
		t.Errorf("body = %s", refused.body)
	}
	search(browser).want(t, http.StatusForbidden)
	search(browser, head("Origin", jiraURL(l))).want(t, http.StatusOK)
	search(browser, head("Referer", jiraURL(l)+"/secure/Dashboard.jspa")).want(t, http.StatusOK)
	search(foreign).want(t, http.StatusOK) // not a browser
	search(head("Content-Type", "text/plain")).want(t, http.StatusForbidden)
	search(head("Content-Type", "text/plain"), head("X-Atlassian-Token", "no-check")).want(t, http.StatusOK)
}

func TestTokensOfOnesOwn(t *testing.T) {
	t.Parallel()
	l := start(t)
	target := jiraURL(l) + "/rest/pat/latest/tokens"
	get(t, target).want(t, http.StatusUnauthorized)
	user := basic("alice", "alice-password")
	made := do(t, http.MethodPost, target, `{"name":"ci","expirationDuration":90}`, user)
	made.want(t, http.StatusCreated)
	var token struct {
		ID       int    `json:"id"`
		Raw      string `json:"rawToken"`
		Expiring string `json:"expiringAt"`
	}
	made.json(t, &token)
	if when, err := time.Parse("2006-01-02T15:04:05.000-07:00", token.Expiring); err != nil || time.Until(when) < 89*24*time.Hour {
		t.Errorf("expiringAt %q: %v", token.Expiring, err)
	}
	myself := jiraURL(l) + "/rest/api/latest/myself/"
	get(t, myself, bearer(token.Raw)).want(t, http.StatusOK, "X-AUSERNAME", "alice")
	var list []map[string]any
	get(t, target, bearer(token.Raw)).json(t, &list)
	if len(list) != 2 || list[1]["name"] != "ci" || list[1]["rawToken"] != nil || list[1]["lastAccessedAt"] == nil {
		t.Errorf("list: %v", list)
	}
	for _, bad := range []string{`{"name":""}`, `{"name":"x","expirationDuration":366}`} {
		do(t, http.MethodPost, target, bad, user).want(t, http.StatusBadRequest)
	}
	for range 8 {
		do(t, http.MethodPost, target, `{"name":"more"}`, user).want(t, http.StatusCreated)
	}
	do(t, http.MethodPost, target, `{"name":"eleventh"}`, user).want(t, http.StatusForbidden)
	one := target + "/2"
	do(t, http.MethodDelete, one, "", user).want(t, http.StatusNoContent)
	get(t, target+"/6", user).want(t, http.StatusNotFound)
	do(t, http.MethodDelete, target+"/6", "", basic("bob", "bob-password")).want(t, http.StatusNotFound)
}
