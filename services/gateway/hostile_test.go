package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// hostile is a message nobody means well with. {…} stands for what the lab gives; see world.fill.
type hostile struct {
	name    string
	message string
	// may is what a node may see of it beside what nobody minds: a page, or a log-in path, as nobody.
	may func(lab.Request) bool
}

// closed is a site with everything closed that can be: all APIs want a credential, of OAuth and PATs only; callers are
// developers, some of whom only read; sessions are bound too.
func (w *world) closed(change func(*gateway.Settings)) *running {
	facts := append(w.site(), w.directory(time.Hour, append(allowing("developers"), readOnly("read-only"))...)...)
	seq := w.commit(append(
		facts,
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/**"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rpc/**"},
		&configv1.PublicApiRestricted{Site: "jira", Pattern: "/plugins/servlet/**"},
		&configv1.MethodsSet{Site: "jira", Oauth: true, Pat: true},
		&configv1.SessionRulesSet{Site: "jira", Ip: true, Groups: true},
	)...)
	gw := w.gateway("", change)
	gw.reached(w.t, seq)
	return gw
}

// TestHostileRequests sends every message of the corpus to a site with everything closed. Whatever becomes of it, it is
// answered or closed, no node sees an API call of it or takes it for anybody's, and the gateway goes on.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	gw := w.closed(func(s *gateway.Settings) { s.BodyTimeout = time.Second })
	corpus := slices.Concat(hostilePaths(), hostileCredentials(), hostileSessions(), hostileMethods(), hostileFields(), hostileFraming())
	if len(corpus) < 300 {
		t.Errorf("%d messages", len(corpus))
	}
	t.Logf("%d messages", len(corpus))
	w.attack(gw, corpus)
}

// TestHostileAddresses: nobody comes from an allowed address by saying so.
func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(
		&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true},
		&configv1.IpRangeAllowed{Site: "jira", Range: "192.0.2.0/24"},
		&configv1.ReverseProxySet{Site: "jira", Header: "X-Forwarded-For", TrustedProxies: []string{"10.0.0.0/8"}},
		&configv1.SessionRulesSet{Site: "jira", Ip: true},
	)
	var corpus []hostile
	for _, name := range []string{
		"X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP",
		"X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "X-Forwarded", "Forwarded-For", "Via", "Client-IP", "X-ProxyUser-Ip", "Fastly-Client-IP", "X-Azure-ClientIP",
	} {
		for _, value := range []string{"192.0.2.9", "for=192.0.2.9", "192.0.2.9, 127.0.0.1", "127.0.0.1, 192.0.2.9", "192.0.2.9, 10.0.0.1", "::ffff:192.0.2.9"} {
			for _, with := range []string{"Authorization: Bearer {pat alice}", "Cookie: {session alice}"} {
				corpus = append(corpus, hostile{name: name + ": " + value, message: get("/rest/api/2/myself", name+": "+value, with)})
			}
		}
	}
	corpus = append(corpus, hostile{name: "the PROXY protocol", message: "PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n" + get("/rest/api/2/myself", "Authorization: Bearer {pat alice}")})
	w.attack(gw, corpus)
}

// attack sends messages and looks at what the nodes saw of them.
func (w *world) attack(gw *running, corpus []hostile) {
	w.t.Helper()
	var waiting []*sent
	for _, h := range corpus {
		began := time.Now()
		s := w.send(gw, h)
		for _, r := range w.seen(began) {
			if !harmless(r) && (h.may == nil || !h.may(r)) {
				w.t.Errorf("%s: a node saw %s %s as %q\n%q\nanswered %.200q", h.name, r.Method, r.RequestURI, r.User, h.message, s.reply.String())
			}
		}
		if !s.done {
			waiting = append(waiting, s)
		}
	}
	began := time.Now()
	for _, s := range waiting { // what waits for more of a message does so for a while only
		if s.read(15 * time.Second); !s.done {
			w.t.Errorf("%s: neither answered nor closed: %q", s.name, s.message)
		}
	}
	for _, r := range w.seen(began) {
		w.t.Errorf("a node saw %s %s as %q of what was not whole", r.Method, r.RequestURI, r.User)
	}
	w.t.Logf("%d messages were waited for", len(waiting))
	resp, body := do(w.t, request(w.t, http.MethodGet, gw.url+"/secure/Dashboard.jspa", nil))
	if resp.StatusCode != http.StatusOK {
		w.t.Errorf("the gateway is not well: %s %s", resp.Status, body)
	}
}

// sent is a message under way.
type sent struct {
	hostile
	conn  net.Conn
	reply bytes.Buffer
	done  bool // answered, or closed
}

// send sends a message and waits a little for what comes back.
func (w *world) send(gw *running, h hostile) *sent {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(gw.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	s := &sent{hostile: h, conn: conn}
	text := w.fill(h.message)
	go func() { _, _ = io.WriteString(conn, text) }() // it may be closed halfway
	s.read(400 * time.Millisecond)
	return s
}

// read reads until the connection is closed, or nothing more comes of an answer.
func (s *sent) read(patience time.Duration) {
	buf := make([]byte, 64<<10)
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(patience))
		n, err := s.conn.Read(buf)
		s.reply.Write(buf[:n])
		if n > 0 && !strings.HasPrefix(s.reply.String(), "HTTP/1.1 100 ") {
			s.done, patience = true, 20*time.Millisecond // a second answer would come now
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			s.done = true
		}
		if s.done {
			_ = s.conn.Close()
		}
		return
	}
}

// seen gives what the nodes saw since, but for what introspection asks them.
func (w *world) seen(since time.Time) []lab.Request {
	var all []lab.Request
	for _, n := range w.lab.Jira.Nodes() {
		for _, r := range n.Requests() {
			if r.At.After(since) && !strings.HasPrefix(r.Header.Get("User-Agent"), "gatehouse-introspection") && !strings.HasPrefix(r.RequestURI, "/login.jsp") {
				all = append(all, r)
			}
		}
	}
	return all
}

// harmless tells whether nobody minds that a node sees a call: it is nobody's, and of no API.
func harmless(r lab.Request) bool {
	api := strings.HasPrefix(r.Path, "/rest/") || strings.HasPrefix(r.Path, "/rpc/") || strings.HasPrefix(r.Path, "/plugins/servlet/")
	login := r.Path == "/rest/auth/1/session" || r.Path == "/rest/tsv/1.0/authenticate" || r.Path == "/rest/auth/latest/session"
	return r.User == "" && (!api || login)
}

// reading lets a node see a user's call that only reads.
func reading(user string) func(lab.Request) bool {
	return func(r lab.Request) bool {
		return r.User == user && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost && r.Path == "/rest/api/2/search") &&
			r.Header.Get("X-Http-Method-Override") == ""
	}
}

// unserved lets a node see a signed call, which it does not serve.
func unserved(r lab.Request) bool {
	return r.User == "" && strings.HasPrefix(r.Header.Get("Authorization"), "OAuth oauth_consumer_key=") && strings.Contains(r.Header.Get("Authorization"), "oauth_nonce") && r.Header.Get("Cookie") == ""
}

func get(target string, fields ...string) string { return message("GET", target, "", fields...) }

func message(method, target, body string, fields ...string) string {
	head := method + " " + target + " HTTP/1.1\r\nHost: jira.example.com\r\nConnection: close\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	if body != "" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return head + "\r\n" + body
}

// hostilePaths are ways to write a restricted path.
func hostilePaths() (all []hostile) {
	for _, target := range []string{
		"/rest/api/2/serverInfo", "/rest/api/2/serverInfo/", "/rest/api/2/serverInfo//", "/rest/api/2/serverInfo/.", "/rest/api/2/serverInfo/x/..", "/rest/api/2/serverInfo.json",
		"/rest/api/2/serverInfo.xml", "/rest/api/2/serverInfo.JSON", "/rest/api/2/serverInfo;x", "/rest/api/2/serverInfo;jsessionid=1", "/rest/api/2/serverInfo;a=b;c=d",
		"/rest/api/2/serverInfo%20", "/rest/api/2/serverInfo%09", "/rest/api/2/serverInfo%0d%0a", "/rest/api/2/serverInfo%00", "/rest/api/2/serverInfo%00.css", "/rest/api/2/serverInfo?", "/rest/api/2/serverInfo?x=/secure/",
		"/rest/api/2/serverInfo#x", "/rest/api/2/serverInfo%23x", "/rest/api/2/serverInfo%3f", "/rest/api/latest/serverInfo", "/rest/api/LATEST/serverInfo", "/rest/api/2.0/serverInfo", "/rest/api/2.0.alpha1/serverInfo", "/rest/api/02/serverInfo",
		"/REST/api/2/serverInfo", "/Rest/api/2/serverInfo", "/rest/API/2/serverInfo", "/rest/api/2/SERVERINFO", "/rest/api/2/serverinfo",
		"//rest/api/2/serverInfo", "///rest/api/2/serverInfo", "/.//rest/api/2/serverInfo", "/./rest/api/2/serverInfo", "/%2e/rest/api/2/serverInfo", "/%2E%2E/rest/api/2/serverInfo", "/../rest/api/2/serverInfo", "/..;/rest/api/2/serverInfo", "/.;/rest/api/2/serverInfo",
		"/;/rest/api/2/serverInfo", "/;x=y/rest/api/2/serverInfo", "/x/../rest/api/2/serverInfo", "/x/%2e%2e/rest/api/2/serverInfo", "/x/.%2e/rest/api/2/serverInfo", "/x/%2e./rest/api/2/serverInfo", "/x/..%2frest/api/2/serverInfo", "/x/..%5crest/api/2/serverInfo",
		"/x/..;/rest/api/2/serverInfo", "/x/..;a=b/rest/api/2/serverInfo", "/x/%2e%2e;/rest/api/2/serverInfo", "/x/..%3b/rest/api/2/serverInfo", "/x/%252e%252e/rest/api/2/serverInfo", "/x/%c0%ae%c0%ae/rest/api/2/serverInfo", "/x/%e0%80%ae%e0%80%ae/rest/api/2/serverInfo",
		"/secure/../rest/api/2/serverInfo", "/secure/Dashboard.jspa/../../rest/api/2/serverInfo", "/login.jsp/../rest/api/2/serverInfo", "/login.jsp;/../rest/api/2/serverInfo", "/rest/auth/1/session/../../../api/2/serverInfo", "/rest/auth/1/session;/../../../api/2/serverInfo",
		"/rest%2fapi/2/serverInfo", "/rest%2Fapi/2/serverInfo", "/rest%252fapi/2/serverInfo", "/rest%5capi/2/serverInfo", `/rest\api\2\serverInfo`, `\rest/api/2/serverInfo`, "/rest%c0%afapi/2/serverInfo", "/rest%e2%88%95api/2/serverInfo", "/rest%ef%bc%8fapi/2/serverInfo", "/rest%u002fapi/2/serverInfo",
		"/%72est/api/2/serverInfo", "/%72%65%73%74/api/2/serverInfo", "/%52est/api/2/serverInfo", "/r%65st/%61pi/2/serverInfo", "/%2572est/api/2/serverInfo", "/%25%37%32est/api/2/serverInfo", "/%u0072est/api/2/serverInfo", "/rest/api/%32/serverInfo", "/rest/api/2/server%49nfo",
		"/rest;/api/2/serverInfo", "/rest;a/api;b/2;c/serverInfo;d", "/rest/;/api/2/serverInfo", "/rest//api//2//serverInfo", "/rest/./api/./2/./serverInfo", "/rest/x/../api/2/serverInfo", "/rest/api/2/x/../serverInfo", "/rest/api/2/../2/serverInfo", "/rest/api/../api/2/serverInfo",
		"/s/x/_/rest/api/2/serverInfo", "/s/x/y/z/_/rest/api/2/serverInfo", "/s/_/_/rest/api/2/serverInfo", "/s/x/_/_/rest/api/2/serverInfo", "/s//_/rest/api/2/serverInfo", "/s/x/%5f/rest/api/2/serverInfo", "/s/x/_;a/rest/api/2/serverInfo", "/s/x/_//rest/api/2/serverInfo", "/s/x/_/s/y/_/rest/api/2/serverInfo", "/%73/x/_/rest/api/2/serverInfo", "/s;a/x/_/rest/api/2/serverInfo", "/x/../s/x/_/rest/api/2/serverInfo",
		"http://jira.example.com/rest/api/2/serverInfo", "HTTP://JIRA.example.com/rest/api/2/serverInfo", "https://jira.example.com/rest/api/2/serverInfo", "http://x@jira.example.com/rest/api/2/serverInfo", "http:/rest/api/2/serverInfo", "http:///rest/api/2/serverInfo", "file:///rest/api/2/serverInfo", "jira.example.com/rest/api/2/serverInfo", "*", "rest/api/2/serverInfo", "?/rest/api/2/serverInfo", "/?/../rest/api/2/serverInfo",
		"/rest/api/2/serverInfo\t", "/rest/api/2/serverInfo HTTP/1.1\tx", "/rest/api/2/\u200bserverInfo", "/rest/api/2/serverInfo\xff", "/rest/api/2/serverInfo\x00", "/rest/api/2/serverInfo\x7f", "/rest/<api>/2/serverInfo", "/rest/{api}/2/serverInfo", "/rest/api/2/serverInfo|x", "/rest/api/2/serverInfo`x", "/rest/api/2/serverInfo\"x", "/rest/api/2/[serverInfo]",
		"/rpc/soap/jirasoapservice-v2", "/rpc/json-rpc/confluenceservice-v2", "/plugins/servlet/oauth/users/access-tokens", "/plugins//servlet/streams", "/plugins/./servlet/x", "/plugins/servlet;x/y", "/%70lugins/servlet/x", "/plugins/x/../servlet/y",
	} {
		all = append(all, hostile{name: "path", message: get(target)})
	}
	return all
}

// hostileCredentials are ways to bring a password where none is taken, or to act as somebody.
func hostileCredentials() (all []hostile) {
	for _, path := range []string{"/rest/api/2/myself", "/secure/Dashboard.jspa", "/login.jsp", "/rest/auth/1/session", "/s/x/_/secure/Dashboard.jspa"} {
		for _, a := range []string{
			"Authorization: {basic alice}", "authorization: {basic alice}", "Authorization:{basic alice}", "Authorization:\t{basic alice}", "Authorization: {basic alice} ", "Proxy-Authorization: {basic alice}",
			"Authorization: Bearer x|Authorization: {basic alice}", "Authorization: {basic alice}|Authorization: Bearer x", "Authorization: Negotiate x, {basic alice}", "Authorization: BASIC YWxpY2U6YWxpY2UtcGFzc3dvcmQ=", "Authorization: basic\tYWxpY2U6YWxpY2UtcGFzc3dvcmQ=",
		} {
			all = append(all, hostile{name: "password", message: get(path, strings.Split(a, "|")...)})
		}
		for _, q := range []string{
			"os_username=alice&os_password=alice-password", "os%5Fusername=alice&os%5Fpassword=alice-password", "%6fs_username=alice&o%73_password=alice-password", "os_username=alice&os_username=bob&os_password=alice-password",
			"os_authType=basic&os_username=alice&os_password=alice-password", "x=1&&os_username=alice&=&os_password=alice-password", "os_password=alice-password&os_username=alice&os_cookie=true",
		} {
			all = append(all, hostile{name: "password in the query", message: get(path + "?" + q)})
		}
	}
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, body := range []string{"os_username=alice&os_password=alice-password", "%6fs_username=alice&os%5fpassword=alice-password", "a=b&os_password=alice-password&os_username=alice"} {
		for _, path := range []string{"/rest/api/2/myself", "/rest/api/2/search"} {
			all = append(all, hostile{name: "password in a form", message: message("POST", path, body, form)},
				hostile{name: "and a cookie", message: message("POST", path, body, form, "Cookie: JSESSIONID=1")},
				hostile{name: "of another charset", message: message("POST", path, body, form+"; charset=IBM037")})
		}
	}
	for _, who := range []string{
		"X-AUSERNAME: admin", "X-Forwarded-User: admin", "X-Remote-User: admin", "Remote-User: admin", "REMOTE_USER: admin", "X-Webauth-User: admin", "X-Auth-Request-User: admin", "X-Forwarded-Email: a@b", "X-Forwarded-Groups: admins", "X-Seraph-Trusted-App-ID: x", "X-Seraph-Trusted-App-Cert: x", "X_Forwarded_User: admin", "X_AUSERNAME: admin", "X-Gatehouse-User: admin", "X-Gatehouse-Request-Id: 1", "X-Original-URL: /rest/api/2/myself", "X-Rewrite-URL: /rest/api/2/myself", "X-Forwarded-Host: evil", "X-Forwarded-Prefix: /rest", "X-Atlassian-Token: no-check",
	} {
		all = append(all, hostile{name: "identity by a field", message: get("/rest/api/2/myself", who)}, hostile{name: "identity by a field on a page", message: get("/secure/Dashboard.jspa", who)})
	}
	for _, q := range []string{
		"oauth_consumer_key=x&oauth_token=&oauth_signature_method=RSA-SHA1&oauth_signature=x&oauth_timestamp=1&oauth_nonce=1&xoauth_requestor_id=admin", "oauth_signature=x", "xoauth_requestor_id=admin", "user_id=admin", "access_token={token}", "token={pat alice}", "jwt=x", "oauth%5Fsignature=x",
	} {
		all = append(all, hostile{name: "identity in the query", message: get("/rest/api/2/myself?" + q)})
	}
	for _, a := range []string{`OAuth oauth_consumer_key="x", oauth_token="", oauth_signature="x"`, "Bearer", "Bearer ", "Bearer  {pat alice}", "Bearer {pat alice},{pat bob}", "Bearer {pat alice} x", "Token {pat alice}", "ght_x", "Bearer ght_x", "JWT x", "Negotiate x", "NTLM x", "Digest username=alice", "AWS4-HMAC-SHA256 x", "Basic", "Basic Og==", "Basic {pat alice}"} {
		all = append(all, hostile{name: "scheme", message: get("/rest/api/2/myself", "Authorization: "+a), may: reading("alice")}) // who may read
	}
	return all
}

// hostileSessions pretend a browser session, or have one of somebody who may not.
func hostileSessions() (all []hostile) {
	const referer, origin = "Referer: https://jira.example.com/secure/Dashboard.jspa", "Origin: https://jira.example.com"
	for _, cookie := range []string{
		"JSESSIONID=0123456789ABCDEF0123456789ABCDEF", "JSESSIONID=", "JSESSIONID", "JSESSIONID=1; JSESSIONID=2", `JSESSIONID="1"`, "$Version=1; JSESSIONID=1; $Path=/", "jsessionid=1", "seraph.rememberme.cookie=1%3Ax", "seraph.confluence=1", "crowd.token_key=x", "atlassian.xsrf.token=x; JSESSIONID=1",
		"a=b; JSESSIONID=1", "JSESSIONID=1;GATEHOUSE_NODE=n1", "GATEHOUSE_NODE=n99; JSESSIONID=1", "GATEHOUSE_NODE=../../etc; JSESSIONID=1", "JSESSIONID=1\x00", "JSESSIONID=1,JSESSIONID=2", strings.Repeat("JSESSIONID=1; ", 500),
	} {
		all = append(all, hostile{name: "cookie", message: get("/rest/api/2/myself", "Cookie: "+cookie)},
			hostile{name: "cookie, Referer and Origin", message: get("/rest/api/2/myself", "Cookie: "+cookie, referer, origin, "User-Agent: Mozilla/5.0")})
	}
	for _, user := range []string{"svc-api", "carol"} { // no developers
		for _, path := range []string{"/rest/api/2/myself", "/rest/api/2/search", "/rest//api/2/myself", "/plugins/servlet/x", "/s/x/_/rest/api/2/myself"} {
			all = append(all, hostile{name: "a scripted log-in of who may not call", message: get(path, "Cookie: {session "+user+"}")},
				hostile{name: "in a browser's clothes", message: get(path, "Cookie: {session "+user+"}", referer, origin, "User-Agent: Mozilla/5.0")})
		}
	}
	for _, field := range []string{"X-A: b", "X-HTTP-Method-Override: GET", origin, "Content-Type: application/json"} {
		all = append(all, hostile{name: "a scripted log-in of who only reads", message: message("POST", "/rest/api/2/issue", "{}", "Cookie: {session bob}", field)},
			hostile{name: "a DELETE of his", message: message("DELETE", "/rest/api/2/issue/LAB-1", "", "Cookie: {session bob}", field)})
	}
	return append(all,
		hostile{name: "Referer and Origin", message: get("/rest/api/2/myself", referer, origin)},
		hostile{name: "and the XSRF token", message: get("/rest/api/2/myself", referer, origin, "Cookie: atlassian.xsrf.token=x")},
		hostile{name: "a session in the path", message: get("/rest/api/2/myself;jsessionid=1")},
		hostile{name: "and a cookie", message: get("/rest/api/2/myself;jsessionid=1", "Cookie: JSESSIONID=2")},
		hostile{name: "two Cookie fields", message: get("/rest/api/2/myself", "Cookie: a=b", "Cookie: JSESSIONID=1")},
		hostile{name: "Cookie2", message: get("/rest/api/2/myself", "Cookie2: JSESSIONID=1")},
	)
}

// hostileMethods are writes by somebody who only reads.
func hostileMethods() (all []hostile) {
	const bob = "Authorization: Bearer {pat bob}"
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "post", "Put", "PURGE", "MKCOL", "PROPFIND", "COPY", "LOCK", "TRACE", "TRACK", "DEBUG", "GETX", "HEAD2"} {
		all = append(all, hostile{name: "method", message: message(method, "/rest/api/2/issue/LAB-1", "", bob), may: reading("bob")})
	}
	for _, field := range []string{"X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X_HTTP_Method_Override: GET", "X-Atlassian-Token: no-check", "X-Http-Method-Override: get|X-Http-Method-Override: POST"} {
		for _, target := range []string{"/rest/api/2/issue", "/rest/api/2/search/", "/rest/api/2/search;x/y", "/rest/api/2/issue?_method=GET", "/rest/api/2/search?_method=PUT", "/rest/api/2/searchx"} {
			all = append(all, hostile{name: "override", message: message("POST", target, "{}", append(strings.Split(field, "|"), bob)...), may: reading("bob")})
		}
		all = append(all, hostile{name: "a read that would be none", message: message("POST", "/rest/api/2/search", "{}", strings.ReplaceAll(strings.Split(field, "|")[0], "GET", "DELETE"), bob), may: reading("bob")},
			hostile{name: "a GET that would be none", message: message("GET", "/rest/api/2/issue/LAB-1", "", strings.ReplaceAll(strings.Split(field, "|")[0], "GET", "DELETE"), bob), may: reading("bob")})
	}
	for _, target := range []string{"/secure/DeleteIssue.jspa?id=1", "/secure/x/../DeleteIssue.jspa", "/secure/DeleteIssue.jspa;x", "/secure/DeleteIssue%2Ejspa", "/secure/DeleteIssue.jspa/", "/s/x/_/secure/DeleteIssue.jspa", "/rest/api/2/email-templates", "/rest/api/2/issue/LAB-1?updateHistory=true"} {
		all = append(all, hostile{name: "a GET that changes", message: get(target, bob)})
	}
	return all
}

// hostileFields are heads that one reader takes for another thing than the next.
func hostileFields() (all []hostile) {
	for _, head := range []string{
		"Host: a\r\nHost: jira.example.com\r\n", "Host: jira.example.com\r\nHost: a\r\n", "Host: a, b\r\n", "Host: jira.example.com/rest\r\n", "Host: jira.example.com:80:80\r\n", "Host: \r\n", "Host : jira.example.com\r\n", "", "Host: [::1\r\n", "Host: jira.example.com\x00\r\n",
		"Host: jira.example.com\r\nX-A: b\r\n continued\r\n", "Host: jira.example.com\r\nAuthorization: Bearer\r\n {pat alice}\r\n", "Host: jira.example.com\r\n X-A: b\r\n", "Host: jira.example.com\r\nX A: b\r\n", "Host: jira.example.com\r\nX-A : b\r\n", "Host: jira.example.com\r\n: b\r\n", "Host: jira.example.com\r\nX-A\r\n", "Host: jira.example.com\r\nX-\x00: b\r\n", "Host: jira.example.com\r\nX-A: b\x00c\r\n", "Host: jira.example.com\r\nX-A: b\rc\r\n", "Host: jira.example.com\nX-A: b\n", "Host: jira.example.com\r\nX-(A): b\r\n", "Host: jira.example.com\r\nX-\xff: b\r\n",
		"Host: jira.example.com\r\nX-A: " + strings.Repeat("a", 200<<10) + "\r\n", "Host: jira.example.com\r\n" + strings.Repeat("X-A: b\r\n", 20_000), "Host: jira.example.com\r\n" + strings.Repeat("a", 200<<10) + ": b\r\n",
		"Host: jira.example.com\r\nConnection: Authorization, X-AUSERNAME, close\r\nX-AUSERNAME: admin\r\n", "Host: jira.example.com\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n", "Host: jira.example.com\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n", "Host: jira.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "Host: jira.example.com\r\nExpect: 200-ok\r\n", "Host: jira.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n",
	} {
		all = append(all, hostile{name: "head", message: "GET /rest/api/2/myself HTTP/1.1\r\n" + head + "\r\n", may: reading("alice")}) // whose field is folded
	}
	for _, line := range []string{"GET /rest/api/2/myself", "GET /rest/api/2/myself HTTP/0.9", "GET /rest/api/2/myself HTTP/1.0", "GET /rest/api/2/myself HTTP/1.2", "GET /rest/api/2/myself HTTP/2.0", "GET /rest/api/2/myself HTTP/3", "GET  /rest/api/2/myself HTTP/1.1", "GET\t/rest/api/2/myself\tHTTP/1.1", " GET /rest/api/2/myself HTTP/1.1", "GET /rest/api/2/myself HTTP/1.1 x", "GET /rest/api/2/myself http/1.1", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PRI * HTTP/2.0", "G\x00T /rest/api/2/myself HTTP/1.1", "GET /" + strings.Repeat("a/", 100<<10) + " HTTP/1.1", "\r\n\r\nGET /rest/api/2/myself HTTP/1.1"} {
		all = append(all, hostile{name: "line", message: line + "\r\nHost: jira.example.com\r\n\r\n"})
	}
	return all
}

// hostileFraming hides a second message in the body of a first: what the gateway takes for one, the node must.
func hostileFraming() (all []hostile) {
	const smuggled = "GET /rest/api/2/myself HTTP/1.1\r\nHost: jira.example.com\r\nAuthorization: {basic alice}\r\n\r\n"
	for _, head := range []string{
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Content-Length: 0\r\nContent-Length: 150\r\n", "Content-Length: 150\r\nContent-Length: 0\r\n", "Content-Length: 0, 150\r\n", "Content-Length: 0,0\r\n",
		"Content-Length: +5\r\n", "Content-Length: -1\r\n", "Content-Length: 0x10\r\n", "Content-Length: 5 \r\n", "Content-Length : 0\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: 1e1\r\n", "Content-Length:\r\n", "Content-Length: \x0b5\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunkedx\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: \x0bchunked\r\n", "Transfer-Encoding:\tchunked\r\n", "Transfer-Encoding: CHUNKED\r\n", "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding: chunked;a=b\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer_Encoding: chunked\r\n", "X: y\r\n Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n", "Transfer-Encoding: chunked\nX: y\r\n", "X: y\nTransfer-Encoding: chunked\r\n", "Foo: bar\r\n\rTransfer-Encoding: chunked\r\n", "Content-Length: 0\r\nConnection: Content-Length\r\n", "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
	} {
		for _, body := range []string{"0\r\n\r\n" + smuggled, smuggled, "5\r\nGET /\r\n0\r\n\r\n" + smuggled} {
			all = append(all, hostile{name: "framing", message: "POST /secure/Dashboard.jspa HTTP/1.1\r\nHost: jira.example.com\r\n" + head + "\r\n" + body})
		}
	}
	for _, chunks := range []string{
		"0\r\nX-AUSERNAME: admin\r\nAuthorization: {basic alice}\r\n\r\n", "1;" + strings.Repeat("a", 20<<10) + "\r\na\r\n0\r\n\r\n", "00000000000000001\r\na\r\n0\r\n\r\n", "ffffffffffffffff\r\na", "-1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n", "1\r\nab\r\n0\r\n\r\n", "1 \r\na\r\n0\r\n\r\n", "1\r\na0\r\n\r\n", "\r\n", "g\r\n", "1;a=\"\r\n0\r\n\r\n" + smuggled + "\"\r\na\r\n0\r\n\r\n", strings.Repeat("1;x=y\r\na\r\n", 5000) + "0\r\n\r\n",
	} {
		all = append(all, hostile{name: "chunks", message: "POST /secure/Dashboard.jspa HTTP/1.1\r\nHost: jira.example.com\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks})
	}
	return all
}

// TestSlowHeads are cut off, and do not keep others waiting.
func TestSlowHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started()
	var open []net.Conn
	for i := range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gw.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET /rest/lab/1/echo HTTP/1.1\r\nHost: jira.example.com\r\nX-"[:20+i%35])
		open = append(open, conn)
	}
	began := time.Now()
	gw.runs(t, []try{{name: "meanwhile", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"}})
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it waited %v", d)
	}
	testkit.Until(t, "the slow to be cut off", func() bool {
		_ = open[0].SetReadDeadline(time.Now().Add(time.Second))
		_, err := open[0].Read(make([]byte, 1))
		return err != nil && !strings.Contains(err.Error(), "timeout")
	})
}
