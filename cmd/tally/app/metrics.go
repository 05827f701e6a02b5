package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"tallystick/engine"
)

// A collector hands the engines' counters to Prometheus when it asks, each under
// its group.
type collector struct {
	w       *worker
	metrics []metric
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.Stats) int64
}

func newCollector(w *worker, instance string) *collector {
	labels := prometheus.Labels{"instance": instance}
	c := &collector{w: w}
	add := func(kind prometheus.ValueType, name, help string, value func(engine.Stats) int64) {
		desc := prometheus.NewDesc("tally_"+name, help, []string{"group"}, labels)
		c.metrics = append(c.metrics, metric{desc, kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(counter, "records_total", "Input records in committed transactions.",
		func(s engine.Stats) int64 { return s.Records })
	add(counter, "transactions_total", "Committed transactions.",
		func(s engine.Stats) int64 { return s.Transactions })
	add(counter, "aborts_total", "Aborted transactions.",
		func(s engine.Stats) int64 { return s.Aborts })
	add(counter, "restarts_total", "New clients after an error.",
		func(s engine.Stats) int64 { return s.Restarts })
	add(counter, "sessions_total", "Assignments of partitions that were followed.",
		func(s engine.Stats) int64 { return s.Sessions })
	add(counter, "rows_total", "Rows written to the changelog and committed.",
		func(s engine.Stats) int64 { return s.Rows })
	add(counter, "restored_records_total", "Changelog records read to bring tables up.",
		func(s engine.Stats) int64 { return s.Restored })
	add(counter, "rebuilt_tables_total", "Tables set aside and rebuilt.",
		func(s engine.Stats) int64 { return s.Rebuilt })
	add(counter, "dead_letters_total", "Records put into the dead letters.",
		func(s engine.Stats) int64 { return s.DeadLetters })
	add(gauge, "parked_keys", "Keys whose records wait behind a dead letter.",
		func(s engine.Stats) int64 { return s.Parked })
	add(gauge, "lag_records", "Records of the assigned inputs that are still unread.",
		func(s engine.Stats) int64 { return s.Lag })
	add(gauge, "partitions", "Partitions of the table that are assigned.",
		func(s engine.Stats) int64 { return int64(len(s.Partitions)) })
	add(gauge, "ready", "1 if an assignment was followed and its tables are restored.",
		func(s engine.Stats) int64 {
			if s.Ready {
				return 1
			}
			return 0
		})
	return c
}

// Describe names the metrics.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
}

// Collect reads the counters.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, u := range c.w.units {
		st := u.engine.Stats()
		for _, m := range c.metrics {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(st)), u.group)
		}
	}
}
