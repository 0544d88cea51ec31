// Package telemetry is how a process is seen from outside: JSON logs, Prometheus metrics, OpenTelemetry traces.
//
// Nothing is global: whoever needs a tracer or a registry is given one, so that five services live in one
// process and a test starts three gateways.
//
// # When a dependency is gone
//
//	OTLP collector away   spans are dropped after a bounded queue; calls are never slowed
//	no collector set      no span is recorded; the trace context of callers is passed on all the same
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

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

// Logger writes JSON lines of a service.
func Logger(w io.Writer, level slog.Level, service string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With(slog.String("service", service))
}

// Tracing gives a tracer provider, nil when no collector is set, and what ends it, sending what is left.
func Tracing(ctx context.Context, s Settings, process string) (trace.TracerProvider, func(context.Context) error, error) {
	if s.OTLPEndpoint == "" {
		return nil, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.OTLPEndpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("traces to %s: %w", s.OTLPEndpoint, err)
	}
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.TraceRatio))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", process))),
	)
	return tp, tp.Shutdown, nil
}
