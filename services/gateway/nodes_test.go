package gateway_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// TestASafeCallGoesToAnotherNode when its own died over it; one that may have changed something does not.
func TestASafeCallGoesToAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dies := startRawNode(t, func(string, int) (string, bool) { return "", true })
	lives := startRawNode(t, func(string, int) (string, bool) { return empty200, false })
	seq := w.commit(append(w.siteOn(dies.url), &configv1.NodeAttached{Site: "jira", Node: "n2", Url: lives.url})...)
	gw := w.gateway("", func(s *gateway.Settings) { s.Upstream.CheckEvery, s.Upstream.SlowStart = 5*time.Millisecond, 1 })
	gw.reached(t, seq)
	for _, c := range []struct {
		method, body string
		status       int
	}{{"GET", "", 200}, {"POST", "x", 502}, {"HEAD", "", 200}, {"DELETE", "", 502}, {"GET", "x", 502}, {"OPTIONS", "", 200}, {"POST", "", 502}} {
		testkit.Until(t, "a call that begins at the node that dies", func() bool {
			before, _ := dies.seen()
			resp, body := do(t, request(t, c.method, gw.url+"/rest/x", strings.NewReader(c.body)))
			after, _ := dies.seen()
			if len(after) == len(before) {
				return false // it was the other one's turn
			}
			if resp.StatusCode != c.status || len(after) != len(before)+1 {
				t.Errorf("%s with body %q: %s %s, seen %d times", c.method, c.body, resp.Status, body, len(after)-len(before))
			}
			return true
		})
	}
}

// TestACallThatChangesSomethingIsSentOnce, whatever its method says.
func TestACallThatChangesSomethingIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var nodes [3]*rawNode
	facts := w.siteOn("http://127.0.0.1:1")
	for i := range nodes {
		nodes[i] = startRawNode(t, func(string, int) (string, bool) { return "", true })
		facts = append(facts, &configv1.NodeAttached{Site: "jira", Node: fmt.Sprint("n", i+1), Url: nodes[i].url})
	}
	seq := w.commit(facts...)
	gw := w.gateway("", func(s *gateway.Settings) { s.Upstream.SlowStart = 1 })
	gw.reached(t, seq)
	seen := func() (n int) {
		for _, node := range nodes {
			lines, _ := node.seen()
			n += len(lines)
		}
		return n
	}
	for target, times := range map[string]int{
		"/rest/x": 3, "/rest/api/2/email-templates": 1, "/rest/api/2/issue/LAB-1?updateHistory=true": 1, "/rest/api/2/issue/LAB-1": 3,
	} {
		before := seen()
		resp, body := do(t, request(t, http.MethodGet, gw.url+target, nil))
		if got := seen() - before; resp.StatusCode != http.StatusBadGateway || got != times {
			t.Errorf("%s: %s %s, sent %d times, want %d", target, resp.Status, body, got, times)
		}
	}
}

// TestOneCallThatANodeDiesOver does not take the node away from others.
func TestOneCallThatANodeDiesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dies := startRawNode(t, func(line string, _ int) (string, bool) {
		if strings.Contains(line, "/rest/bad") {
			return "", true
		}
		return empty200, false
	})
	other := startRawNode(t, func(string, int) (string, bool) { return empty200, false })
	seq := w.commit(append(w.siteOn(dies.url), &configv1.NodeAttached{Site: "jira", Node: "n2", Url: other.url})...)
	gw := w.gateway("", func(s *gateway.Settings) { s.Upstream.CheckEvery, s.Upstream.SlowStart = time.Hour, time.Hour })
	gw.reached(t, seq)
	at := func(target string) (seen int) {
		before, _ := dies.seen()
		if resp, _ := do(t, request(t, http.MethodGet, gw.url+target, nil, "Cookie", "JSESSIONID=1; GATEHOUSE_NODE=n1")); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", target, resp.Status)
		}
		after, _ := dies.seen()
		return len(after) - len(before)
	}
	if at("/rest/bad") != 1 {
		t.Error("the node was not asked")
	}
	for range 20 {
		if at("/rest/x") != 1 {
			t.Fatal("a session of the node went elsewhere")
		}
	}
}

