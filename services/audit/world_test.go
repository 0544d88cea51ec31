package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" { //nolint:forbidigo // it is a main
		os.Exit(service.Main("audit", os.Environ(), os.Stderr, func(ctx context.Context, host *service.Host, s Settings) error { //nolint:forbidigo // it is a main
			s.Intervals = short()
			return Run(ctx, host, s)
		}))
	}
	if os.Getenv(asClient) != "" { //nolint:forbidigo // it is a main
		if err := natsPub(os.Args[1:]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// asProcess is the variable that makes the test's binary the service, for tests that kill it.
const asProcess = "GATEHOUSE_TEST_AS_PROCESS"

// short are intervals for tests.
func short() Intervals {
	return Intervals{
		Poll: 2 * time.Millisecond, Gather: 5 * time.Millisecond, Check: 50 * time.Millisecond, Doubt: 50 * time.Millisecond, Marks: 100 * time.Millisecond,
		Standby: 50 * time.Millisecond, Retry: 100 * time.Millisecond, Attempt: time.Second, Transaction: 10 * time.Second,
		Drain: 5 * time.Second, Seal: 20 * time.Millisecond, Log: 100 * time.Millisecond, Resend: 2 * time.Second,
	}
}

const adminToken = "first-admin"

// world is a NATS server, a database and a gateway's right to publish.
type world struct {
	nats    *testkit.NATS
	url     string
	gateway jetstream.JetStream
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{nats: testkit.StartNATS(t), url: testkit.Postgres(t, Migrate)}
	w.gateway = w.nats.JetStream(t, topology.Gateway)
	return w
}

// instance is a running service.
type instance struct {
	base    string // of its URLs
	process *service.Process
	stop    func() // and wait
}

// start runs a service until the test ends, with short intervals.
func (w *world) start(t testing.TB, change ...func(*Settings)) *instance {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{
		DatabaseURL: w.url, AdminToken: adminToken, Settings: w.nats.Settings(topology.Audit), Listener: listener,
		Intervals: short(), SignInEvery: -1,
	}
	for _, c := range change {
		c(&s)
	}
	in := &instance{base: "http://" + listener.Addr().String(), process: service.NewProcess(testkit.Logger(t), nil)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, in.process.Host("audit", ""), s) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(in.stop)
	return in
}

// seldomPurged leaves committed messages in the stream until the next start.
func seldomPurged(s *Settings) { s.Intervals.Check = time.Hour }

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// ops asks for /readyz or /metrics.
func (in *instance) ops(path string) (int, string) {
	w := httptest.NewRecorder()
	in.process.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// health gives whether the service is ready and what it says of itself.
func (in *instance) health(t testing.TB) (bool, detail) {
	t.Helper()
	status, body := in.ops("/readyz")
	var answer struct {
		Checks map[string]struct{ Detail detail }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	said, ok := answer.Checks["audit"]
	return ok && status == http.StatusOK, said.Detail
}

func (in *instance) awaitReady(t testing.TB) {
	t.Helper()
	await(t, "ready", func() bool { ready, _ := in.health(t); return ready })
}

// metric gives the value of a metric.
func (in *instance) metric(t testing.TB, name string) float64 {
	t.Helper()
	_, body := in.ops("/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+"{"); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// get asks the API as the first admin.
func (in *instance) get(t testing.TB, query string) (int, string) {
	t.Helper()
	return in.getAs(t, adminToken, query)
}

func (in *instance) getAs(t testing.TB, token, query string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.base+"/api/v1/audit/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return do(t, r)
}

func do(t testing.TB, r *http.Request) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// search asks for a page that must be given.
func (in *instance) search(t testing.TB, query string) reading.Page {
	t.Helper()
	status, body := in.get(t, query)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", query, status, body)
	}
	var p reading.Page
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// batch makes records number first to last of an epoch; change may make them something special.
func batch(gateway string, epoch, first, last uint64, change ...func(n uint64, r *auditv1.Record)) *auditv1.Batch {
	b := &auditv1.Batch{Gateway: gateway, Epoch: epoch, First: first}
	for n := first; n <= last; n++ {
		r := &auditv1.Record{
			Time: uint64(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).UnixNano()) + n*1e6, RequestId: fmt.Sprintf("%s-%d-%d", gateway, epoch, n),
			Site: "jira", Node: "n1", ConfigVersion: 7, Credential: "oauth", Provider: "corp", ClientId: "ci-bot", User: "alice",
			Decision: "allow", Reason: "allowed", Outcome: "completed", Method: "GET", Path: "/rest/api/2/myself", Status: 200,
			BytesOut: 512, Duration: 3e6, UpstreamDuration: 2e6, ClientIp: "192.0.2.7", UserAgent: "curl/8", CredentialFingerprint: "0123456789abcdef",
			TraceId: "0af7651916cd43dd8448eb211c80319c", Query: "expand=groups",
		}
		for _, c := range change {
			c(n, r)
		}
		b.Records = append(b.Records, r)
	}
	return b
}

// publish puts batches into the stream, as their gateways would.
func (w *world) publish(t testing.TB, batches ...*auditv1.Batch) {
	t.Helper()
	for _, b := range batches {
		body, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		w.publishRaw(t, b.GetGateway(), body)
	}
}

func (w *world) publishRaw(t testing.TB, gateway string, body []byte) {
	t.Helper()
	id := nuid.Next()
	await(t, "published", func() bool { // NATS may be away for a moment
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.gateway.Publish(ctx, topology.AuditIn(gateway), body, jetstream.WithMsgID(id))
		return err == nil
	})
}

// row asks the database for one row.
func row[T any](t testing.TB, url, sql string, args ...any) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func exec(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) count(t testing.TB) int64 {
	t.Helper()
	return row[int64](t, w.url, `SELECT count(*) FROM audit.call`)
}

func (w *world) awaitCount(t testing.TB, want int64) {
	t.Helper()
	await(t, fmt.Sprintf("%d calls", want), func() bool { return w.count(t) == want })
}

// exact makes sure that ids are dense and no record is there twice.
func (w *world) exact(t testing.TB) {
	t.Helper()
	const located = `SELECT count(*) FROM audit.call c JOIN audit.run r USING (gateway, epoch)
		WHERE c.n BETWEEN r.first_n AND r.last_n AND c.id = r.first_id + c.n - r.first_n`
	if n, all := row[int64](t, w.url, located), w.count(t); n != all {
		t.Errorf("%d of %d calls are found by their numbers", n, all)
	}
	const dense = `SELECT coalesce(min(id), 1) = 1 AND coalesce(max(id), 0) = count(*) AND count(DISTINCT (gateway, epoch, n)) = count(*)
		AND count(*) = (SELECT last_id FROM audit.head) AND count(*) = (SELECT coalesce(sum(rows), 0) FROM audit.part) FROM audit.call`
	if !row[bool](t, w.url, dense) {
		t.Error("ids are not dense, or a record is there twice, or the catalogue is wrong")
	}
}

// recreateStream makes the stream AUDIT anew, with its sequence from 1, as after a lost disk.
func (w *world) recreateStream(t testing.TB) {
	t.Helper()
	w.nats.Stop()
	w.removeStream(t)
	w.nats.Start(t)
	w.ensureStreams(t)
}

// removeStream takes the stream AUDIT from a stopped server.
func (w *world) removeStream(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(w.nats.Store(), topology.StreamAudit)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) ensureStreams(t testing.TB) {
	t.Helper()
	js := w.nats.JetStream(t, topology.Config)
	await(t, "stream made anew", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return topology.Ensure(ctx, js, topology.Limits{}) == nil
	})
}
