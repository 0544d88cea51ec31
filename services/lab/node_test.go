package lab_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// raw sends a request line that net/http would tidy up, and reads the answer.
func raw(t *testing.T, base, target string, headers ...string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: jira.example.com\r\nConnection: close\r\n%s\r\n", target, strings.Join(headers, "\r\n")+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, body}
}

func TestPathsAsTomcatReadsThem(t *testing.T) {
	t.Parallel()
	l := start(t)
	for target, status := range map[string]int{
		"/rest/api/2/serverInfo":                        200,
		"/rest/api/latest/serverInfo?x=%2F":             200,
		"/rest/api/2/serverInfo/":                       200,
		"/rest/api/2/serverInfo.json":                   200,
		"/rest/api/2/serverInfo;jsessionid=1":           200,
		"/rest;x=1/api;y/2/serverInfo":                  200,
		"//rest///api/2/serverInfo":                     200,
		"/a/../rest/./api/2/serverInfo":                 200,
		"/a/%2e%2E/rest/api/2/serverInfo":               200,
		"/%72est/api/2/%73erverInfo":                    200,
		"http://jira.example.com/rest/api/2/serverInfo": 200,
		"/rest/api/2/serverinfo":                        404,
		"/rest/api/2/%73erverInf%256f":                  404,
		"/rest%2fapi/2/serverInfo":                      400,
		"/rest%5capi/2/serverInfo":                      400,
		"/rest/api/2/serverInfo%00":                     400,
		"/rest\\api/2/serverInfo":                       400,
		"/../rest/api/2/serverInfo":                     400,
		"/rest/api/2/{serverInfo}":                      400,
		"/rest/api/2/serverInfo\xc3\xa4":                400,
	} {
		if got := raw(t, jiraURL(l), target); got.StatusCode != status {
			t.Errorf("%s: %s, want %d", target, got.Status, status)
		}
	}
}

func TestEchoShowsWhatArrived(t *testing.T) {
	t.Parallel()
	l := start(t)
	const target = "/rest/lab/1/echo//a%20b;x=1/../c?q=%2f&q=|"
	var seen struct {
		Node       string              `json:"node"`
		User       string              `json:"user"`
		RequestURI string              `json:"request_uri"`
		Path       string              `json:"path"`
		Host       string              `json:"host"`
		Header     map[string][]string `json:"header"`
		Length     int64               `json:"body_length"`
		SHA256     string              `json:"body_sha256"`
	}
	raw(t, l.Jira.Nodes()[1].URL(), target, "X-One: 1", "X-One: 2", "Authorization: Bearer "+l.Jira.PAT("bob")).json(t, &seen)
	if seen.Node != "n2" || seen.User != "bob" || seen.RequestURI != target || seen.Path != "/rest/lab/1/echo/c" || seen.Host != "jira.example.com" {
		t.Errorf("echo: %+v", seen)
	}
	if diff := cmp.Diff([]string{"1", "2"}, seen.Header["X-One"]); diff != "" {
		t.Error(diff)
	}
	body := strings.Repeat("0123456789", 100_000)
	do(t, http.MethodPatch, jiraURL(l)+"/rest/lab/1/echo", body).json(t, &seen)
	sum := sha256.Sum256([]byte(body))
	if seen.Length != 1_000_000 || seen.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("body: %d %s", seen.Length, seen.SHA256)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	l := start(t)
	n := l.Jira.Nodes()[0]
	for state, want := range map[lab.State][2]int{
		lab.StateRunning: {200, 200}, lab.StateStopping: {200, 200}, lab.StateStarting: {200, 503},
		lab.StateFirstRun: {200, 503}, lab.StateMaintenance: {503, 503}, lab.StateError: {500, 503},
	} {
		n.SetState(state)
		status := get(t, n.URL()+"/status")
		status.want(t, want[0])
		if string(status.body) != `{"state":"`+string(state)+`"}` {
			t.Errorf("status: %s", status.body)
		}
		get(t, n.URL()+"/rest/api/2/serverInfo").want(t, want[1])
		get(t, n.URL()+"/rest/lab/1/echo").want(t, http.StatusOK)
		get(t, l.Jira.Nodes()[1].URL()+"/rest/api/2/serverInfo").want(t, http.StatusOK)
	}
	if n.StatusCalls() != 6 {
		t.Errorf("status calls = %d", n.StatusCalls())
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	l := start(t)
	n := l.Jira.Nodes()[0]
	base := n.URL()
	socket, _, err := websocket.Dial(t.Context(), base+"/rest/lab/1/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	resp, err := http.Get(base + "/rest/lab/1/stream?n=0&ms=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n.Stop()
	n.Stop()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	if _, _, err := socket.Read(t.Context()); err == nil {
		t.Error("the websocket is still there")
	}
	if resp, err := http.Get(base + "/status"); err == nil {
		resp.Body.Close()
		t.Error("a stopped node answers")
	}
	get(t, l.Jira.Nodes()[1].URL()+"/status").want(t, http.StatusOK)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err == nil {
		t.Error("a running node was started")
	}
	get(t, base+"/status").want(t, http.StatusOK)
}

func TestRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	l := start(t)
	n := l.Jira.Nodes()[0]
	for i := range 600 {
		get(t, fmt.Sprintf("%s/rest/lab/1/status/204?i=%d", n.URL(), i), bearer(l.Jira.PAT("bob")))
	}
	get(t, n.URL()+"/status")
	get(t, n.URL()+"/rest/api/2/serverInfo", head("X-Test", "yes"))
	all := n.Requests()
	if len(all) != 512 {
		t.Fatalf("%d requests are remembered", len(all))
	}
	first, last := all[0], all[511]
	if first.RequestURI != "/rest/lab/1/status/204?i=89" || first.User != "bob" || first.Node != "n1" {
		t.Errorf("first: %+v", first)
	}
	if last.User != "" || last.Method != "GET" || last.Header.Get("X-Test") != "yes" {
		t.Errorf("last: %+v", last)
	}
	if b, a := l.Jira.Count("bob"), l.Jira.Count(""); b != 600 || a != 1 {
		t.Errorf("counts: bob %d, anonymous %d", b, a)
	}
}

func TestStreamsAndSockets(t *testing.T) {
	t.Parallel()
	l := start(t)
	n := l.Jira.Nodes()[0]
	events := get(t, n.URL()+"/rest/lab/1/stream?n=3&ms=1")
	events.want(t, http.StatusOK, "Content-Type", "text/event-stream")
	if strings.Count(string(events.body), "data: ") != 3 {
		t.Errorf("events: %s", events.body)
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for _, path := range []string{"/rest/lab/1/stream?n=0&ms=1", "/rest/lab/1/slow?ms=60000"} {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+path, nil)
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
	}
	eventually(t, func() bool { return n.Running() == 2 })
	leave()
	eventually(t, func() bool { return n.Abandoned() == 2 && n.Running() == 0 })
	get(t, n.URL()+"/rest/lab/1/slow?ms=1").want(t, http.StatusOK)

	socket, _, err := websocket.Dial(t.Context(), n.URL()+"/rest/lab/1/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	for _, message := range []string{"one", strings.Repeat("x", 30_000)} {
		if err := socket.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := socket.Read(t.Context()); err != nil || string(got) != message {
			t.Errorf("%v: %.20s", err, got)
		}
	}
	if err := socket.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it did not happen within 5 s")
		}
	}
}

