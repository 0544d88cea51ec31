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
	c := call{gw: g, w: w, r: r, ctx: r.Context(), plan: g.plan.Load(), at: time.Now(), id: newRequestID(), outcome: "completed"}
	if g.tracing {
		var end func()
		c.ctx, end = g.trace(&c)
		defer end()
	}
	h := w.Header()
	h["X-Gatehouse-Request-Id"] = []string{c.id}
	if c.plan == nil {
		c.site = nil
		answerRefusal(&c, refuse(noConfiguration, ""))
		g.counts.shared.count("deny", noConfiguration)
		return
	}
	h["X-Gatehouse-Config-Version"] = c.plan.version
	defer c.finish() // also when a reply is cut short by a panic
	c.answer = walk(&c)
	switch c.answer.kind {
	case pass, asNobody, asThemself, asAccount:
		c.answer = forward(&c)
	case deny, own, goOn:
	}
	if c.status == 0 && (c.answer.kind == deny || c.answer.kind == own || c.answer.kind == goOn) {
		answerRefusal(&c, c.answer)
	}
}

// finish counts and records the call.
func (c *call) finish() {
	counts := &c.gw.counts.shared
	if c.site != nil {
		counts = c.site.counts
	}
	counts.count(c.answer.decision(), c.answer.reason)
	switch {
	case c.unrecorded:
		c.gw.counts.unrecorded.Inc()
	case c.recorded():
		c.gw.trail.add(c.record(c.answer, time.Now()))
	}
}

// recorded tells whether the site wants this call in its audit trail.
func (c *call) recorded() bool {
	if c.site == nil {
		return true // nobody's call: kept, because somebody tried
	}
	audit := c.site.config.Audit
	return audit.Enabled && (audit.Pages || (c.answer.reason != notAPI && c.answer.reason != disabled))
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