// TestNodesSpeakTLS by an authority of the operator's own, and by no other.
func TestNodesSpeakTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			_, _ = io.WriteString(w, `{"state":"RUNNING"}`)
			return
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	node.Config.ErrorLog = log.New(io.Discard, "", 0)
	node.StartTLS()
	t.Cleanup(node.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: node.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := func(s *gateway.Settings) { s.UpstreamCAFile = file }
	for url, want := range map[string]int{node.URL: http.StatusOK, strings.Replace(node.URL, "127.0.0.1", "localhost", 1): http.StatusBadGateway} { // no name of the certificate
		seq := w.commit(w.siteOn(url)...)
		gw := w.gateway("", trusting)
		gw.reached(t, seq)
		if resp, body := do(t, request(t, http.MethodGet, gw.url+"/rest/x", nil)); resp.StatusCode != want || want == http.StatusOK && body != "HTTP/1.1" {
			t.Errorf("%s: %s %s", url, resp.Status, body)
		}
		stranger := w.gateway("")
		stranger.reached(t, seq)
		if resp, _ := do(t, request(t, http.MethodGet, stranger.url+"/rest/x", nil)); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: a stranger is believed: %s", url, resp.Status)
		}
		w.commit(&configv1.SiteRemoved{Site: "jira"})
	}
}

// TestSitesByHostAndContextPath: the longest context path of the host wins, then the sites of any host.
func TestSitesByHostAndContextPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := func(site string) string {
		return node(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, site+" "+r.RequestURI) })
	}
	seq := uint64(0)
	for _, s := range []struct {
		site, product, context string
		hosts                  []string
	}{
		{"any", "jira", "", nil},
		{"any-wiki", "confluence", "/wiki", nil},
		{"a", "jira", "", []string{"a.example.com", "b.example.com"}},
		{"a-jira", "jira", "/jira", []string{"a.example.com"}},
		{"a-jira-old", "jira", "/jira/old", []string{"a.example.com"}},
		{"git", "bitbucket", "", []string{"git.example.com"}},
	} {
		seq = w.commit(
			&configv1.SiteRegistered{Site: s.site, Product: s.product},
			&configv1.SiteAddressed{Site: s.site, Hosts: s.hosts, ContextPath: s.context},
			&configv1.NodeAttached{Site: s.site, Node: "n1", Url: names(s.site)},
			&configv1.EnforcementSwitched{Site: s.site, Enabled: true},
			&configv1.PublicApiRestricted{Site: s.site, Pattern: "/rest/closed"},
			&configv1.AuditingSet{Site: s.site, Enabled: true, Sync: "group", WhenUnavailable: "deny"},
		)
	}
	gw := w.gateway("")
	gw.reached(t, seq)
	for _, c := range []struct{ host, path, want string }{
		{"a.example.com", "/rest/x", "a"},
		{"B.example.com:8443", "/rest/x", "a"},
		{"b.example.com.", "/jira/rest/x", "a"},
		{"a.example.com", "/jira/rest/x", "a-jira"},
		{"a.example.com", "/jira", "a-jira"},
		{"a.example.com", "/jirax/rest/x", "a"},
		{"a.example.com", "/jira/old/rest/x", "a-jira-old"},
		{"a.example.com", "/jira/older/rest/x", "a-jira"},
		{"a.example.com", "/x/../jira/rest/x", "a-jira"},
		{"a.example.com", "/jira/../rest/x", "a"},
		{"a.example.com", "/%6aira/rest/x", "a-jira"},
		{"a.example.com", "/jira;x=y/rest/x", "a-jira"},
		{"c.example.com", "/rest/x", "any"},
		{"c.example.com", "/wiki/rest/x", "any-wiki"},
		{"a.example.com", "/wiki/rest/x", "a"},
		{"git.example.com", "/scm/p/r.git/info/refs", "git"},
		{"127.0.0.1", "/rest/x", "any"},
	} {
		text := raw(t, gw.url, "GET "+c.path+" HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(text, c.want+" "+c.path) {
			t.Errorf("%s %s: %s, want %s", c.host, c.path, text, c.want)
		}
	}
	for _, path := range []string{"/jira/rest/closed", "/jira/old/rest/closed", "/rest/closed", "/x/../jira/rest/closed/"} { // each by its own rules
		text := raw(t, gw.url, "GET "+path+" HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
		if !strings.Contains(text, "authentication_required") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// TestADrainedNode keeps its sessions and gets no other call; the gateway learns of it like of any change.
func TestADrainedNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lab.Jira.SetSessionAffinity(true)
	gw := w.started()
	there := gw.person(t)
	at := ""
	for at != "n1" {
		there = gw.person(t)
		resp := there.login("alice")
		for _, c := range resp.Cookies() {
			if c.Name == "GATEHOUSE_NODE" {
				at = c.Value
			}
		}
	}
	gw.reached(t, w.commit(&configv1.NodeDrained{Site: "jira", Node: "n1", Drain: true}))
	for range 10 {
		if resp, body := there.get(echo); resp.Header.Get("X-Anodeid") != "n1" || decode(t, body).User != "alice" {
			t.Fatalf("its session: %s %s", resp.Header.Get("X-Anodeid"), body)
		}
		for _, header := range [][]string{nil, {"Authorization", "Bearer " + w.token()}, as("bob")} {
			if resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, header...)); resp.Header.Get("X-Anodeid") != "n2" {
				t.Fatalf("a new call went to %s", resp.Header.Get("X-Anodeid"))
			}
		}
	}
	gw.reached(t, w.commit(&configv1.NodeDrained{Site: "jira", Node: "n1"}))
	testkit.Until(t, "calls to come back", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil))
		return resp.Header.Get("X-Anodeid") == "n1"
	})
}

