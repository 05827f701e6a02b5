package state_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/state"
)

// TestInMemory fills more than a few memtables, and holds that each DB has rows
// of its own, that they end with it, and that nothing is made on disk.
func TestInMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	o := state.Options{InMemory: true, RowCacheBytes: -1, MemTableBytes: 256 << 10, Now: clock}
	db, other := mustOpen(t, o), mustOpen(t, o)
	table := mustTable(t, db, identity(0))
	const rows = 20_000
	value := func(i int) string { return fmt.Sprintf("%0100d", i) }
	for i := range rows {
		set(t, table, fmt.Sprint(i), value(i))
		if i%1000 == 999 {
			commit(t, db, table, int64(i))
		}
	}
	got := committed(t, table)
	for i := range rows {
		if got[fmt.Sprint(i)] != value(i) {
			t.Fatalf("row %d is %q", i, got[fmt.Sprint(i)])
		}
	}
	if got := committed(t, mustTable(t, other, identity(0))); len(got) > 0 {
		t.Errorf("another DB has %d rows", len(got))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, mustTable(t, mustOpen(t, o), identity(0))); len(got) > 0 {
		t.Errorf("%d rows have outlived their DB", len(got))
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("made on disk: %v, %v", made, err)
	}
}

// TestInMemoryDrops holds that no copy is kept of what would be set aside on a
// disk: nobody could look at it, and it would take memory for ever.
func TestInMemoryDrops(t *testing.T) {
	var log bytes.Buffer
	db := mustOpen(t, state.Options{
		InMemory: true, Now: clock, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	table := mustTable(t, db, identity(0))
	set(t, table, "a", "1")
	commit(t, db, table, 7)
	if err := table.Reset("it was time"); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, table); len(got) > 0 || table.Offset() != -1 {
		t.Errorf("after Reset: %v at %d", got, table.Offset())
	}
	said := log.String()
	if !strings.Contains(said, "table dropped") || strings.Contains(said, "aside") {
		t.Errorf("log: %s", said)
	}
}

func TestInMemoryHasNoPlace(t *testing.T) {
	for _, o := range []state.Options{
		{InMemory: true, Now: clock, Dir: "data"}, {InMemory: true, Now: clock, FS: vfs.NewMem()},
	} {
		if _, err := state.Open(o); err == nil || !strings.Contains(err.Error(), "InMemory") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// BenchmarkInMemory restores a million rows of 116 bytes into memory. What the
// documents say a row takes is from here.
func BenchmarkInMemory(b *testing.B) {
	keys, value := benchKeys(benchRows), make([]byte, 116)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	report := reportCPU(b, benchRows, "row")
	for b.Loop() {
		before := heap()
		db := mustOpen(b, state.Options{InMemory: true, RowCacheBytes: -1, Now: clock})
		table := mustTable(b, db, identity(0))
		restoreRows(b, table, keys, value)
		b.ReportMetric(float64(heap()-before)/benchRows, "heap-B/row")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	report()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
