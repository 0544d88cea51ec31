package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// What a call costs is measured with nothing but the proxy in this process: NATS, introspection, the lab, the
// node and the callers live in another one, so that the processor time of this process is the proxy's alone.

// worldRole makes this test binary the other process.
const worldRole = "GATEHOUSE_TEST_WORLD"

// outside tells the measuring process where everything is.
type outside struct {
	NATS  bus.Settings
	Keys  string
	Node  string
	Token string
	Seq   uint64
}

// worldProcess serves the world until stdin ends. Each line "url authorization calls" makes that many calls
// over eight connections and is answered by a line.
func worldProcess() {
	testing.Benchmark(func(b *testing.B) {
		w := newWorld(b)
		node := startNode(b)
		facts := w.site()
		facts = facts[:len(facts)-len(w.lab.Jira.Nodes())]
		facts = append(
			facts, attach(node), readOnly("read-only"), // the node says of svc-api that it is in no group
			&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: w.seal(secret.Both, w.lab.Jira.PAT("svc-api"))},
			&configv1.DirectorySet{Site: "jira", Source: "product", Account: "svc-api", MaxAge: durationpb.New(time.Hour)},
		)
		seq := w.commit(facts...)
		_ = json.NewEncoder(os.Stdout).Encode(outside{
			NATS: w.nats.Remote(topology.Gateway), Keys: w.keys, Node: node, Token: w.token(), Seq: seq,
		})
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			var url, authorization string
			var calls int
			if _, err := fmt.Sscan(lines.Text(), &url, &authorization, &calls); err != nil {
				fmt.Println("error", err)
				continue
			}
			fmt.Println(load(url, authorization, calls))
		}
	})
}

// startNode answers every call with a small reply as svc-api, as cheaply as net/http can.
func startNode(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"name":"svc-api","key":"JIRAUSER10100","emailAddress":"svc-api@example.com","displayName":"Service account","active":true,"groups":{"size":0,"items":[]}}`)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		if r.URL.Path == "/status" {
			_, _ = io.WriteString(w, `{"state":"RUNNING"}`)
			return
		}
		h.Set("X-AUSERNAME", "svc-api")
		h.Set("X-ANODEID", "n1")
		h.Set("X-AREQUESTID", "123x456x1")
		h.Set("Cache-Control", "no-cache, no-store, no-transform")
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

// load makes calls and gives "ok", or what went wrong. Replies are read by their Content-Length.
func load(target, authorization string, calls int) string {
	const conns = 8
	results := make(chan error, conns)
	for i := range conns {
		n := calls / conns
		if i < calls%conns {
			n++
		}
		go func() { results <- loadOne(target, authorization, n) }()
	}
	for range conns {
		if err := <-results; err != nil {
			return "error " + err.Error()
		}
	}
	return "ok"
}

func loadOne(target, authorization string, calls int) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	message := []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: jira.example.com\r\nUser-Agent: ci-bot/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n" +
		"Authorization: Bearer " + authorization + "\r\n\r\n")
	replies := bufio.NewReader(conn)
	for range calls {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if err := readReply(replies); err != nil {
			return err
		}
	}
	return nil
}

func readReply(replies *bufio.Reader) error {
	length, first := 0, true
	for {
		line, err := replies.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !strings.HasPrefix(string(line), "HTTP/1.1 200") {
			return fmt.Errorf("%.60q", line)
		}
		first = false
		if len(line) == 2 {
			_, err := replies.Discard(length)
			return err
		}
		if name, value, _ := strings.Cut(string(line), ":"); strings.EqualFold(name, "Content-Length") {
			if _, err := fmt.Sscan(value, &length); err != nil {
				return err
			}
		}
	}
}

// other is the other process.
type other struct {
	outside
	in      io.Writer
	answers *bufio.Scanner
}

func startOther(b *testing.B) *other {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), //nolint:forbidigo // the other process is this one again
		worldRole+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	o := &other{in: in, answers: bufio.NewScanner(out)}
	if !o.answers.Scan() {
		b.Fatal("the other process does not start")
	}
	if err := json.Unmarshal(o.answers.Bytes(), &o.outside); err != nil {
		b.Fatal(err)
	}
	return o
}

// calls has the other process make n calls and gives this process's processor time per call.
func (o *other) calls(b *testing.B, target string) time.Duration {
	b.Helper()
	const n = 2000
	began := processorTime(b)
	if _, err := fmt.Fprintln(o.in, target, o.Token, n); err != nil {
		b.Fatal(err)
	}
	if !o.answers.Scan() || o.answers.Text() != "ok" {
		b.Fatal(o.answers.Text())
	}
	return (processorTime(b) - began) / time.Duration(n)
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCall is the cost of a call with a remembered token through the whole policy, forward and record
// included, beside a stock httputil.ReverseProxy without authentication, in turns in one run on one core.
func BenchmarkCall(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	o := startOther(b)
	direct := stockProxy(b, o.Node)
	through := startGatewayFor(b, o)
	const path = "/rest/api/2/myself?expand=groups"
	o.calls(b, through+path) // warm up
	o.calls(b, direct+path)
	var gatewayTime, proxyTime time.Duration
	rounds := 0
	for b.Loop() {
		gatewayTime += o.calls(b, through+path)
		proxyTime += o.calls(b, direct+path)
		rounds++
	}
	b.ReportMetric(float64(gatewayTime.Nanoseconds())/float64(rounds), "gateway-cpu-ns/call")
	b.ReportMetric(float64(proxyTime.Nanoseconds())/float64(rounds), "stockproxy-cpu-ns/call")
	b.ReportMetric(float64(gatewayTime)/float64(proxyTime), "gateway/stockproxy")
	b.ReportMetric(0, "ns/op")
}

func stockProxy(b *testing.B, node string) string {
	u, err := url.Parse(node)
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 64} // the default keeps two, which would be no match
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

func startGatewayFor(b *testing.B, o *other) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	w := &world{t: b, keys: o.Keys}
	host := service.NewProcess(testkit.Logger(b), nil).Host("gateway", "")
	s := gateway.Settings{
		Settings: o.NATS, DataDir: b.TempDir(), KeysDir: o.Keys, Listener: l, IdentityTimeout: 3 * time.Second,
		IdentityCache: 1000, AuditSpool: 4 << 30, ReplyTimeout: 5 * time.Second, ShutdownGrace: 5 * time.Second,
	}
	r := &running{url: "http://" + l.Addr().String()}
	r.stop = w.run("gateway", func(ctx context.Context) error { return gateway.Run(ctx, host, s) })
	b.Cleanup(sync.OnceFunc(r.stop))
	r.reached(b, o.Seq)
	return r.url
}
