package introspection

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/renewal"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// asker asks providers about tokens: from the cache, else once for all who ask the same at the same time.
type asker struct {
	via      *provider.Via
	keys     *keyer
	answers  *answers
	flights  flight.Group[*answer]
	debts    debts
	counters *counters
}

// ask gives a provider's word on a token. The error is a fault, unavailable. One that is used and whose time is nearly over is
// asked for again behind the back of who uses it.
func (a *asker) ask(ctx context.Context, p *trusted, token string) (*answer, error) {
	if p.ask == nil {
		return nil, fault.New(fault.Unavailable, "provider "+p.id+" cannot be asked: "+p.trouble)
	}
	k := a.key(p, token)
	now := time.Now()
	if found := a.answers.lookup(k, p, now); found != nil {
		a.counters.looked("introspect", true)
		if found.Active && found.renewal.Due(now.Sub(found.at), p.maxTTL, renewal.Early(k[0]), now) {
			a.flights.Start(ctx, k, func(ctx context.Context) (*answer, error) { return a.anew(ctx, p, k, token) })
		}
		return found, nil
	}
	a.counters.looked("introspect", false)
	found, err := a.flights.Do(ctx, k, "provider "+p.id+" has not answered yet", func(ctx context.Context) (*answer, error) { return a.shared(ctx, p, k, token) })
	if err != nil && away(err) {
		if last := a.answers.stale(k, p, time.Now()); last != nil {
			a.counters.stale.WithLabelValues(p.ask.Site, p.ask.Provider).Inc()
			if !a.debts.owe(k, p, token, last) {
				a.counters.rechecked.WithLabelValues(p.ask.Site, p.ask.Provider, "too_many").Inc()
			}
			return last, nil
		}
	}
	return found, err
}

// away tells whether a provider did not answer because it is not there: what it says of other tokens is no reason to doubt
// what it said of this one.
func away(err error) bool {
	var p *remote.Problem
	if !errors.As(err, &p) {
		return errors.Is(err, context.DeadlineExceeded)
	}
	return p.Result.Reach() == remote.NotReached || p.Result == remote.Refused
}

// cached gives what is known of a token without asking, or nil.
func (a *asker) cached(p *trusted, token string) *answer {
	if p.ask == nil {
		return nil
	}
	return a.answers.lookup(a.key(p, token), p, time.Now())
}

// key holds all an answer depends on, so a changed provider never sees an old answer, and a provider of the
// same id at another site never sees this one's.
func (a *asker) key(p *trusted, token string) key {
	return a.keys.of(p.ask.Site, p.ask.Provider, p.ask.Revision, token)
}

// shared is the one call of all who ask now.
func (a *asker) shared(ctx context.Context, p *trusted, k key, token string) (*answer, error) {
	if found := a.answers.lookup(k, p, time.Now()); found != nil {
		return found, nil // a call that ended between our look and now
	}
	return a.anew(ctx, p, k, token)
}

// anew asks, whatever is known.
func (a *asker) anew(ctx context.Context, p *trusted, k key, token string) (*answer, error) {
	found, err := a.judged(ctx, p, k, token)
	if err != nil {
		return nil, err
	}
	a.answers.keep(k, p, found, time.Now())
	return found, nil
}

// judged has the provider's validator judge a token.
func (a *asker) judged(ctx context.Context, p *trusted, k key, token string) (*answer, error) {
	f, at, problem := p.ask.Judge(ctx, a.via, k, token)
	if problem != nil {
		return nil, fault.Wrap(fault.Unavailable, "provider "+p.id+" gave no answer: "+problem.Text, problem)
	}
	return &answer{Facts: f, at: at}, nil
}
