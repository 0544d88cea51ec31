package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// node runs a node of a test's own: it is well, and answers everything else by the handler.
func node(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			_, _ = io.WriteString(w, `{"state":"RUNNING"}`)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// slow gives pieces of a body, one after the other.
type slow struct {
	pieces int
	size   int
	pause  time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		return 0, io.EOF
	}
	<-time.After(s.pause)
	s.pieces--
	return copy(p, bytes.Repeat([]byte("x"), s.size)), nil
}

func TestAnUploadTakesAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("", func(s *gateway.Settings) { s.ReplyTimeout = 400 * time.Millisecond })
	gw.reached(t, seq)
	for name, c := range map[string]struct {
		size     int
		announce bool
		expect   bool
	}{
		"small": {4 << 10, true, false}, "large": {30 << 10, true, false}, "chunked": {4 << 10, false, false}, "asked for first": {30 << 10, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &slow{pieces: 5, size: c.size, pause: 200 * time.Millisecond}
			r := request(t, http.MethodPost, gw.url+"/rest/lab/1/echo", body)
			if r.ContentLength = -1; c.announce {
				r.ContentLength = int64(5 * c.size)
			}
			if c.expect {
				r.Header.Set("Expect", "100-continue")
			}
			resp, text := do(t, r)
			if resp.StatusCode != http.StatusOK || decode(t, text).BodyLength != int64(5*c.size) {
				t.Fatalf("%s %s", resp.Status, text)
			}
		})
	}
}

func TestANodeThatDoesNotAnswerAnUpload(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	release := make(chan struct{})
	seq := w.commit(w.siteOn(node(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rest/taken" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		<-release
	}))...)
	defer close(release)
	gw := w.gateway("", func(s *gateway.Settings) { s.ReplyTimeout = 300 * time.Millisecond })
	gw.reached(t, seq)
	records := w.audited()
	for name, body := range map[string]io.Reader{"announced": bytes.NewReader(make([]byte, 1<<20)), "chunked": io.LimitReader(zeros{}, 1<<20)} {
		resp, text := do(t, request(t, http.MethodPost, gw.url+"/rest/taken", body))
		if resp.StatusCode != http.StatusGatewayTimeout || resp.Header.Get("X-Gatehouse-Reason") != "upstream_timeout" {
			t.Errorf("%s: %s %s", name, resp.Status, text)
		}
	}
	// 20 MB do not fit between a client and a node that reads nothing: the client may be cut off before it reads the reply.
	if resp, err := http.DefaultClient.Do(request(t, http.MethodPost, gw.url+"/rest/left", bytes.NewReader(make([]byte, 20<<20)))); err == nil {
		_ = resp.Body.Close()
	}
	for r := range records {
		if r.GetPath() == "/rest/left" {
			if r.GetReason() != "upstream_timeout" {
				t.Errorf("recorded as %s %s", r.GetReason(), r.GetDetail())
			}
			return
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyThatEndsEarlyIsTheClientsFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for name, body := range map[string]string{
		"short":        "Content-Length: 100\r\n\r\nshort",
		"large, short": "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 200_000),
		"bad chunk":    "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gw.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "POST /rest/lab/1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+body)
		_ = conn.(*net.TCPConn).CloseWrite()
		reply, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(reply), "HTTP/1.1 400 ") || !strings.Contains(string(reply), "X-Gatehouse-Reason: body_malformed") {
			t.Errorf("%s: %s", name, reply)
		}
	}
	resp, body := do(t, request(t, http.MethodPost, gw.url+"/rest/lab/1/echo", strings.NewReader("whole")))
	if resp.StatusCode != http.StatusOK || decode(t, body).BodyLength != 5 {
		t.Errorf("the next: %s %s", resp.Status, body)
	}
}

func TestARepliesShapeIsTheNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	goOn := make(chan struct{})
	seq := w.commit(w.siteOn(node(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/rest/untyped":
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html><script>")
		case "/rest/slow":
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-goOn
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-goOn
			_, _ = io.WriteString(w, "after")
		case "/rest/trailer":
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
		}
	}))...)
	gw := w.gateway("")
	gw.reached(t, seq)
	if resp, _ := do(t, request(t, http.MethodGet, gw.url+"/rest/untyped", nil)); resp.Header["Content-Type"] != nil {
		t.Errorf("a type was guessed: %v", resp.Header)
	}
	if resp, _ := do(t, request(t, http.MethodGet, gw.url+"/rest/trailer", nil)); resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("trailer %v", resp.Trailer)
	}
	resp, err := http.DefaultClient.Do(request(t, http.MethodGet, gw.url+"/rest/slow", nil)) // the head comes before the body
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for _, want := range []string{"first", "after"} {
		goOn <- struct{}{}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTrailersAreNoWayAround(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	reply := raw(t, gw.url, "POST /rest/lab/1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+w.token()+
		"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Seraph-User\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\nX-Seraph-User: admin\r\n\r\n")
	if !strings.Contains(reply, `"X-Sum"`) || strings.Contains(reply, "X-Seraph-User") {
		t.Error(reply)
	}
}

func TestMethodsThatNameNoPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for line, reason := range map[string]string{
		"OPTIONS *": "path_ambiguous", "CONNECT jira:443": "method_not_allowed", "CONNECT /rest/lab/1/echo": "method_not_allowed",
		"TRACE /rest/lab/1/echo": "method_not_allowed",
	} {
		reply := raw(t, gw.url, line+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(reply, "HTTP/1.1 40") || !strings.Contains(reply, "X-Gatehouse-Reason: "+reason+"\r\n") || !strings.Contains(reply, "X-Gatehouse-Request-Id: ") {
			t.Errorf("%s: %s", line, reply)
		}
	}
}

func TestAGrantOfUsersNeverActsAsTheServiceAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := append(w.site(), &configv1.GrantSwitched{Site: "jira", Grant: "authorization_code"},
		&configv1.UpstreamAccountSet{Site: "jira", Account: "alice", Credential: w.seal(secret.Gateway, w.lab.Jira.PAT("alice"))})
	seq := w.commit(facts...)
	gw := w.gateway("")
	gw.reached(t, seq)
	of := func(user string) string {
		return "Bearer " + w.token(func(s *lab.TokenSpec) { s.Subject, s.Username = user, user })
	}
	expect(t, gw, of("alice"), myself, http.StatusOK, "", `"name":"alice"`)
	expect(t, gw, of("bob"), myself, http.StatusForbidden, "no_upstream_account", "")
	expect(t, gw, "Bearer "+w.token(), myself, http.StatusForbidden, "user_unknown", "")
}

func TestAPasswordTheProductRefusesIsNotShownAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var shown atomic.Int64
	var taken, nameless atomic.Bool
	seq := w.commit(append(w.siteOn(node(t, func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		switch shown.Add(1); {
		case nameless.Load():
			return
		case !taken.Load():
			w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-AUSERNAME", user)
	})), &configv1.UpstreamDriverSet{Site: "jira", Driver: "basic"})...)
	gw := w.gateway("")
	gw.reached(t, seq)
	token := "Bearer " + w.token()
	nameless.Store(true)
	expect(t, gw, token, myself, http.StatusBadGateway, "upstream_identity_mismatch", "")
	nameless.Store(false) // a reply that names nobody is no word against the password
	for range 5 {
		expect(t, gw, token, myself, http.StatusBadGateway, "upstream_identity_mismatch", "")
	}
	gw.reached(t, w.commit(&configv1.MethodsSet{Site: "jira", Oauth: true})) // another configuration, the same password
	expect(t, gw, token, myself, http.StatusBadGateway, "upstream_identity_mismatch", "")
	if n := shown.Load(); n != 2 {
		t.Errorf("the password was shown %d times", n)
	}
	taken.Store(true)
	gw.reached(t, w.commit(&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: w.seal(secret.Gateway, "another")}))
	expect(t, gw, token, myself, http.StatusOK, "", "")
}

func TestAGatewayThatRefusesEverythingAsStaleIsNotReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(append(w.site(), &configv1.StalenessSet{Site: "jira", Max: durationpb.New(300 * time.Millisecond)})...)
	gw := w.gateway("")
	gw.reached(t, seq)
	testkit.Until(t, "ready", gw.process.Ready)
	if got := metrics(gw); !strings.Contains(got, fmt.Sprintf(`gatehouse_config_sequence{service="gateway"} %d`, seq)) ||
		!strings.Contains(got, `gatehouse_node_up{node="`) || !strings.Contains(got, "gatehouse_config_age_seconds{") {
		t.Errorf("metrics: %s", got)
	}
	w.nats.Stop()
	testkit.Until(t, "not ready", func() bool { return !gw.process.Ready() })
	w.nats.Start(t)
	testkit.Until(t, "ready again", gw.process.Ready)
}

func metrics(r *running) string {
	w := httptest.NewRecorder()
	r.process.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// TestACallThatIsCutOffAtTheEndIsRecorded stops a gateway while a client hangs in the middle of its upload.
func TestACallThatIsCutOffAtTheEndIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("", func(s *gateway.Settings) { s.ShutdownGrace = 200 * time.Millisecond })
	gw.reached(t, seq)
	records := w.audited()
	conn, err := net.Dial("tcp", strings.TrimPrefix(gw.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST /rest/lab/1/echo/hangs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
	testkit.Until(t, "the node to have the call", func() bool {
		for _, n := range w.lab.Jira.Nodes() {
			if len(n.Requests()) > 0 {
				return true
			}
		}
		return false
	})
	gw.stop() // fails the test when Run gives an error
	for r := range records {
		if r.GetPath() == "/rest/lab/1/echo/hangs" {
			return
		}
	}
}
