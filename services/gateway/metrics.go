package gateway

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// counts are the gateway's metrics.
type counts struct {
	calls  *prometheus.CounterVec
	asked  *prometheus.CounterVec
	shared siteCounts // of calls that no site matched
	// unrecorded counts calls refused, or let through where the site says so, without a record.
	unrecorded prometheus.Counter
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
	c.unrecorded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_calls_unrecorded_total", Help: "Calls whose record had no room: refused, or open where the site says so.",
	})
	c.shared = siteCounts{calls: c.calls}
	metrics.MustRegister(append(more, c.calls, c.asked, c.unrecorded)...)
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

// stateMetrics are what the gateway is in at the moment of looking, read when somebody looks.
type stateMetrics struct {
	gw                               *gateway
	sequence, heard, tokens          *prometheus.Desc
	backlog, nodes                   *prometheus.Desc
	uncommitted, size, limit, broken *prometheus.Desc
}

func newStateMetrics(g *gateway) *stateMetrics {
	return &stateMetrics{
		gw:          g,
		sequence:    prometheus.NewDesc("gatehouse_config_sequence", "Sequence of the configuration in force; absent: none yet.", nil, nil),
		heard:       prometheus.NewDesc("gatehouse_config_age_seconds", "Since when the configuration log was not known to be followed.", nil, nil),
		tokens:      prometheus.NewDesc("gatehouse_token_log_age_seconds", "Since when the log of API tokens was not known to be followed; absent: never read.", nil, nil),
		backlog:     prometheus.NewDesc("gatehouse_audit_backlog", "Audit records not yet in the stream.", nil, nil),
		uncommitted: prometheus.NewDesc("gatehouse_audit_uncommitted", "Audit records that are not known to be in Postgres.", nil, nil),
		size:        prometheus.NewDesc("gatehouse_audit_spool_bytes", "Disk that the audit spool takes.", nil, nil),
		limit:       prometheus.NewDesc("gatehouse_audit_spool_limit_bytes", "Disk that the audit spool may take.", nil, nil),
		broken:      prometheus.NewDesc("gatehouse_audit_spool_failed", "1 when nothing can be recorded: the spool is full or its disk refuses.", nil, nil),
		nodes:       prometheus.NewDesc("gatehouse_node_up", "1 when the node says it runs.", []string{"site", "node"}, nil),
	}
}

// Describe names the metrics.
func (m *stateMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.sequence, m.heard, m.tokens, m.backlog, m.nodes, m.uncommitted, m.size, m.limit, m.broken} {
		out <- d
	}
}

// Collect reads them.
func (m *stateMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	toShip, uncommitted := m.gw.spool.Backlog()
	gauge(m.backlog, float64(toShip))
	gauge(m.uncommitted, float64(uncommitted))
	gauge(m.size, float64(m.gw.spool.Size()))
	gauge(m.limit, float64(m.gw.spool.Limit()))
	broken := 0.0
	if m.gw.spool.Err() != nil {
		broken = 1
	}
	gauge(m.broken, broken)
	if heard := m.gw.tokensHeardAt.Load(); heard != 0 {
		gauge(m.tokens, time.Since(time.Unix(0, heard)).Seconds())
	}
	p := m.gw.plan.Load()
	if p == nil {
		return
	}
	gauge(m.sequence, float64(p.state.Seq))
	gauge(m.heard, time.Since(time.Unix(0, m.gw.heardAt.Load())).Seconds())
	for _, s := range p.sites {
		for _, n := range s.pool.All() {
			up := 0.0
			if n.Health().State == upstream.Running {
				up = 1
			}
			gauge(m.nodes, up, s.config.ID, n.ID)
		}
	}
}
