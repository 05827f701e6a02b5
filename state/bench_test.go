package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"tallystick/state"
)

const benchRows = 1_000_000

func benchDB(b *testing.B, rowCache int64) (*state.DB, *state.Table) {
	b.Helper()
	db := mustOpen(b, state.Options{Dir: b.TempDir(), RowCacheBytes: rowCache, Now: clock})
	return db, mustTable(b, db, identity(0))
}

// reportCPU reports the processor time of n operations in the name of unit,
// which unlike the wall time does not depend on what else the machine does.
func reportCPU(b *testing.B, n int, unit string) func() {
	b.Helper()
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano() + u.Stime.Nano())
	}
	from := used()
	return func() { b.ReportMetric((used()-from)/float64(b.N*n), "cpu-ns/"+unit) }
}

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("order-%09d", i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func restoreRows(b *testing.B, table *state.Table, keys []string, value []byte) {
	b.Helper()
	r := table.Restore()
	for i, k := range keys {
		r.Set([]byte(k), value)
		if r.Bytes() > state.RestoreBatchBytes || i == len(keys)-1 {
			if err := r.Commit(int64(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkRestore restores a million rows of 100 bytes in random order.
func BenchmarkRestore(b *testing.B) {
	keys, value := benchKeys(benchRows), make([]byte, 100)
	report := reportCPU(b, benchRows, "row")
	for b.Loop() {
		_, table := benchDB(b, 0)
		restoreRows(b, table, keys, value)
	}
	report()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRestoreAgain restores a changelog that compaction has not been at: each
// row comes twice, some 20,000 records apart.
func BenchmarkRestoreAgain(b *testing.B) {
	first, value := benchKeys(benchRows/2), make([]byte, 100)
	keys := make([]string, 0, benchRows)
	for i := range first {
		keys = append(keys, first[i], first[max(0, i-10_000)])
	}
	report := reportCPU(b, benchRows, "row")
	for b.Loop() {
		_, table := benchDB(b, 0)
		restoreRows(b, table, keys, value)
	}
	report()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRestoreTwice restores a changelog in which all rows come a second time,
// when those of the first time are on disk.
func BenchmarkRestoreTwice(b *testing.B) {
	first, value := benchKeys(benchRows/2), make([]byte, 100)
	keys := append(slices.Clone(first), first...)
	slices.Reverse(keys[len(first):])
	report := reportCPU(b, benchRows, "row")
	for b.Loop() {
		_, table := benchDB(b, 0)
		restoreRows(b, table, keys, value)
	}
	report()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkGet reads from a table of a million rows, without the row cache.
func BenchmarkGet(b *testing.B) {
	keys := benchKeys(benchRows)
	_, table := benchDB(b, -1)
	restoreRows(b, table, keys, make([]byte, 100))
	for _, c := range []struct {
		name string
		key  func(i int) string
	}{
		{"hit", func(i int) string { return keys[i%benchRows] }},
		{"miss", func(i int) string { return keys[i%benchRows] + "x" }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i, report := 0, reportCPU(b, 1, "op")
			for b.Loop() {
				if _, err := table.Get(c.key(i)); err != nil {
					b.Fatal(err)
				}
				i++
			}
			report()
		})
	}
}

// BenchmarkPairs is what a join of pairs does to its table: each row is looked
// up in vain and written, and later read and written again. An operation is
// one record: a Get and a Set, and its share of a commit every 10,000.
func BenchmarkPairs(b *testing.B) {
	for _, rowCache := range []int64{-1, 0} {
		b.Run(fmt.Sprintf("rowcache=%d", rowCache), func(b *testing.B) {
			keys, value := benchKeys(benchRows), make([]byte, 100)
			db, table := benchDB(b, rowCache)
			b.ReportAllocs()
			i, report := 0, reportCPU(b, 1, "op")
			for b.Loop() {
				// The second half of a pair comes some 20,000 records later.
				n := i / 2
				if i%2 == 1 {
					n = max(0, n-10_000)
				}
				key := keys[n%benchRows]
				if _, err := table.Get(key); err != nil {
					b.Fatal(err)
				}
				if err := table.Set(key, value); err != nil {
					b.Fatal(err)
				}
				if i++; i%10_000 == 0 {
					commit(b, db, table, int64(i))
				}
			}
			report()
		})
	}
}
