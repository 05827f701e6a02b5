package integration_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestWipe takes a worker's disk away. What it has afterwards is, byte for
// byte, what it had.
func TestWipe(t *testing.T) {
	const orders = 2_000
	each(t, func(t *testing.T, s *stage) {
		dir := t.TempDir()
		w := s.spawn("worker", dir).holds(partitions)
		s.process(load{name: "wipe", orders: orders, seed: 1})
		w.end() // with its last transaction on disk
		on := s.verify(w)
		if on.Rows != orders {
			t.Errorf("%d rows before, want %d", on.Rows, orders)
		}
		before := s.rows(w)

		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		w = s.spawn("worker", dir).holds(partitions)
		again := s.verify(w)
		if again.Rows != orders {
			t.Errorf("%d rows after, want %d", again.Rows, orders)
		}
		if again.fingerprints(t) != on.fingerprints(t) {
			t.Errorf("other fingerprints:\n%swere\n%s", again.fingerprints(t), on.fingerprints(t))
		}
		if before == "" || s.rows(w) != before {
			t.Error("tally table scan shows other rows than before, or none")
		}
		if records, from := w.restored(); records < orders || from != 0 {
			t.Errorf("restored %d records from offset %d on, want all", records, from)
		}
		s.process(load{name: "again", orders: 100, seed: 2})
		s.audit(s.check())
		w.end()
	})
}

// rows are all rows of a worker's table as tally shows them.
func (s *stage) rows(w *worker) string {
	s.t.Helper()
	var all strings.Builder
	out := s.tally("table", "scan", w.flag(), "--limit", "0").ok(s.t).out
	for line := range strings.Lines(out) {
		var shown struct {
			Key    string
			Source string
			Row    json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &shown); err != nil {
			s.t.Fatalf("table scan: %v: %s", err, line)
		}
		if strings.Contains(shown.Source, "changelog") {
			s.t.Fatalf("table scan asked the changelog, not the worker: %s", line)
		}
		all.WriteString(shown.Key + " " + string(shown.Row) + "\n")
	}
	return all.String()
}
