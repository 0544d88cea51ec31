package gateway

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// ServeHTTP takes one call through the policy and to its answer, and records it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls.Add(1)
	defer g.calls.Done()
	c := call{gw: g, w: w, r: r, ctx: r.Context(), plan: g.plan.Load(), at: time.Now(), id: newRequestID(), outcome: completed}
	if g.tracing {
		var end func()
		c.ctx, end = g.trace(&c)
		defer end()
	}
	h := w.Header()
	h["X-Gatehouse-Request-Id"] = []string{c.id}
	defer c.finish() // also when a reply is cut short by a panic
	if c.plan == nil {
		answerHere(&c, refuse(noConfiguration, ""))
		return
	}
	h["X-Gatehouse-Config-Version"] = c.plan.version
	c.answer = walk(&c)
	if c.answer.forwarded() {
		c.answer = forward(&c)
	}
	if c.status == 0 && !c.answer.forwarded() {
		answerHere(&c, c.answer)
	}
}

// finish counts the call and records how it ended, unless all was recorded before it was answered.
func (c *call) finish() {
	counts := &c.gw.counts.shared
	if c.site != nil {
		counts = c.site.counts
	}
	counts.count(c.decision(), c.answer.reason)
	if c.unrecorded {
		c.gw.counts.unrecorded.Inc()
	}
	if c.entry.Begun() && !c.kept {
		_ = c.end() // what the disk refuses waits for it
	}
}

// trace begins the span of a call and continues the caller's trace.
func (g *gateway) trace(c *call) (context.Context, func()) {
	ctx := propagation.TraceContext{}.Extract(c.ctx, propagation.HeaderCarrier(c.r.Header))
	ctx, span := g.tracer.Start(ctx, "call", trace.WithSpanKind(trace.SpanKindServer))
	if span.SpanContext().HasTraceID() {
		c.traceID = span.SpanContext().TraceID().String()
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(c.r.Header)) // for the node
	return ctx, func() {
		span.SetAttributes(attribute.String("http.request.method", c.r.Method), attribute.Int("http.response.status_code", c.status),
			attribute.String("gatehouse.reason", string(c.answer.reason)), attribute.String("gatehouse.request_id", c.id))
		span.End()
	}
}

// span runs a part of a call as a part of its trace.
func (g *gateway) span(ctx context.Context, name string, part func(context.Context) error) error {
	if !g.tracing {
		return part(ctx)
	}
	ctx, span := g.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	err := part(ctx)
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	return err
}
