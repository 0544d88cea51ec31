package introspection

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// asker asks providers about tokens: from the cache, else once for all who ask the same at the same time.
type asker struct {
	client   *http.Client
	timeout  time.Duration
	keys     *keyer
	answers  *answers
	flights  flights[*answer]
	log      *slog.Logger
	tracer   trace.Tracer
	counters *counters
}

// ask gives a provider's word on a token. The error is a fault, unavailable.
func (a *asker) ask(ctx context.Context, p *provider, token string) (*answer, error) {
	if p.ask == nil {
		return nil, fault.New(fault.Unavailable, "provider "+p.id+" cannot be asked: "+p.trouble)
	}
	k := a.key(p, token)
	if found := a.answers.lookup(k, p, time.Now()); found != nil {
		a.counters.looked("introspect", true)
		return found, nil
	}
	a.counters.looked("introspect", false)
	return a.flights.do(ctx, k, "provider "+p.id+" has not answered yet", func(ctx context.Context) (*answer, error) { return a.shared(ctx, p, k, token) })
}

// cached gives what is known of a token without asking, or nil.
func (a *asker) cached(p *provider, token string) *answer {
	if p.ask == nil {
		return nil
	}
	return a.answers.lookup(a.key(p, token), p, time.Now())
}

// key holds all an answer depends on, so a changed provider never sees an old answer, and a provider of the
// same id at another site never sees this one's.
func (a *asker) key(p *provider, token string) key {
	return a.keys.of(p.ask.site, p.ask.provider, p.ask.revision, token)
}

// shared is the one call of all who ask now.
func (a *asker) shared(ctx context.Context, p *provider, k key, token string) (*answer, error) {
	if found := a.answers.lookup(k, p, time.Now()); found != nil {
		return found, nil // a call that ended between our look and now
	}
	found, err := a.admitted(ctx, p, k, token)
	if err != nil {
		return nil, err
	}
	a.answers.keep(k, p, found, time.Now())
	return found, nil
}

// admitted makes the call, unless the breaker or the gate forbids it.
func (a *asker) admitted(ctx context.Context, p *provider, k key, token string) (*answer, error) {
	e := p.ask
	resting := fault.New(fault.Unavailable, "provider "+p.id+" did not answer lately and is left alone for a while")
	if e.breaker.refuses(time.Now()) {
		a.counters.called(e, "refused_by_breaker", 0)
		return nil, resting
	}
	wait, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := e.gate.enter(wait); err != nil {
		a.counters.called(e, "refused_by_limit", 0)
		return nil, fault.Wrap(fault.Unavailable, "provider "+p.id+" is asked too much at once", err)
	}
	defer e.gate.leave()
	ok, probe := e.breaker.admit(time.Now())
	if !ok {
		a.counters.called(e, "refused_by_breaker", 0)
		return nil, resting
	}
	r := unknown
	defer func() { e.breaker.settle(k, r, probe, time.Now()) }()
	found, result, err := a.call(ctx, p, token)
	r = result.reach()
	return found, err
}

// call is one HTTP call with its span, its metrics and its line in the log.
func (a *asker) call(ctx context.Context, p *provider, token string) (*answer, result, error) {
	e := p.ask
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	ctx, span := a.tracer.Start(ctx, "introspect at provider", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("site", e.site), attribute.String("provider", e.provider)))
	defer span.End()
	began := time.Now()
	f, at, problem := introspect(ctx, a.client, e.how, token)
	became := resultInactive
	switch {
	case problem != nil:
		became = problem.result
	case f.active:
		became = resultActive
	}
	a.counters.called(e, string(became), time.Since(began))
	span.SetAttributes(attribute.String("result", string(became)))
	a.note(ctx, e, became, problem)
	if problem != nil {
		span.SetStatus(codes.Error, problem.text)
		return nil, became, fault.Wrap(fault.Unavailable, "provider "+p.id+" gave no answer: "+problem.text, problem)
	}
	return &answer{facts: f, at: at}, became, nil
}

func (a *asker) note(ctx context.Context, e *endpoint, r result, p *problem) {
	worth, healed := e.notes.worth(r, time.Now())
	if !worth {
		return
	}
	attrs := []slog.Attr{slog.String("site", e.site), slog.String("provider", e.provider), slog.String("result", string(r))}
	if healed {
		a.log.LogAttrs(ctx, slog.LevelInfo, "provider answers again", attrs...)
		return
	}
	a.log.LogAttrs(ctx, slog.LevelWarn, "provider gave no answer", append(attrs, slog.String("problem", p.text))...)
}
