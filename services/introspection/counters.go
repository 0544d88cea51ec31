package introspection

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// counters are the service's metrics. No label ever holds anything a caller chose.
type counters struct {
	lookups  *prometheus.CounterVec
	calls    *prometheus.CounterVec
	products *prometheus.CounterVec
	groups   *prometheus.CounterVec
	stale    *prometheus.CounterVec
	// rechecked are tokens that were let in by a last word, once the provider was back.
	rechecked *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	hit       map[string]prometheus.Counter // by question
	miss      map[string]prometheus.Counter
}

func newCounters() *counters {
	c := &counters{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_cache_lookups_total", Help: "Questions, by whether the cache knew the answer.",
		}, []string{"question", "found"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_provider_calls_total", Help: "Calls of identity providers, by what became of them.",
		}, []string{"site", "provider", "call", "result"}),
		stale: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_stale_answers_total", Help: "Answers older than max_ttl, given because the provider is away (cache.stale_for).",
		}, []string{"site", "provider"}),
		rechecked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_stale_rechecked_total", Help: "Tokens that were let in while their provider was away, by what it said once it was back (good, not_good); too_many: not remembered.",
		}, []string{"site", "provider", "result"}),
		products: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_product_calls_total", Help: "Who-am-I questions to products, by what became of them.",
		}, []string{"site", "result"}),
		groups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_introspection_directory_lookups_total", Help: "Looks into directories, by what became of them.",
		}, []string{"site", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_introspection_call_seconds", Help: "How long calls of providers, products and directories took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"question"}),
		hit: map[string]prometheus.Counter{}, miss: map[string]prometheus.Counter{},
	}
	for _, question := range []string{"introspect", "whoami", "groups"} {
		c.hit[question], c.miss[question] = c.lookups.WithLabelValues(question, "yes"), c.lookups.WithLabelValues(question, "no")
	}
	return c
}

func (c *counters) looked(question string, found bool) {
	if found {
		c.hit[question].Inc()
		return
	}
	c.miss[question].Inc()
}

// called counts a call of a provider; took is 0 for one that was not made.
func (c *counters) called(e *provider.Endpoint, call, result string, took time.Duration) {
	c.calls.WithLabelValues(e.Site, e.Provider, call, result).Inc()
	if took > 0 {
		c.seconds.WithLabelValues(call).Observe(took.Seconds())
	}
}

func (c *counters) askedProduct(u *upstream, result string, took time.Duration) {
	c.products.WithLabelValues(u.site, result).Inc()
	if took > 0 {
		c.seconds.WithLabelValues("whoami").Observe(took.Seconds())
	}
}

func (c *counters) askedDirectory(s *source, result string, took time.Duration) {
	c.groups.WithLabelValues(s.site, result).Inc()
	if took > 0 {
		c.seconds.WithLabelValues("groups").Observe(took.Seconds())
	}
}

// register registers all metrics, and those of the providers keep has; the returned function takes them back,
// so that a service can start again in the same process.
func (c *counters) register(in prometheus.Registerer, keep *keeper) (func(), error) {
	all := []prometheus.Collector{c.lookups, c.calls, c.stale, c.rechecked, c.products, c.groups, c.seconds, newProviderGauges(keep)}
	var done []prometheus.Collector
	back := func() {
		for _, m := range done {
			in.Unregister(m)
		}
	}
	for _, m := range all {
		if err := in.Register(m); err != nil {
			back()
			return nil, fmt.Errorf("metrics: %w", err)
		}
		done = append(done, m)
	}
	return back, nil
}

// providerGauges are read when they are asked for, from the providers there are then.
type providerGauges struct {
	keeper                    *keeper
	breaker, inFlight, usable *prometheus.Desc
}

func newProviderGauges(k *keeper) *providerGauges {
	labels := []string{"site", "provider"}
	return &providerGauges{
		keeper:   k,
		breaker:  prometheus.NewDesc("gatehouse_introspection_breaker_state", "0 closed, 1 half-open, 2 open: the provider is left alone.", labels, nil),
		inFlight: prometheus.NewDesc("gatehouse_introspection_calls_in_flight", "Calls of the provider being made.", labels, nil),
		usable:   prometheus.NewDesc("gatehouse_introspection_provider_usable", "1 when the provider can be asked, 0 when e.g. its secret cannot be opened.", labels, nil),
	}
}

// Describe tells what Collect gives.
func (g *providerGauges) Describe(out chan<- *prometheus.Desc) {
	out <- g.breaker
	out <- g.inFlight
	out <- g.usable
}

// Collect gives the state of every provider.
func (g *providerGauges) Collect(out chan<- prometheus.Metric) {
	x := g.keeper.current.Load()
	if x == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, site, provider string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, site, provider)
	}
	now := time.Now()
	for _, s := range x.sites {
		for _, p := range s.providers {
			if p.ask == nil {
				gauge(g.usable, 0, s.id, p.id)
				continue
			}
			gauge(g.usable, 1, s.id, p.id)
			gauge(g.breaker, float64(p.ask.Breaker.State(now)), s.id, p.id)
			gauge(g.inFlight, float64(p.ask.Gate.Inside()), s.id, p.id)
		}
	}
}
