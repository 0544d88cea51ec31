package config

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus sees of the service.
type metrics struct {
	commits  prometheus.Counter
	refusals *prometheus.CounterVec
}

// newMetrics registers the metrics; what is asked for is read from a when it is asked.
func newMetrics(registry prometheus.Registerer, a *api) (*metrics, error) {
	m := &metrics{
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_config_commits_total", Help: "Changes this instance has stored.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_config_refusals_total", Help: "Requests answered with an error, by status.",
		}, []string{"code"}),
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.commits, m.refusals,
		gauge("gatehouse_config_log_sequence", "Sequence of the configuration that is served; -1: never loaded.", func() float64 {
			if s := a.follower.Snapshot(); s != nil {
				return float64(s.State.Seq)
			}
			return -1
		}),
		gauge("gatehouse_config_log_trouble", "1 while no change is taken: the log cannot be followed, or a gateway has another history.", func() float64 {
			if a.wrong() != "" {
				return 1
			}
			return 0
		}),
		gauge("gatehouse_config_gateways_live", "Gateways heard lately.", func() float64 {
			live, _ := a.gateways.Live(time.Now())
			return float64(live)
		}),
		gauge("gatehouse_config_gateways_listed", "Gateways on the list, live or silent.", func() float64 {
			_, listed := a.gateways.Live(time.Now())
			return float64(listed)
		}),
	} {
		err = errors.Join(err, registry.Register(c))
	}
	return m, err
}

// count counts what was answered with an error.
func (m *metrics) count(status int) {
	if status >= http.StatusBadRequest {
		m.refusals.WithLabelValues(strconv.Itoa(status)).Inc()
	}
}
