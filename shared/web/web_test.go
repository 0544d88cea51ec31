package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	w := httptest.NewRecorder()
	web.Fault(w, http.StatusUnprocessableEntity, fault.New(fault.Invalid, "one problem").WithProblems(
		fault.Problem{Path: "sites[0].id", Message: "missing"}))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Print(w.Body)
	// Output:
	// 422 application/json
	// {"code":"invalid","message":"one problem","problems":[{"path":"sites[0].id","message":"missing"}]}
}

func TestFaultsAreAnsweredByTheirCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		err    error
		want   int
		body   string
	}{
		"own status":   {0, fault.New(fault.NotFound, "no such site"), 404, `{"code":"not_found","message":"no such site"}`},
		"given status": {409, fault.New("gateways_too_old", "update"), 409, `{"code":"gateways_too_old","message":"update"}`},
		"wrapped":      {0, fmt.Errorf("a: %w", fault.Wrap(fault.Unavailable, "away", errors.New("hunter2"))), 503, `{"code":"unavailable","message":"away"}`},
		"unclassified": {0, errors.New("hunter2"), 500, `{"code":"internal","message":"internal error"}`},
	} {
		w := httptest.NewRecorder()
		web.Fault(w, c.status, c.err)
		if w.Code != c.want || w.Body.String() != c.body+"\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestWhatIsNoJSONIsAnInternalError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	web.JSON(w, http.StatusOK, func() {})
	if w.Code != http.StatusInternalServerError || w.Body.Len() != 0 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// server is a Serve under way.
type server struct {
	address string
	stop    context.CancelFunc
	ended   chan error
}

func serve(t testing.TB, s web.Settings, handler http.HandlerFunc) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	v := &server{address: l.Addr().String(), stop: stop, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() { defer close(done); v.ended <- web.Serve(ctx, l, handler, s) }()
	t.Cleanup(func() { stop(); <-done })
	return v
}

// get asks and gives status and body. It keeps no connection.
func (s *server) get(t testing.TB) (int, string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.address)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRunningRequestsEndAndNewOnesAreNotTaken(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := serve(t, web.Settings{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		close(entered)
		<-release
		_, _ = fmt.Fprint(w, "last ", r.Context().Err())
	})
	var all sync.WaitGroup
	all.Go(func() {
		if status, body, err := s.get(t); status != 200 || body != "first last <nil>" || err != nil {
			t.Errorf("%d %q, %v", status, body, err)
		}
	})
	<-entered
	s.stop()
	for { // until the listener is closed
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	select {
	case err := <-s.ended:
		t.Fatalf("ended while a request was running: %v", err)
	default:
	}
	close(release)
	all.Wait()
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
}

func TestWhatRunsTooLongIsCutOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	var log syncBuffer
	s := serve(t, web.Settings{Drain: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))}, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	var all sync.WaitGroup
	all.Go(func() {
		if status, _, err := s.get(t); err == nil {
			t.Errorf("answered %d", status)
		}
	})
	<-entered
	s.stop()
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if got := log.String(); !strings.Contains(got, "cut off") || !strings.Contains(got, s.address) || !strings.Contains(got, "20ms") {
		t.Errorf("log: %s", got)
	}
}

func TestAListenerThatFailsEndsServe(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := web.Serve(t.Context(), l, http.NotFoundHandler(), web.Settings{}); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("got %v", err)
	}
}

func TestAHeaderThatDoesNotEndIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, web.Settings{HeaderTimeout: 50 * time.Millisecond}, func(http.ResponseWriter, *http.Request) { t.Error("handled") })
	c := s.dial(t)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection stays open")
	}
}

func TestABigHeaderIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, web.Settings{MaxHeaderBytes: 8 << 10}, func(http.ResponseWriter, *http.Request) {})
	for size, want := range map[int]int{4 << 10: 200, 16 << 10: 431} {
		c := s.dial(t)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("x", size)+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, resp.StatusCode, want)
		}
	}
}

func TestABodyMayTakeItsTime(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	s := serve(t, web.Settings{HeaderTimeout: 20 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), err)
	})
	c := s.dial(t)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nsl")
	<-began
	timer := time.NewTimer(60 * time.Millisecond) // longer than a header may take
	<-timer.C
	_, _ = io.WriteString(c, "ow")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "slow<nil>" {
		t.Fatalf("%q, %v", body, err)
	}
}

func TestAPanicIsLoggedAndNotTheEnd(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	var calls atomic.Int64
	s := serve(t, web.Settings{Log: slog.New(slog.NewJSONHandler(&log, nil))}, func(http.ResponseWriter, *http.Request) {
		if calls.Add(1) == 1 {
			panic("hunter2")
		}
	})
	if _, _, err := s.get(t); err == nil {
		t.Error("a panic was answered")
	}
	if status, _, err := s.get(t); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if got := log.String(); !strings.HasPrefix(got, `{"time"`) || !strings.Contains(got, `"level":"WARN"`) || !strings.Contains(got, "hunter2") {
		t.Errorf("log: %s", got)
	}
}

// syncBuffer is a log that two goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
