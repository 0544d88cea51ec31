package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gatehouse-suite/gatehouse/shared/service"
)

// A service says of itself whether it is ready; its process asks all of them.
func Example() {
	p := service.NewProcess(slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil)
	gateway, audit := p.Host("gateway", "eu"), p.Host("audit", "")
	gateway.Health.Set(func() service.Check { return service.Check{Ready: true} })
	fmt.Print(ask(p, "/readyz"))
	audit.Health.Set(func() service.Check { return service.Check{Ready: true, Detail: "all stored"} })
	fmt.Print(ask(p, "/readyz"))
	// Output:
	// 503 {"ready":false,"checks":{"audit":{"ready":false,"detail":{"state":"starting"}},"gateway/eu":{"ready":true}}}
	// 200 {"ready":true,"checks":{"audit":{"ready":true,"detail":"all stored"},"gateway/eu":{"ready":true}}}
}

func ask(p *service.Process, path string) string {
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return fmt.Sprint(w.Code, " ", w.Body)
}

func TestAProcessWithoutServicesIsAliveButNotReady(t *testing.T) {
	t.Parallel()
	p := service.NewProcess(slog.New(slog.DiscardHandler), nil)
	if got := ask(p, "/readyz"); got != `503 {"ready":false,"checks":{}}`+"\n" {
		t.Error(got)
	}
	if got := ask(p, "/livez"); got != "200 ok\n" {
		t.Error(got)
	}
	if got := ask(p, "/"); !strings.HasPrefix(got, "404") {
		t.Error(got)
	}
}

func TestTheLastCheckOfAServiceCounts(t *testing.T) {
	t.Parallel()
	p := service.NewProcess(slog.New(slog.DiscardHandler), nil)
	h := p.Host("gateway", "")
	ready := false
	h.Health.Set(func() service.Check { return service.Check{Detail: "never asked"} })
	h.Health.Set(func() service.Check { return service.Check{Ready: ready} })
	for _, ready = range []bool{true, false, true} {
		if got := ask(p, "/readyz"); strings.HasPrefix(got, "200") != ready {
			t.Errorf("ready %t: %s", ready, got)
		}
	}
}

func TestACheckThatIsNoJSONIsNotReady(t *testing.T) {
	t.Parallel()
	p := service.NewProcess(slog.New(slog.DiscardHandler), nil)
	p.Host("gateway", "").Health.Set(func() service.Check { return service.Check{Ready: true, Detail: math.NaN()} })
	if got := ask(p, "/readyz"); !strings.HasPrefix(got, "500") {
		t.Fatal(got)
	}
}

func TestLogAndMetricsNameTheServiceOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := service.NewProcess(slog.New(slog.NewJSONHandler(&log, nil)).With(slog.String("process", "suite")), nil)
	for _, instance := range []string{"one", "two"} {
		h := p.Host("gateway", instance)
		h.Log.Info("hello")
		h.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "calls"}, func() float64 { return 7 }))
		if h.Tracing || h.Tracer == nil {
			t.Error("nobody looks at traces")
		}
	}
	for line, instance := range map[int]string{0: "one", 1: "two"} {
		text := strings.Split(log.String(), "\n")[line]
		var got map[string]string
		if err := json.Unmarshal([]byte(text), &got); err != nil || got["service"] != "gateway" || got["instance"] != instance || got["process"] != "suite" ||
			strings.Count(text, `"service"`) != 1 {
			t.Errorf("%s: %v", text, err)
		}
		if metrics := ask(p, "/metrics"); !strings.Contains(metrics, `calls{instance_id="`+instance+`",service="gateway"} 7`) || !strings.Contains(metrics, "go_goroutines") {
			t.Errorf("%.300s", metrics)
		}
	}
}

func TestAMetricThatIsWrongHidesNoOther(t *testing.T) {
	t.Parallel()
	p := service.NewProcess(slog.New(slog.DiscardHandler), nil)
	h := p.Host("gateway", "")
	h.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "good"}, func() float64 { return 7 }), broken{})
	if got := ask(p, "/metrics"); !strings.HasPrefix(got, "200") || !strings.Contains(got, "good{") {
		t.Fatalf("%.300s", got)
	}
}

// broken collects what it never described, and wrongly.
type broken struct{}

func (broken) Describe(chan<- *prometheus.Desc) {}
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(os.ErrInvalid), os.ErrInvalid)
}

func TestSpansGoToTheGivenProvider(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	h := service.NewProcess(slog.New(slog.DiscardHandler), trace.NewTracerProvider(trace.WithSyncer(spans))).Host("audit", "")
	_, span := h.Tracer.Start(t.Context(), "copy")
	span.End()
	if got := spans.GetSpans(); !h.Tracing || len(got) != 1 || !strings.HasSuffix(got[0].InstrumentationScope.Name, "/services/audit") {
		t.Fatalf("%+v", got)
	}
}