// TestAGatewayThatIsToldToEndCutsNothing: websockets, long polls and uploads go on until they end, or the grace is over.
func TestAGatewayThatIsToldToEndCutsNothing(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("", func(s *gateway.Settings) { s.ShutdownGrace = 20 * time.Second })
	gw.reached(t, seq)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, gw.url+"/rest/lab/1/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		if err := socket.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := socket.Read(ctx); err != nil || string(got) != text {
			t.Fatalf("%q: %q, %v", text, got, err)
		}
	}
	say("before")
	reader, writer := io.Pipe()
	upload := make(chan string, 1)
	go func() {
		resp, err := http.DefaultClient.Do(request(t, http.MethodPost, gw.url+echo, reader))
		if err != nil {
			upload <- err.Error()
			return
		}
		_ = resp.Body.Close()
		upload <- resp.Status
	}()
	_, _ = writer.Write([]byte("begun"))
	poll := make(chan string, 1)
	go func() {
		resp, err := http.DefaultClient.Do(request(t, http.MethodGet, gw.url+"/rest/lab/1/slow?ms=700", nil))
		if err != nil {
			poll <- err.Error()
			return
		}
		_ = resp.Body.Close()
		poll <- resp.Status
	}()
	testkit.Until(t, "the calls to be at a node", func() bool { return w.lab.Jira.Nodes()[0].Running()+w.lab.Jira.Nodes()[1].Running() >= 3 })
	stopped := make(chan struct{})
	go func() { gw.stop(); close(stopped) }()
	testkit.Until(t, "the gateway to take no more", func() bool {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(gw.url + "/rest/gatehouse/1.0/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	})
	ready := httptest.NewRecorder()
	gw.process.Handler().ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if ready.Code == http.StatusOK || !strings.Contains(ready.Body.String(), `"stopping":true`) {
		t.Errorf("readiness says %d %s", ready.Code, ready.Body)
	}
	say("meanwhile")
	_, _ = writer.Write([]byte(" and ended"))
	_ = writer.Close()
	if got := <-upload; got != "200 OK" {
		t.Errorf("the upload: %s", got)
	}
	if got := <-poll; got != "200 OK" {
		t.Errorf("the long poll: %s", got)
	}
	say("at last")
	_ = socket.Close(websocket.StatusNormalClosure, "")
	<-stopped
}

// TestTheGraceEnds: a websocket that does not end by itself is cut off.
func TestTheGraceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("", func(s *gateway.Settings) { s.ShutdownGrace = 300 * time.Millisecond })
	gw.reached(t, seq)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, gw.url+"/rest/lab/1/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	gw.stop()
	if d := time.Since(began); d < 250*time.Millisecond || d > 10*time.Second {
		t.Errorf("it ended after %v", d)
	}
	if _, _, err := socket.Read(ctx); err == nil {
		t.Error("the websocket goes on")
	}
}
