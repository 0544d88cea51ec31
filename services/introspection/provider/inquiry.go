package provider

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// inquiry is what a validator may ask of a provider over HTTP, in the name of one token.
type inquiry struct {
	*Via
	endpoint *Endpoint
	key      [32]byte // of the token: failures count once a token
}

// request makes one HTTP request. It is made anew for each try.
type request func(ctx context.Context) (*http.Request, error)

// response is what a provider answered, and when. Its body is JSON by its Content-Type, whole and bounded.
type response struct {
	status int
	body   []byte
	at     time.Time
}

// call is one question to a provider.
type call struct {
	what string // as metrics and spans name it
	// public: it is about what the provider publishes. How that goes says nothing of how tokens are judged there.
	public bool
	make   request
	// mean tells what is wrong with a status; nil: 200 is wanted.
	mean func(status int) *remote.Problem
	// read reads the reply.
	read func(response) (remote.Result, *remote.Problem)
}

// send asks the provider, unless the breaker or the gate forbids it.
func (q *inquiry) send(ctx context.Context, c call) *remote.Problem {
	e := q.endpoint
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	breaker := e.Breaker
	if c.public {
		breaker = e.published
	}
	if breaker.Refuses(time.Now()) {
		q.Counted(e, c.what, "refused_by_breaker", 0)
		return resting()
	}
	if err := e.Gate.Enter(ctx); err != nil {
		q.Counted(e, c.what, "refused_by_limit", 0)
		return &remote.Problem{Result: remote.Refused, Text: "it is asked too much at once"}
	}
	defer e.Gate.Leave()
	ok, probe := breaker.Admit(time.Now())
	if !ok {
		q.Counted(e, c.what, "refused_by_breaker", 0)
		return resting()
	}
	r := remote.Unknown
	defer func() { breaker.Settle(q.key, r, probe, time.Now()) }()
	ctx, span := q.Tracer.Start(ctx, c.what+" at provider", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("site", e.Site), attribute.String("provider", e.Provider)))
	defer span.End()
	began := time.Now()
	became, p := q.exchange(ctx, c)
	if p != nil {
		became = p.Result
		span.SetStatus(codes.Error, p.Text)
	}
	r = became.Reach()
	q.Counted(e, c.what, string(became), time.Since(began))
	span.SetAttributes(attribute.String("result", string(became)))
	q.note(ctx, e, became, p)
	return p
}

// resting is a provider that did not answer lately.
func resting() *remote.Problem {
	return &remote.Problem{Result: remote.Refused, Text: "it did not answer lately and is left alone for a while"}
}

// exchange is the HTTP call itself.
func (q *inquiry) exchange(ctx context.Context, c call) (remote.Result, *remote.Problem) {
	r, err := c.make(witness.To(ctx, "provider "+q.endpoint.Provider))
	if err != nil {
		return "", &remote.Problem{Result: remote.Unreachable, Text: "its endpoint is no URL, or our key does not sign"}
	}
	remote.SetCommon(r.Header)
	answer, err := q.Client.Do(r) //nolint:bodyclose // remote.Finish closes it
	out := response{at: time.Now()}
	if err != nil {
		return "", remote.NotAnswered(ctx, err)
	}
	defer remote.Finish(answer)
	out.status = answer.StatusCode
	mean := c.mean
	if mean == nil {
		mean = statusProblem
	}
	if p := mean(out.status); p != nil {
		return "", p
	}
	var p *remote.Problem
	if out.body, p = remote.ReadReply(ctx, answer); p != nil {
		return "", p
	}
	return c.read(out)
}

// note logs how it goes with a provider, when that is worth a line.
func (q *inquiry) note(ctx context.Context, e *Endpoint, r remote.Result, p *remote.Problem) {
	worth, healed := e.notes.Worth(r, time.Now())
	if !worth {
		return
	}
	attrs := []slog.Attr{slog.String("site", e.Site), slog.String("provider", e.Provider), slog.String("result", string(r))}
	if healed {
		q.Log.LogAttrs(ctx, slog.LevelInfo, "provider answers again", attrs...)
		return
	}
	q.Log.LogAttrs(ctx, slog.LevelWarn, "provider gave no answer", append(attrs, slog.String("problem", p.Text))...)
}
