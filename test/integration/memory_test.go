package integration_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestMemory begins a load with the table on a disk and goes on without one. The
// table in memory is, byte for byte, what was on the disk; its worker is killed at
// work, comes back with nothing, and has it all again. What came out is right, and
// a disk that is read in afterwards has the same rows.
func TestMemory(t *testing.T) {
	const orders = 2_000
	each(t, func(t *testing.T, s *stage) {
		watch := s.watch()
		w := s.spawn("worker", t.TempDir()).holds(partitions)
		s.process(load{name: "disk", orders: orders, seed: 1})
		w.end() // with its last transaction on disk
		before, on := s.rows(w), s.verify(w).fingerprints(t)

		w = s.spawn("worker", "").holds(partitions)
		if before == "" || s.rows(w) != before {
			t.Error("in memory there are other rows than on the disk, or none")
		}
		if in := s.verify(w).fingerprints(t); in != on {
			t.Errorf("fingerprints in memory\n%son the disk\n%s", in, on)
		}
		pace := s.ahead(watch, 500)
		loaded := s.background(load{
			name: "memory", orders: orders, seed: 2, pace: func(sent int) { pace(orders + sent) },
		})
		s.until("half of the rest is done", func() bool { return watch.Orders() >= orders+orders/2 })
		w.kill()
		w = s.spawn("worker", "").holds(partitions)
		if records, from := w.restored(); records < orders || from != 0 {
			t.Errorf("restored %d records from offset %d on, want all", records, from)
		}
		loaded()
		s.until("no lag", s.caughtUp)
		s.audit(s.check())
		s.verifyRows(2*orders, w)
		after, in := s.rows(w), s.verify(w).fingerprints(t)
		w.end()

		w = s.spawn("worker", t.TempDir()).holds(partitions)
		if s.rows(w) != after {
			t.Error("on a new disk there are other rows than in memory")
		}
		if on := s.verify(w).fingerprints(t); on != in {
			t.Errorf("fingerprints on a new disk\n%sin memory\n%s", on, in)
		}
		w.end()
		if _, err := os.Stat("tally-state"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a worker without a disk has made its directory: %v", err)
		}
	})
}
