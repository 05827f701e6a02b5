package engine_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/engine/journal"
	"tallystick/query/replay"
	"tallystick/state"
)

// folds are the fingerprints of a table partition after each record of its
// changelog, the one of no rows first.
func (w *world) folds(p int32) []journal.Table {
	w.t.Helper()
	rows := map[string][]byte{}
	var sum state.Fingerprint
	all := []journal.Table{{Fingerprint: sum.String()}}
	for _, r := range w.committed(testTable) {
		if r.Partition != p {
			continue
		}
		key := string(r.Key)
		if was, ok := rows[key]; ok {
			sum.Remove(key, was)
			delete(rows, key)
		}
		if r.Value != nil {
			sum.Add(key, r.Value)
			rows[key] = r.Value
		}
		all = append(all, journal.Table{Fingerprint: sum.String(), Rows: int64(len(rows))})
	}
	return all
}

// journalled are the tables in the journal of a partition, one for each transaction.
func (w *world) journalled(p int32) []journal.Table {
	w.t.Helper()
	var all []journal.Table
	ended := true
	for _, r := range w.committed(engine.JournalTopic(testGroup)) {
		if r.Partition != p {
			continue
		}
		s, err := journal.Parse(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if s.Clock != nil && !ended || s.Clock == nil && ended {
			w.t.Errorf("partition %d: segment %d is not where the table is said", p, r.Offset)
		}
		if ended = s.Table != nil; ended {
			all = append(all, *s.Table)
		}
	}
	return all
}

// compareTables compares what the journal says of the table after each transaction
// with the fold of the changelog.
func (d *diary) compareTables(p int32) {
	d.t.Helper()
	folds, tables := d.folds(p), d.journalled(p)
	at := 0
	for n, table := range tables {
		next := slices.Index(folds[at:], table)
		if next < 0 {
			d.t.Fatalf("partition %d: after transaction %d the journal has the table %v, which the "+
				"changelog does not come to behind record %d", p, n, table, at)
		}
		at += next
	}
	last := folds[len(folds)-1]
	if len(tables) == 0 || tables[len(tables)-1] != last {
		d.t.Errorf("partition %d: the journal ends with another table than %v", p, last)
	}
	all := d.merged(p)
	if got := all[len(all)-1].Table; got == nil || *got != last {
		d.t.Errorf("partition %d: a replay ends with the table %v, want %v", p, got, last)
	}
	if got := d.lastTable(p); got == nil || *got != last {
		d.t.Errorf("partition %d: the last table is %v, want %v", p, got, last)
	}
}

func (w *world) lastTable(p int32) *journal.Table {
	w.t.Helper()
	topic := engine.JournalTopic(testGroup)
	log, err := replay.Open(w.t.Context(), w.client, testWithin, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	table, err := log.LastTable(w.t.Context(), topic, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return table
}

// TestFingerprintsAgree: a worker, its journal, the changelog, and a worker that has
// restored its table on another disk.
func TestFingerprintsAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	journalling := func(c *engine.Config) { c.Journal = true }
	wk := w.start(vfs.NewMem(), nil, journalling)
	for n := range 10 {
		w.sendMany(30*n, 30*(n+1))
		w.joined(30 * (n + 1))
	}
	w.eventually("all is on disk", func() bool { return maps.Equal(wk.local(), w.rows()) })
	before := wk.e.PartitionStats()
	wk.end()
	for p, s := range before {
		table := journal.Table{Fingerprint: s.Fingerprint.String(), Rows: s.Rows}
		folds := w.folds(int32(p))
		if got := w.lastTable(s.Partition); got == nil || *got != table || table != folds[len(folds)-1] {
			t.Errorf("partition %d: the worker has %v, its journal %v, the changelog %v", p, table, got,
				folds[len(folds)-1])
		}
		if s.StreamTime.IsZero() || int(s.Partition) != p || s.Rows == 0 {
			t.Errorf("partition %d: got %+v", p, s)
		}
	}
	wk = w.start(vfs.NewMem(), nil, journalling)
	w.eventually("restored", func() bool { return wk.e.Stats().Ready })
	if after := wk.e.PartitionStats(); len(before) != testParts || !slices.Equal(before, after) {
		t.Errorf("before %v, restored %v", before, after)
	}
	wk.end()
	if got := wk.e.PartitionStats(); len(got) != 0 {
		t.Errorf("a worker that has ended has %v", got)
	}
}

// TestLongTransactionEndsWithTheTable: of the segments that one transaction needs,
// the last one has the table.
func TestLongTransactionEndsWithTheTable(t *testing.T) {
	t.Parallel()
	d := &diary{world: newWorld(t)}
	const bad = 16_000 // each takes two numbers of a segment
	rs := make([]*kgo.Record, bad)
	for n := range rs {
		rs[n] = &kgo.Record{Topic: leftTopic, Key: []byte(keysOf(1, 1)[0]), Value: []byte("bad")}
	}
	rs = append(rs, &kgo.Record{Topic: leftTopic, Key: rs[0].Key, Value: []byte("good")})
	d.send(d.client, rs...)
	wk := d.world.start(vfs.NewMem(), nil, func(c *engine.Config) {
		c.Journal, c.FetchBytes = true, 4<<20
		// One transaction has them all, also on a slow machine, and ends then.
		c.Interval, c.TransactionTimeout, c.MaxRecords = 10*time.Second, time.Minute, bad+1
	})
	d.eventually("all is read", func() bool { return wk.e.Stats().Records == bad+1 })
	wk.end()
	continued := 0
	for _, r := range d.committed(engine.JournalTopic(testGroup)) {
		s, err := journal.Parse(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if s.Clock == nil {
			continued++
		}
	}
	if continued == 0 {
		t.Error("no transaction has two segments: that shows nothing")
	}
	d.compareTables(1)
}
