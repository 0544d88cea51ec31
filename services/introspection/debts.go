package introspection

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// maxDebts is how many tokens are remembered, whole, because their providers owe a word about them.
const maxDebts = 1000

// debts are the tokens that were let in by the last word of a provider that was away. It owes its word about them: they are
// asked about once it is back, whether anybody uses them again or not, and those that were not good any more are named in the
// log and counted.
type debts struct {
	mu  sync.Mutex
	all map[key]debt
}

type debt struct {
	provider *trusted
	token    string
	last     *answer
}

// owe remembers a token; kept is false when there are too many.
func (d *debts) owe(k key, p *trusted, token string, last *answer) (kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.all[k]; !known && len(d.all) >= maxDebts {
		return false
	}
	if d.all == nil {
		d.all = map[key]debt{}
	}
	d.all[k] = debt{provider: p, token: token, last: last}
	return true
}

func (d *debts) settled(k key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, k)
}

// byEndpoint gives what is owed, by who owes it.
func (d *debts) byEndpoint() map[*provider.Endpoint][]key {
	d.mu.Lock()
	defer d.mu.Unlock()
	owed := map[*provider.Endpoint][]key{}
	for k, one := range d.all {
		owed[one.provider.ask] = append(owed[one.provider.ask], k)
	}
	return owed
}

func (d *debts) of(k key) debt {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[k]
}

// collect asks for what is owed, until ctx ends.
func (a *asker) collect(ctx context.Context, config *keeper, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for e, keys := range a.debts.byEndpoint() {
			for _, k := range keys {
				if !a.collected(ctx, config.current.Load(), e, k) {
					break // it is away still
				}
			}
		}
	}
}

// collected asks about one token; false when the provider does not answer.
func (a *asker) collected(ctx context.Context, x *index, e *provider.Endpoint, k key) bool {
	one := a.debts.of(k)
	if now := x.provider(e.Site, e.Provider); one.provider == nil || now == nil || now.ask != e {
		a.debts.settled(k) // nobody trusts it any more, or it is asked in another way: the token is asked about when it is used
		return true
	}
	found := a.answers.lookup(k, one.provider, time.Now())
	if found == nil { // else somebody who used it has asked
		var err error
		found, err = a.flights.Do(ctx, k, "", func(ctx context.Context) (*answer, error) { return a.anew(ctx, one.provider, k, one.token) })
		switch {
		case err != nil && away(err):
			return false
		case err != nil: // it is there, and says nothing of this token: it is asked about when it is used
			a.debts.settled(k)
			a.counters.rechecked.WithLabelValues(e.Site, e.Provider, "not_said").Inc()
			return true
		}
	}
	a.debts.settled(k)
	if found.Active {
		a.counters.rechecked.WithLabelValues(e.Site, e.Provider, "good").Inc()
		return true
	}
	a.counters.rechecked.WithLabelValues(e.Site, e.Provider, "not_good").Inc()
	a.via.Log.LogAttrs(ctx, slog.LevelWarn, "a token that was let in while its provider was away is not good any more",
		slog.String("site", e.Site), slog.String("provider", e.Provider), slog.String("client_id", one.last.ClientID), slog.String("user", one.last.Username),
		slog.Time("last_said_good_at", one.last.at))
	return true
}
