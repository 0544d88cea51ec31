package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// echoed is what the lab's node saw.
type echoed struct {
	Node       string              `json:"node"`
	User       string              `json:"user"`
	Method     string              `json:"method"`
	RequestURI string              `json:"request_uri"`
	Host       string              `json:"host"`
	Header     map[string][]string `json:"header"`
	Trailer    map[string][]string `json:"trailer"`
	BodyLength int64               `json:"body_length"`
	BodySHA256 string              `json:"body_sha256"`
}

func do(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func request(t testing.TB, method, url string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func decode(t testing.TB, body string) echoed {
	t.Helper()
	var e echoed
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return e
}

// raw sends bytes and gives the reply's head and body as they come.
func raw(t testing.TB, url, message string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatal(err)
	}
	reply, _ := io.ReadAll(conn)
	return string(reply)
}

func TestTheNodeGetsTheRequestLineByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for _, target := range []string{
		"/rest/lab/1/echo?jql=project%20=%20A%26B&x=%zz&y=+&&",
		"/rest/lab/1/echo/a%20b%2Bc%C3%BC",
		"/rest/lab/1/./echo",
		"/rest/lab/1/echo;v=1",
		"/rest/lab/1/echo/%5Bx%5D/'(!*)'",
	} {
		reply := raw(t, gw.url, "GET "+target+" HTTP/1.1\r\nHost: jira.example.com:8443\r\nConnection: close\r\n\r\n")
		_, body, _ := strings.Cut(reply, "\r\n\r\n")
		var e echoed
		if err := json.NewDecoder(strings.NewReader(body[strings.IndexByte(body, '{'):])).Decode(&e); err != nil {
			t.Fatalf("%s: %v in %s", target, err, reply)
		}
		if e.RequestURI != target || e.Host != "jira.example.com:8443" {
			t.Errorf("node saw %q of %q; want %q", e.RequestURI, e.Host, target)
		}
	}
}

func TestBodiesOfEveryShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for _, size := range []int{0, 1, 100, 64 << 10, 64<<10 + 1, 3 << 20} {
		content := bytes.Repeat([]byte("x"), size)
		sum := sha256.Sum256(content)
		for _, chunked := range []bool{false, true} {
			var body io.Reader = bytes.NewReader(content)
			if chunked {
				body = io.MultiReader(body) // net/http cannot tell its length
			}
			r := request(t, http.MethodPost, gw.url+"/rest/lab/1/echo", body)
			if size == 3<<20 {
				r.Header.Set("Expect", "100-continue")
			}
			resp, text := do(t, r)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%d bytes, chunked %t: %s %s", size, chunked, resp.Status, text)
			}
			if e := decode(t, text); e.BodyLength != int64(size) || e.BodySHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("%d bytes, chunked %t: node got %d", size, chunked, e.BodyLength)
			}
		}
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	r := request(t, http.MethodPost, gw.url+"/rest/lab/1/echo", io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Checksum": {"abc"}}
	if e := decode(t, second(do(t, r))); len(e.Trailer["X-Checksum"]) != 1 || e.Trailer["X-Checksum"][0] != "abc" {
		t.Errorf("node got trailer %v", e.Trailer)
	}
	resp, _ := do(t, request(t, http.MethodPost, gw.url+"/rest/lab/1/trailers", strings.NewReader("body")))
	if len(resp.Trailer) == 0 {
		t.Errorf("client got no trailer: %v", resp.Header)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestAnEarlyRefusalOfAnUploadReachesTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	var read atomic.Int64
	r := request(t, http.MethodPost, gw.url+"/rest/lab/1/early", &countingReader{n: &read, left: 64 << 20})
	r.ContentLength = 64 << 20
	r.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 5 * time.Second}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge || read.Load() > 0 {
		t.Errorf("%s after %d bytes", resp.Status, read.Load())
	}
}

type countingReader struct {
	n    *atomic.Int64
	left int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left)
	r.left -= n
	r.n.Add(n)
	return int(n), nil
}

func TestEventsArriveAsTheyAreSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	resp, err := http.DefaultClient.Do(request(t, http.MethodGet, gw.url+"/rest/lab/1/stream?n=0&ms=10", nil))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for range 3 {
		if !lines.Scan() {
			t.Fatal("the stream ended")
		}
	}
	_ = resp.Body.Close() // the client goes away: the node must notice
	abandoned := func() (n uint64) {
		for _, node := range w.lab.Jira.Nodes() {
			n += node.Abandoned()
		}
		return n
	}
	testkit.Until(t, "the node to notice that the client left", func() bool { return abandoned() > 0 })
}

func TestWebsocketsPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, gw.url+"/rest/lab/1/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		message := fmt.Sprintf("message %d", i)
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != message {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

func TestANodeThatIsGoneIsPassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	w.lab.Jira.Nodes()[0].Stop()
	for range 20 {
		resp, body := do(t, request(t, http.MethodGet, gw.url+"/rest/api/2/serverInfo", nil))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", resp.Status, body)
		}
	}
	w.lab.Jira.Nodes()[1].Stop()
	resp, body := do(t, request(t, http.MethodGet, gw.url+"/rest/api/2/serverInfo", nil))
	if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("X-Gatehouse-Reason") != "upstream_unreachable" {
		t.Fatalf("%s %s", resp.Status, body)
	}
}

func TestKeptConnectionsThatTheNodeClosedAreNotNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	for range 10 {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, body := do(t, request(t, method, gw.url+"/rest/lab/1/echo", nil))
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s %s", resp.Status, body)
			}
		}
		for _, n := range w.lab.Jira.Nodes() {
			n.Stop()
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestForgedFieldsNeverReachTheNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	_, body := do(t, request(t, http.MethodGet, gw.url+"/rest/lab/1/echo", nil,
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-User", "admin", "X-Seraph-Trusted-App-Cert", "x", "X-HTTP-Method-Override", "DELETE",
		"X-Forwarded-Login", "admin", "X_Forwarded_User", "admin", "X-Original-URL", "/rest/x",
		"X-AUSERNAME", "admin", "Cookie", "a=b", "Connection", "X-Drop-Me", "X-Drop-Me", "1", "X-Kept", "1"))
	e := decode(t, body)
	for _, name := range []string{"X-Forwarded-User", "X-Forwarded-Login", "X_forwarded_user", "X-Original-Url", "X-Seraph-Trusted-App-Cert", "X-Http-Method-Override", "X-Ausername", "Cookie", "X-Drop-Me"} {
		if v := e.Header[name]; v != nil {
			t.Errorf("%s: %v", name, v)
		}
	}
	if got := e.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("X-Forwarded-For: %v", got)
	}
	if e.Header["X-Kept"] == nil {
		t.Error("an ordinary field was lost")
	}
}
