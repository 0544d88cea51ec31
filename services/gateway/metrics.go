package gateway

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the gateway's metrics.
type counts struct {
	calls  *prometheus.CounterVec
	asked  *prometheus.CounterVec
	shared siteCounts // of calls that no site matched
}

// siteCounts are one site's counters, found once per reason instead of once per call.
type siteCounts struct {
	calls   *prometheus.CounterVec
	site    string
	byLabel sync.Map // of string to prometheus.Counter
}

func newCounts(metrics prometheus.Registerer, more ...prometheus.Collector) *counts {
	c := &counts{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_calls_total", Help: "Calls answered, by site, decision and reason.",
		}, []string{"site", "decision", "reason"}),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_identity_questions_total", Help: "Questions to introspection, by result.",
		}, []string{"result"}),
	}
	c.shared = siteCounts{calls: c.calls}
	metrics.MustRegister(append(more, c.calls, c.asked)...)
	return c
}

func (c *counts) site(id string) *siteCounts { return &siteCounts{calls: c.calls, site: id} }

// count counts a call.
func (s *siteCounts) count(decision string, r reason) {
	counter, ok := s.byLabel.Load(r)
	if !ok {
		counter, _ = s.byLabel.LoadOrStore(r, s.calls.WithLabelValues(s.site, decision, string(r)))
	}
	if counter, ok := counter.(prometheus.Counter); ok {
		counter.Inc()
	}
}
