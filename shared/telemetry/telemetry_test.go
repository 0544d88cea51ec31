package telemetry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	s, err := settings.Load[telemetry.Settings]([]string{"GATEHOUSE_LOG_LEVEL=warn"})
	if err != nil {
		panic(err)
	}
	log := telemetry.Logger(os.Stdout, s.LogLevel, "gateway")
	log.Info("too quiet to be heard")
	tracing, flush, err := telemetry.Tracing(context.Background(), log, s, "gatehouse-gateway")
	fmt.Println(tracing, flush(context.Background()), err)
	// Output: <nil> <nil> <nil>
}

func TestALineIsJSONAndSaysWhichProcess(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := telemetry.Logger(&out, slog.LevelInfo, "suite").With(slog.String("service", "gateway"))
	log.Debug("no")
	log.Info("yes")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"msg":"yes","process":"suite","service":"gateway"}`) {
		t.Fatalf("got %s", got)
	}
}

// collector takes spans until its status is another.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	got   []string // path and body
	fails bool
}

func collect(t *testing.T) *collector {
	t.Helper()
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, r.URL.Path+" "+string(body))
		if c.fails {
			http.Error(w, "no", http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) fail(fails bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = fails
}

func (c *collector) spans() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

// flusher is what a provider of the SDK can do.
type flusher interface {
	trace.TracerProvider
	ForceFlush(ctx context.Context) error
}

func tracing(t *testing.T, log *slog.Logger, endpoint string, ratio float64) (flusher, func(context.Context) error) {
	t.Helper()
	tp, flush, err := telemetry.Tracing(t.Context(), log, telemetry.Settings{OTLPEndpoint: endpoint, TraceRatio: ratio}, "gatehouse-tests")
	if err != nil {
		t.Fatal(err)
	}
	return tp.(flusher), flush
}

func TestSpansReachTheCollector(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "/v1/traces ", "/": "/v1/traces ", "/tenant/v1/traces": "/tenant/v1/traces "} {
		c := collect(t)
		tp, flush := tracing(t, slog.New(slog.DiscardHandler), c.URL+path, 1)
		_, span := tp.Tracer("").Start(t.Context(), "the span")
		span.End()
		if err := flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := c.spans()
		if len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.Contains(got[0], "the span") || !strings.Contains(got[0], "gatehouse-tests") {
			t.Errorf("to %q: %q", path, got)
		}
	}
	if otel.GetTracerProvider() == nil || strings.Contains(fmt.Sprintf("%T", otel.GetTracerProvider()), "sdk") {
		t.Error("a provider was made global")
	}
}

func TestTheRatioIsOfCallsWithoutASampledParent(t *testing.T) {
	t.Parallel()
	c := collect(t)
	tp, flush := tracing(t, slog.New(slog.DiscardHandler), c.URL, 0)
	_, alone := tp.Tracer("").Start(t.Context(), "alone")
	alone.End()
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, child := tp.Tracer("").Start(trace.ContextWithRemoteSpanContext(t.Context(), parent), "child")
	child.End()
	if err := flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.spans(), ""); !strings.Contains(got, "child") || strings.Contains(got, "alone") {
		t.Fatalf("got %q", got)
	}
}

func TestACollectorThatRefusesIsSaidOnce(t *testing.T) {
	t.Parallel()
	c := collect(t)
	var log bytes.Buffer // written while this goroutine flushes
	tp, flush := tracing(t, slog.New(slog.NewTextHandler(&log, nil)), c.URL, 1)
	for _, fails := range []bool{true, true, false, false, true} {
		c.fail(fails)
		_, span := tp.Tracer("").Start(t.Context(), "x")
		span.End()
		if err := tp.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := flush(t.Context()); err != nil {
		t.Error(err)
	}
	if lost, again := strings.Count(log.String(), "traces are lost"), strings.Count(log.String(), "traces again"); lost != 2 || again != 1 {
		t.Fatalf("%s", log.String())
	}
}

func TestNoCollectorHoldsNothingUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	tp, flush := tracing(t, slog.New(slog.DiscardHandler), "http://"+address, 1)
	for range 5000 { // more than the queue holds
		_, span := tp.Tracer("").Start(t.Context(), "x")
		span.End()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = flush(ctx)
	if took := time.Since(began); took > 2*time.Second {
		t.Fatalf("the end took %s", took)
	}
}

func TestAnEndpointThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"collector:4318", "nonsense", "ftp://collector", "http://", "://", "grpc://collector:4317"} {
		_, _, err := telemetry.Tracing(t.Context(), slog.New(slog.DiscardHandler), telemetry.Settings{OTLPEndpoint: endpoint}, "x")
		if err == nil || !strings.Contains(err.Error(), endpoint) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
