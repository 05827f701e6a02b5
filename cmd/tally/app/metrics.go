package app

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallystick/engine"
)

// A collector hands the engines' counters to Prometheus when it asks, each under
// its group.
type collector struct {
	w       *worker
	metrics []metric
	newest  *prometheus.Desc // of the copies of others' tables
	stream  *prometheus.Desc
	rows    *prometheus.Desc
	sent    *prometheus.Desc
	queued  *prometheus.Desc
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.Stats) int64
}

func newCollector(w *worker, instance string) *collector {
	labels := prometheus.Labels{"instance": instance}
	c := &collector{
		w: w,
		newest: prometheus.NewDesc("tally_replica_newest_seconds",
			"Time, since 1970, of the newest record that the copy of a topic has: what is later is "+
				"not known here yet, or has not been said.", []string{"group", "topic"}, labels),
		stream: prometheus.NewDesc("tally_stream_time_seconds",
			"Stream time of a partition, since 1970.", []string{"group", "partition"}, labels),
		rows: prometheus.NewDesc("tally_table_rows", "Rows in a partition of the table.",
			[]string{"group", "partition"}, labels),
		sent: prometheus.NewDesc("tally_sends_total", "Attempts to tell somebody, by their result.",
			[]string{"group", "result"}, labels),
		queued: prometheus.NewDesc("tally_sends_queued", "Attempts that wait for their turn.",
			[]string{"group"}, labels),
	}
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
	add(counter, "deadlines_total", "Deadlines of rows that came.",
		func(s engine.Stats) int64 { return s.Timers })
	add(counter, "records_ahead_total", "Records too far ahead of the time of day to move time.",
		func(s engine.Stats) int64 { return s.Ahead })
	add(counter, "effects_total", "Effects handed over after their transaction.",
		func(s engine.Stats) int64 { return s.Effects })
	add(gauge, "parked_keys", "Keys whose records wait behind a dead letter.",
		func(s engine.Stats) int64 { return s.Parked })
	add(gauge, "lag_records", "Offsets behind the last record read: records, or markers at the end.",
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
	to <- c.newest
	to <- c.stream
	to <- c.rows
	to <- c.sent
	to <- c.queued
}

// Collect reads the counters.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, u := range c.w.units {
		st := u.engine.Stats()
		for _, m := range c.metrics {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(st)), u.group)
		}
		c.replicas(to, u)
		c.partitions(to, u)
		if u.sends && c.w.sender != nil {
			c.sends(to, u.group)
		}
	}
}

// replicas tells how new the copies of others' tables are: the newest record of
// each topic.
func (c *collector) replicas(to chan<- prometheus.Metric, u *unit) {
	newest := map[string]time.Time{}
	for _, r := range u.engine.Replicas() {
		if at, ok := newest[r.Topic]; !ok || r.Newest.After(at) {
			newest[r.Topic] = r.Newest
		}
	}
	for topic, at := range newest {
		if !at.IsZero() {
			to <- prometheus.MustNewConstMetric(c.newest, prometheus.GaugeValue,
				float64(at.UnixMilli())/1000, u.group, topic)
		}
	}
}

// partitions tells how far the partitions of the table are. One whose time is not
// known yet has none.
func (c *collector) partitions(to chan<- prometheus.Metric, u *unit) {
	for _, p := range u.engine.PartitionStats() {
		at := strconv.Itoa(int(p.Partition))
		to <- prometheus.MustNewConstMetric(c.rows, prometheus.GaugeValue, float64(p.Rows), u.group, at)
		if !p.StreamTime.IsZero() {
			to <- prometheus.MustNewConstMetric(c.stream, prometheus.GaugeValue,
				float64(p.StreamTime.UnixMilli())/1000, u.group, at)
		}
	}
}

// sends tells what became of attempts to tell somebody.
func (c *collector) sends(to chan<- prometheus.Metric, group string) {
	st := c.w.sender.sender.Stats()
	for result, n := range map[string]int64{
		"accepted": st.Accepted, "refused": st.Refused, "untried": st.Untried,
		"unsettled": st.Unsettled, "lost": st.Lost,
	} {
		to <- prometheus.MustNewConstMetric(c.sent, prometheus.CounterValue, float64(n), group, result)
	}
	to <- prometheus.MustNewConstMetric(c.queued, prometheus.GaugeValue, float64(st.Queued), group)
}
