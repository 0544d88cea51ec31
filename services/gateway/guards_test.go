package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// rawNode is a node that speaks HTTP by hand, so that it can behave as no library lets it.
type rawNode struct {
	url   string
	mu    sync.Mutex
	heads []string // request lines, in the order they came
	conns int
}

// startRawNode answers each request but /status with what answer gives for its line; after an empty answer, or a true
// second value, it closes the connection. Bodies are not read.
func startRawNode(t *testing.T, answer func(line string, nth int) (string, bool)) *rawNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &rawNode{url: "http://" + l.Addr().String()}
	var all sync.WaitGroup
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		n.mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		n.mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			open = append(open, c)
			n.mu.Unlock()
			all.Go(func() { n.serve(c, answer) })
		}
	})
	return n
}

func (n *rawNode) serve(c net.Conn, answer func(string, int) (string, bool)) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for nth := 1; ; nth++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for {
			field, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if field == "\r\n" {
				break
			}
		}
		line = strings.TrimSpace(line)
		if strings.Contains(line, " /status ") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 19\r\n\r\n{\"state\":\"RUNNING\"}")
			return
		}
		n.mu.Lock()
		n.heads = append(n.heads, line)
		if nth == 1 {
			n.conns++
		}
		n.mu.Unlock()
		reply, end := answer(line, nth)
		_, _ = io.WriteString(c, reply)
		if reply == "" || end {
			return
		}
	}
}

// seen gives the request lines, and on how many connections they came.
func (n *rawNode) seen() ([]string, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.heads...), n.conns
}

const empty200 = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func TestANodeThatWaitsForABodyGetsNoOtherCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := startRawNode(t, func(string, int) (string, bool) { return empty200, false })
	seq := w.commit(w.siteOn(n.url)...)
	gw := w.gateway("", func(s *gateway.Settings) { s.Upstream.ContinueTimeout = 20 * time.Second })
	gw.reached(t, seq)
	reply := raw(t, gw.url, "POST /rest/first HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 25\r\n\r\n")
	if !strings.HasPrefix(reply, "HTTP/1.1 200 ") {
		t.Fatal(reply)
	}
	do(t, request(t, http.MethodGet, gw.url+"/rest/second", nil))
	heads, conns := n.seen()
	if len(heads) != 2 || conns != 2 {
		t.Errorf("%q on %d connections", heads, conns)
	}
}

func TestAWriteIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A kept connection dies without a reply, unless it is kept busy.
	dies := func(line string, nth int) (string, bool) {
		if nth == 1 || strings.Contains(line, "/rest/kept") {
			return empty200, false
		}
		return "", true
	}
	one, two := startRawNode(t, dies), startRawNode(t, dies)
	facts := append(w.siteOn(one.url), &configv1.NodeAttached{Site: "jira", Node: "n2", Url: two.url})
	seq := w.commit(facts...)
	gw := w.gateway("", func(s *gateway.Settings) { s.Upstream.CheckEvery = time.Hour }) // a check would use up a kept connection
	gw.reached(t, seq)
	count := func() int {
		a, _ := one.seen()
		b, _ := two.seen()
		return len(a) + len(b)
	}
	keep := func() { // a kept connection to each
		for range 2 {
			if resp, body := do(t, request(t, http.MethodGet, gw.url+"/rest/kept", nil)); resp.StatusCode != http.StatusOK {
				t.Fatalf("%s %s", resp.Status, body)
			}
		}
	}
	for _, c := range []struct{ method, body string }{{http.MethodPost, ""}, {http.MethodPut, "a body"}, {http.MethodGet, "a body"}} {
		keep()
		before := count()
		resp, text := do(t, request(t, c.method, gw.url+"/rest/write", strings.NewReader(c.body)))
		if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("X-Gatehouse-Reason") != "upstream_unreachable" || count() != before+1 {
			t.Errorf("%s with body %q: %s %s, seen %d times", c.method, c.body, resp.Status, text, count()-before)
		}
	}
	keep()
	before := count()
	if resp, text := do(t, request(t, http.MethodGet, gw.url+"/rest/read", nil)); resp.StatusCode != http.StatusOK || count() != before+2 {
		t.Errorf("a read on a connection that dies: %s %s, seen %d times", resp.Status, text, count()-before)
	}
}

func TestHalfAReplyIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := startRawNode(t, func(line string, _ int) (string, bool) {
		if strings.Contains(line, "chunked") {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", true
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst", true
	})
	seq := w.commit(w.siteOn(n.url)...)
	gw := w.gateway("")
	gw.reached(t, seq)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/rest/length", "/rest/chunked"} {
		resp, err := client.Do(request(t, http.MethodGet, gw.url+path, nil))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Errorf("%s: %q taken for whole", path, body)
		}
	}
}

// TestWhomTheNodeTookTheCallFrom holds replies against X-AUSERNAME: what does not name the user meant is not passed on.
func TestWhomTheNodeTookTheCallFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.siteOn(node(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if name := q.Get("name"); name != "" {
			w.Header().Set("X-AUSERNAME", name)
		}
		w.Header().Set("Set-Cookie", "JSESSIONID=of-the-account")
		w.Header().Set("Link", "</secret>; rel=preload")
		if q.Has("hint") {
			w.WriteHeader(http.StatusEarlyHints)
		}
		status := http.StatusOK
		_, _ = fmt.Sscan(q.Get("status"), &status)
		if status == http.StatusSwitchingProtocols {
			if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
				conn, _, _ := http.NewResponseController(w).Hijack() // and no websocket either
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "websocket")
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
				_ = w.Header().Write(conn)
				_, _ = io.WriteString(conn, "\r\n")
				_ = conn.Close()
				return
			}
			status = http.StatusUpgradeRequired
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, "the body")
		}
	}))...)
	gw := w.gateway("")
	gw.reached(t, seq)
	token := w.token()
	for query, want := range map[string]int{
		"name=svc-api": 200, "name=SVC%2DAPI": 200, "name=svc-api&status=204": 204, "name=svc-api&status=101": 101, "name=svc-api&hint": 200,
		"name=svc-api&status=401": 401, "status=404": 404, "status=302": 302,
		"name=anonymous": 502, "name=alice": 502, "": 502, "status=204": 502, "status=101": 502, "name=alice&status=101": 502,
		"name=alice&status=404": 502, "status=401": 502, "name=alice&hint": 502,
	} {
		reply := raw(t, gw.url, "GET /rest/x?"+query+" HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		if !strings.HasPrefix(reply, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %s", query, reply)
		}
		if strings.Contains(reply, "Set-Cookie") || strings.Contains(reply, " 103 ") {
			t.Errorf("%s: passed on: %s", query, reply)
		}
		if want == 502 && (strings.Contains(reply, "the body") || !strings.Contains(reply, "upstream_identity_mismatch")) {
			t.Errorf("%s: %s", query, reply)
		}
	}
	for upgrade, want := range map[string]string{"h2c": "426", "websocket": "101"} {
		reply := raw(t, gw.url, "GET /rest/x?status=101 HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: "+upgrade+"\r\nHTTP2-Settings: x\r\n\r\n")
		if !strings.HasPrefix(reply, "HTTP/1.1 "+want+" ") {
			t.Errorf("%s: %s", upgrade, reply)
		}
	}
	if reply := raw(t, gw.url, "GET /rest/x?hint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(reply, "HTTP/1.1 103 ") || !strings.Contains(reply, "HTTP/1.1 200 OK") {
		t.Errorf("hint for a stranger: %s", reply)
	}
}

