// Package telemetry is how a process is seen from outside: JSON logs, Prometheus metrics, OpenTelemetry traces.
//
// Nothing is global: whoever needs a tracer or a registry is given one, so that five services live in one
// process and a test starts three gateways.
//
// # When a dependency is gone
//
//	OTLP collector away   spans are dropped after a bounded queue, and the log says so once; calls are never slowed
//	no collector set      no span is recorded; the trace context of callers is passed on all the same
package telemetry