func TestTrailersAndEarlyAnswers(t *testing.T) {
	t.Parallel()
	l := start(t)
	got := do(t, http.MethodPost, jiraURL(l)+"/rest/lab/1/trailers", "hello")
	got.want(t, http.StatusOK)
	sum := sha256.Sum256([]byte("hello"))
	if string(got.body) != "hello" || got.Trailer.Get("X-Lab-Sha256") != hex.EncodeToString(sum[:]) || got.Trailer.Get("X-Lab-Length") != "5" {
		t.Errorf("%s %v", got.body, got.Trailer)
	}

	// The answer comes although the body never does.
	conn, err := net.Dial("tcp", strings.TrimPrefix(jiraURL(l), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /rest/lab/1/early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
	all, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 413 ") {
		t.Errorf("%v: %s", err, all)
	}
	for status, path := range map[int]string{418: "418", 204: "204", 302: "302", 400: "999"} {
		get(t, jiraURL(l)+"/rest/lab/1/status/"+path).want(t, status)
	}
}

func TestProductFaultsAndHeader(t *testing.T) {
	t.Parallel()
	l := start(t)
	myself, user := jiraURL(l)+"/rest/api/2/myself", bearer(l.Jira.PAT("alice"))
	l.Jira.SetFault("/rest/api/2/myself", lab.Reply(http.StatusBadGateway, "text/plain", "no"))
	get(t, myself, user).want(t, http.StatusBadGateway)
	get(t, jiraURL(l)+"/rest/api/2/serverInfo").want(t, http.StatusOK)
	l.Jira.SetFault("/rest/api/2/myself", lab.Fault{})
	get(t, myself, user).want(t, http.StatusOK, "X-AUSERNAME", "alice")
	l.Jira.SetUserHeaderHidden(true)
	get(t, myself, user).want(t, http.StatusOK, "X-AUSERNAME", "")
	l.Jira.SetUserHeaderHidden(false)
	l.Jira.AddUser("zoë b", "developers")
	get(t, myself, bearer(l.Jira.PAT("zoë b"))).want(t, http.StatusOK, "X-AUSERNAME", "zo%C3%AB%20b")
}

func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	l := start(t)
	// A body that breaks off is not taken for a whole one.
	body := io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, jiraURL(l)+"/rest/lab/1/echo", body)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("answered %s", resp.Status)
	}
}
