package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Settings of a process's telemetry.
type Settings struct {
	// LogLevel is debug, info, warn or error.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	// OTLPEndpoint is the URL of an OpenTelemetry collector (OTLP over HTTP); empty: no traces.
	OTLPEndpoint string `env:"OTLP_ENDPOINT"`
	// TraceRatio is the share of calls without a sampled parent that are traced, 0 to 1.
	TraceRatio float64 `env:"TRACE_RATIO" envDefault:"0.01"`
}

// Logger writes the JSON lines of a process; each service in it adds its own name under "service".
func Logger(w io.Writer, level slog.Level, process string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With(slog.String("process", process))
}

// Tracing gives a tracer provider, nil when no collector is set, and what ends it, sending what is left. It does
// not ask whether the collector is there.
func Tracing(ctx context.Context, log *slog.Logger, s Settings, process string) (trace.TracerProvider, func(context.Context) error, error) {
	if s.OTLPEndpoint == "" {
		return nil, func(context.Context) error { return nil }, nil
	}
	endpoint, err := url.Parse(s.OTLPEndpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return nil, nil, fmt.Errorf("traces to %.200q: want a URL such as http://collector:4318", s.OTLPEndpoint)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces" // as OTEL_EXPORTER_OTLP_ENDPOINT is read
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()))
	if err != nil {
		return nil, nil, fmt.Errorf("traces to %s: %w", s.OTLPEndpoint, err)
	}
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&exporter{SpanExporter: client, log: log}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.TraceRatio))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", process))),
	)
	return tp, tp.Shutdown, nil
}

// exporter logs when spans begin to be lost and when they no longer are. The SDK would hand each error to a
// global handler, which writes lines that are no JSON.
type exporter struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans sends spans, or drops them.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch failing := err != nil; {
	case e.failing.Swap(failing) == failing:
	case failing:
		e.log.LogAttrs(ctx, slog.LevelWarn, "traces are lost: the collector does not take them", slog.Any("error", err))
	default:
		e.log.LogAttrs(ctx, slog.LevelInfo, "the collector takes traces again")
	}
	return nil
}