// TestWhatAProviderSaysIsJudged introspects at a provider that says of each token what the test wants.
func TestWhatAProviderSaysIsJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().Unix()
	says := map[string]map[string]any{}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"active": true, "client_id": "ci-bot", "scope": "read"}
		for k, v := range says[r.FormValue("token")] {
			answer[k] = v
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(provider.Close)
	wanted := map[string]string{}
	add := func(reason string, claims map[string]any) {
		token := fmt.Sprintf("token-%d", len(says))
		says[token], wanted[token] = claims, reason
	}
	add("", nil)
	add("", map[string]any{"exp": now - 20, "nbf": now + 20, "iss": "https://issuer", "token_type": "Bearer"}) // the leeway
	add("token_inactive", map[string]any{"exp": now - 60})
	add("token_inactive", map[string]any{"nbf": now + 60})
	add("token_inactive", map[string]any{"iss": "https://another"})
	for _, kind := range []string{"refresh_token", "Refresh", "Offline", "ID", "id_token", "logout+jwt", "DPoP"} {
		add("token_inactive", map[string]any{"token_type": kind})
	}
	add("", map[string]any{"token_type": "at+jwt"})
	add("scope_missing", map[string]any{"scope": "write"})
	add("not_a_client_token", map[string]any{"username": "alice"})
	add("", map[string]any{"username": "service-account-ci-bot"})
	trusted := w.provider()
	trusted.IntrospectionEndpoint, trusted.Issuer = provider.URL, "https://issuer"
	seq := w.commit(append(w.site(), &configv1.ProviderTrusted{Site: "jira", Provider: trusted})...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for token, reason := range wanted {
		for range 2 { // the second from the cache
			resp, _ := do(t, request(t, http.MethodGet, gw.url+myself, nil, "Authorization", "Bearer "+token))
			if got := resp.Header.Get("X-Gatehouse-Reason"); got != reason {
				t.Errorf("%v: %s %q, want %q", says[token], resp.Status, got, reason)
			}
		}
	}
}

// TestCredentialsInOddPlaces: whatever a token of Gatehouse's own comes in, it reaches no node.
func TestCredentialsInOddPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var shown atomic.Pointer[string]
	seq := w.commit(append(w.siteOn(node(t, func(w http.ResponseWriter, r *http.Request) {
		all := fmt.Sprint(r.RequestURI, " ", r.Header)
		shown.Store(&all)
	})), &configv1.MethodsSet{Site: "jira", Basic: true, Oauth: true, ProductOauth: true, ApiTokens: true})...)
	gw := w.gateway("")
	gw.reached(t, seq)
	ght, pat := "ght_"+strings.Repeat("a", 40), w.lab.Jira.PAT("alice")
	call := func(target string, authorization ...string) (reason string) {
		t.Helper()
		head := "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		for _, a := range authorization {
			head += "Authorization: " + a + "\r\n"
		}
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw(t, gw.url, head+"\r\n"))), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if s := shown.Load(); s != nil && strings.Contains(*s, "ght_") {
			t.Errorf("%s %q reached the node: %s", target, authorization, *s)
		}
		return resp.Header.Get("X-Gatehouse-Reason")
	}
	for _, c := range []struct {
		want, target  string
		authorization []string
	}{
		{"token_inactive", "/rest/x", []string{"Bearer " + ght}},
		{"token_inactive", "/rest/x", []string{"Bearer\t" + ght}},
		{"token_inactive", "/browse/A-1", []string{"bearer\t \t" + ght}},
		{"token_inactive", "/rest/x", []string{basic("carol", ght)}},
		{"token_inactive", "/rest/x?os_username=carol&os_password=" + ght, nil},
		{"token_inactive", "/rest/x?os%5Fusername=carol&os%5Fpassword=" + ght, nil},
		{"credential_malformed", "/rest/x?os_username=carol&os_password=x", []string{"Bearer y"}},
		{"credential_malformed", "/rest/x?oauth_signature=x", []string{"Bearer y"}},
		{"credential_malformed", "/rest/x?oauth_signature=x&os_username=carol&os_password=x", nil},
		{"credential_malformed", "/rest/x?os_username=carol&os_password=%ff", nil},
		{"credential_malformed", "/rest/x?os_username=car%0dol&os_password=x", nil},
		{"credential_malformed", "/browse/A-1", []string{"Bearer " + ght, "Bearer " + ght}},
		{"pat_disabled", "/rest/x", []string{"Bearer " + pat}}, // also where the product's own OAuth tokens are let through
	} {
		if got := call(c.target, c.authorization...); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.target, c.authorization, got, c.want)
		}
	}
	gw.reached(t, w.commit(&configv1.EnforcementSwitched{Site: "jira", Enabled: false})) // whoever is not judged is not helped either
	for _, authorization := range [][]string{{"Bearer " + ght}, {"Bearer " + ght, "Bearer " + ght}, {basic("carol", ght)}} {
		call("/rest/x", authorization...)
	}
	call("/rest/x?os_username=carol&os_password=" + ght)
}

func TestASessionInThePathGoesWhereCookiesGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var target atomic.Pointer[string]
	seq := w.commit(w.siteOn(node(t, func(w http.ResponseWriter, r *http.Request) {
		target.Store(&r.RequestURI)
		w.Header().Set("X-AUSERNAME", "svc-api")
	}))...)
	gw := w.gateway("")
	gw.reached(t, seq)
	const path = "/rest/x;v=1;JSESSIONID=stolen/y;jsessionid=again?a=;jsessionid=2"
	do(t, request(t, http.MethodGet, gw.url+path, nil))
	if got := *target.Load(); got != path { // a browser without cookies
		t.Errorf("a session's call: %s", got)
	}
	do(t, request(t, http.MethodGet, gw.url+path, nil, "Authorization", "Bearer "+w.token()))
	if got := *target.Load(); got != "/rest/x;v=1/y?a=;jsessionid=2" {
		t.Errorf("a token's call: %s", got)
	}
}

func TestAPATRevokedWhileItIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	pat := w.lab.Jira.PAT("alice")
	expect(t, gw, "Bearer "+pat, myself, http.StatusOK, "", "alice")
	w.lab.Jira.RevokePAT(pat)
	for range 3 {
		resp := expect(t, gw, "Bearer "+pat, "/rest/api/2/serverInfo", http.StatusUnauthorized, "credential_refused", "")
		if !strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%v", resp.Header)
		}
	}
}

func TestWhateverAStrangerSendsFitsIntoTheTrail(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	records := w.audited()
	w.nats.Stop() // so that they gather: together they are more than one message may hold
	long := strings.Repeat("é", 30<<10)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 25 {
				_ = raw(t, gw.url, "GET /rest/x/"+strings.Repeat("p", 10<<10)+"?q="+strings.Repeat("q", 10<<10)+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: "+long+"\r\n\r\n")
			}
		})
	}
	all.Wait()
	w.nats.Start(t)
	count := 0
	for r := range records {
		if !strings.HasPrefix(r.GetPath(), "/rest/x/p") {
			continue
		}
		if len(r.GetPath()) > 4<<10 || len(r.GetUserAgent()) > 512 || !strings.HasPrefix(r.GetUserAgent(), "éé") || !strings.HasSuffix(r.GetUserAgent(), "…") || len(r.GetQuery()) > 4<<10 {
			t.Fatalf("user agent of %d bytes, query of %d", len(r.GetUserAgent()), len(r.GetQuery()))
		}
		if count++; count == 250 {
			return
		}
	}
}

func TestAFullTrailClosesOrOpensAsTheSiteSays(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	facts := append(w.site(), &configv1.StalenessSet{Site: "jira", Max: durationpb.New(time.Hour)})
	seq := w.commit(facts...)
	gw := w.gateway("", func(s *gateway.Settings) { s.AuditSpool, s.Spool.Segment = 20_000, 4_000 })
	gw.reached(t, seq)
	passed := fill(t, gw)
	for _, authorization := range []string{"", "Digest x"} { // what would have been refused for another reason too
		resp := expect(t, gw, authorization, "/rest/api/2/serverInfo", http.StatusServiceUnavailable, "audit_unavailable", "")
		if resp.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if got := metrics(gw); !strings.Contains(got, `gatehouse_calls_unrecorded_total{service="gateway"} 3`) || !strings.Contains(got, `gatehouse_audit_spool_failed{service="gateway"} 1`) {
		t.Errorf("metrics: %s", got)
	}
	if gw.process.Ready() {
		t.Error("ready, although no call is taken")
	}
	a := w.archive() // what is committed makes room
	testkit.Until(t, "room in the spool", gw.process.Ready)
	a.await("calls", passed, `SELECT count(*) FROM audit.events WHERE path = $1 AND status = 200`, "/rest/api/2/serverInfo")
	gw.reached(t, w.commit(&configv1.AuditingSet{Site: "jira", Enabled: true, WhenUnavailable: "allow"}))
	a.stop()
	for range 50 { // more than there is room for
		expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	}
	if !gw.process.Ready() || !strings.Contains(metrics(gw), `gatehouse_audit_spool_failed{service="gateway"} 1`) {
		t.Error("not ready, or not full")
	}
}

// fill makes calls until one is refused, and tells how many were not.
func fill(t *testing.T, gw *running) (passed int) {
	t.Helper()
	for ; passed < 1000; passed++ {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+"/rest/api/2/serverInfo", nil))
		if resp.StatusCode == http.StatusServiceUnavailable {
			return passed
		}
	}
	t.Fatal("never full")
	return 0
}
