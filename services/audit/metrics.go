package audit

import "github.com/prometheus/client_golang/prometheus"

// meters are the metrics.
type meters struct {
	rows, batches, transactions, duplicates, changed, broken, holes, rejected, conflicts, skipped prometheus.Counter
}

func newMeters(registry prometheus.Registerer, s *status) *meters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_audit_" + name, Help: help})
	}
	gauge := func(name, help string, value func(detail) float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_audit_" + name, Help: help},
			func() float64 { return value(s.view()) })
	}
	m := &meters{
		rows:         counter("rows_total", "Records committed to the database."),
		batches:      counter("batches_total", "Batches of records read from the stream and committed."),
		transactions: counter("transactions_total", "Transactions committed."),
		duplicates:   counter("duplicate_records_total", "Records whose numbers were there already; they were not stored again."),
		changed:      counter("changed_records_total", "Records with a text that had to be cut or replaced to be stored."),
		broken:       counter("broken_batches_total", "Batches that are not what their gateway has chained; audit/verify shows where."),
		holes:        counter("holes_total", "Times that records of a gateway were missing before later ones."),
		rejected:     counter("rejected_total", "Messages that are no batch of records, kept in audit.rejected."),
		conflicts:    counter("conflicts_total", "Records with the number of another one that says something else, kept in audit.conflict."),
		skipped:      counter("stream_skipped_total", "Messages that were gone from the stream before they were read."),
	}
	registry.MustRegister(m.rows, m.batches, m.transactions, m.duplicates, m.changed, m.broken, m.holes, m.rejected, m.conflicts, m.skipped,
		gauge("lag", "Messages in the stream that are not in the database.", func(d detail) float64 { return float64(d.Lag) }),
		gauge("config_copy_lag", "Commits of the configuration that are not in the second copy.", func(d detail) float64 { return float64(d.ConfigCopy.Lag) }),
		gauge("config_copy_ok", "1 when the second copy of the configuration is made without trouble.",
			func(d detail) float64 { return truth(d.ConfigCopy.Trouble == "") }),
		gauge("token_copy_ok", "1 when the second copy of the log of API tokens is made without trouble.",
			func(d detail) float64 { return truth(d.TokenCopy.Trouble == "") }),
		gauge("open_holes", "Ranges of records that are missing and may still come.", func(d detail) float64 { return float64(d.OpenHoles) }),
		gauge("lost_holes", "Ranges of records that their gateway no longer has.", func(d detail) float64 { return float64(d.LostHoles) }),
		gauge("active", "1 when this instance reads the stream.", func(d detail) float64 { return truth(d.Role == roleActive) }),
		gauge("database_up", "1 when the database can be used.", func(d detail) float64 { return truth(d.Database == "") }),
		gauge("last_commit_timestamp_seconds", "When records were committed last; 0: not yet.", func(d detail) float64 {
			if d.LastCommit == nil {
				return 0
			}
			return float64(d.LastCommit.UnixMilli()) / 1000
		}),
	)
	return m
}

func (m *meters) stored(p plan) {
	m.transactions.Inc()
	m.rows.Add(float64(p.rows.count))
	m.batches.Add(float64(p.batches))
	m.duplicates.Add(float64(p.duplicates))
	m.changed.Add(float64(p.changed))
	m.broken.Add(float64(p.broken))
	m.holes.Add(float64(len(p.gaps)))
	m.rejected.Add(float64(len(p.rejected)))
	m.conflicts.Add(float64(len(p.conflicts)))
}

// missed counts messages that the stream no longer had.
func (m *meters) missed(n uint64) { m.skipped.Add(float64(n)) }

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
