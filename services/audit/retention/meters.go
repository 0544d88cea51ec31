package retention

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are the metrics of runs.
type meters struct {
	runs, failures, records, partitions prometheus.Counter
	last, took, oldest, holds           prometheus.Gauge
}

func newMeters(registry prometheus.Registerer) *meters {
	const prefix = "gatehouse_audit_retention_"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	}
	m := &meters{
		runs:       counter("runs_total", "Runs of retention that ended, also with a failure."),
		failures:   counter("failures_total", "Runs of retention that failed."),
		records:    counter("removed_records_total", "Records that retention has removed."),
		partitions: counter("removed_partitions_total", "Partitions that retention has dropped whole."),
		last:       gauge("last_run_timestamp_seconds", "When retention of this instance last ended well; 0: not yet."),
		took:       gauge("last_run_duration_seconds", "How long the last run of this instance took."),
		oldest:     gauge("oldest_record_timestamp_seconds", "The time of the oldest record, as of the last run; 0: not known."),
		holds:      gauge("holds", "Legal holds that stand."),
	}
	registry.MustRegister(m.runs, m.failures, m.records, m.partitions, m.last, m.took, m.oldest, m.holds)
	return m
}

func (m *meters) ran(took time.Duration, err error) {
	m.runs.Inc()
	m.took.Set(took.Seconds())
	if err != nil {
		m.failures.Inc()
		return
	}
	m.last.Set(float64(time.Now().UnixMilli()) / 1000)
}

func (m *meters) dropped(records int64) {
	m.partitions.Inc()
	m.records.Add(float64(records))
}
