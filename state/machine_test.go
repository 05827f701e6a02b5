package state_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"tallystick/state"
)

// A machine compares a database with two maps per table: what is committed,
// and what the processor sees.
type machine struct {
	fs        *vfs.MemFS
	db        *state.DB
	tables    [2]*state.Table
	committed [2]map[string]string
	seen      [2]map[string]string
	offsets   [2]int64
}

func (m *machine) open(t *rapid.T) {
	o := options(m.fs)
	o.MemTableBytes = 64 << 10
	o.RowCacheBytes = 2 << 10
	o.Tune = func(p *pebble.Options) { p.L0CompactionThreshold = 1 }
	db, err := state.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if db.Recovered() != "" {
		t.Fatal("set aside")
	}
	m.db = db
	for i := range m.tables {
		if m.tables[i], err = db.Table(identity(int32(i))); err != nil {
			t.Fatal(err)
		}
		m.seen[i] = maps.Clone(m.committed[i])
	}
	m.tables[0].TrackDeadlines(firstByte) // the other table has none
	m.tables[1].TrackIndex(letters)
}

// letters are the index entries of a row in these tests: none, one or two, some of
// them with zeros, some of them twice.
func letters(key string, row []byte, entry func([]byte)) {
	var buf [2]byte
	for i := 0; i < min(len(row), 3); i++ {
		buf = [2]byte{row[i] % 3, byte(len(key))}
		entry(buf[:len(row)%3])
	}
}

// firstByte is the deadline of a row in these tests.
func firstByte(row []byte) int64 {
	if len(row) == 0 {
		return 0
	}
	return int64(row[0])
}

// due compares the rows whose deadline has come with those of the map.
func (m *machine) due(t *rapid.T) {
	until := rapid.Int64Range(0, 255).Draw(t, "until")
	limit := rapid.IntRange(0, 20).Draw(t, "limit")
	for i, table := range m.tables {
		got, err := table.Due(until, limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []state.Due
		for k, v := range m.seen[i] {
			if at := firstByte([]byte(v)); i == 0 && at != 0 && at <= until {
				want = append(want, state.Due{Key: k, At: at})
			}
		}
		slices.SortFunc(want, func(a, b state.Due) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Key, b.Key))
		})
		if want = want[:min(len(want), limit)]; !slices.Equal(got, want) {
			t.Fatalf("table %d: due until %d: got %v, want %v", i, until, got, want)
		}
	}
}

// index compares the index with what follows from the rows of the map.
func (m *machine) index(t *rapid.T) {
	anyEntry := rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 3)
	from, prefix := anyEntry.Draw(t, "from"), anyEntry.Draw(t, "prefix")
	for i, table := range m.tables {
		var got []string
		for row, err := range table.Committed().Index(from, prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%q of %q", row.Entry, row.Key))
		}
		type pair struct{ entry, key string }
		all := map[pair]bool{}
		for k, v := range m.committed[i] {
			letters(k, []byte(v), func(entry []byte) {
				if i == 1 && bytes.HasPrefix(entry, prefix) && bytes.Compare(entry, from) >= 0 {
					all[pair{string(entry), k}] = true
				}
			})
		}
		var want []string
		for _, p := range slices.SortedFunc(maps.Keys(all), func(a, b pair) int {
			return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.key, b.key))
		}) {
			want = append(want, fmt.Sprintf("%q of %q", p.entry, p.key))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("table %d: index from %q of %q: got %v, want %v", i, from, prefix, got, want)
		}
	}
}

// pending compares the fingerprint of what the processor sees.
func (m *machine) pending(t *rapid.T) {
	for i, table := range m.tables {
		got, err := table.PendingFingerprint()
		if want := fingerprintOf(m.seen[i]); err != nil || got != want {
			t.Fatalf("table %d: got pending fingerprint %s of %d rows, %v, want %s of %d", i, got,
				got.Rows(), err, want, want.Rows())
		}
	}
}

func fingerprintOf(rows map[string]string) state.Fingerprint {
	var sum state.Fingerprint
	for k, v := range rows {
		sum.Add(k, []byte(v))
	}
	return sum
}

func (m *machine) reopen(t *rapid.T) {
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

var (
	anyTable = rapid.IntRange(0, 1)
	anyKey   = rapid.SampledFrom([]string{
		"", "a", "ab", "abc", "b", "__offset", "\x00", "\xff", "\xff\xff", "m", "r", "zz",
	})
	anyValue = rapid.StringN(0, 2000, 2000)
)

func (m *machine) set(t *rapid.T) {
	i, k, v := anyTable.Draw(t, "table"), anyKey.Draw(t, "key"), anyValue.Draw(t, "value")
	if err := m.tables[i].Set(k, []byte(v)); err != nil {
		t.Fatal(err)
	}
	m.seen[i][k] = v
}

func (m *machine) delete(t *rapid.T) {
	i, k := anyTable.Draw(t, "table"), anyKey.Draw(t, "key")
	if err := m.tables[i].Delete(k); err != nil {
		t.Fatal(err)
	}
	delete(m.seen[i], k)
}

func (m *machine) commit(t *rapid.T) {
	var cs []state.Commit
	for i, table := range m.tables {
		if rapid.Bool().Draw(t, "commit") {
			m.offsets[i] += rapid.Int64Range(0, 9).Draw(t, "step")
			cs = append(cs, state.Commit{Table: table, Offset: m.offsets[i]})
			m.committed[i] = maps.Clone(m.seen[i])
		}
	}
	if err := m.db.Commit(cs...); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) rollback(t *rapid.T) {
	i := anyTable.Draw(t, "table")
	m.tables[i].Rollback()
	m.seen[i] = maps.Clone(m.committed[i])
}

func (m *machine) restore(t *rapid.T) {
	i := anyTable.Draw(t, "table")
	m.tables[i].Rollback()
	r := m.tables[i].Restore()
	for range rapid.IntRange(0, 20).Draw(t, "rows") {
		k, v := anyKey.Draw(t, "key"), anyValue.Draw(t, "value")
		if rapid.Bool().Draw(t, "set") {
			r.Set([]byte(k), []byte(v))
			m.committed[i][k] = v
		} else {
			r.Delete([]byte(k))
			delete(m.committed[i], k)
		}
	}
	m.offsets[i]++
	if err := r.Commit(m.offsets[i]); err != nil {
		t.Fatal(err)
	}
	m.seen[i] = maps.Clone(m.committed[i])
}

func (m *machine) reset(t *rapid.T) {
	i := anyTable.Draw(t, "table")
	if err := m.tables[i].Reset("a test"); err != nil {
		t.Fatal(err)
	}
	m.offsets[i], m.committed[i], m.seen[i] = -1, map[string]string{}, map[string]string{}
}

func (m *machine) get(t *rapid.T) {
	i, k := anyTable.Draw(t, "table"), anyKey.Draw(t, "key")
	v, err := m.tables[i].Get(k)
	same(t, "get", v, err, m.seen[i], k)
	v, err = m.tables[i].Committed().Get(k)
	same(t, "committed", v, err, m.committed[i], k)
}

func same(t *rapid.T, what string, got []byte, err error, rows map[string]string, key string) {
	want, ok := rows[key]
	if err != nil || ok != (got != nil) || string(got) != want {
		t.Fatalf("%s %q: got %q, %v, want %q, %v", what, key, got, err, want, ok)
	}
}

func (m *machine) scan(t *rapid.T) {
	i, start := anyTable.Draw(t, "table"), anyKey.Draw(t, "start")
	it, err := m.tables[i].IteratorWithRange([]byte(start), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Release()
	var got []string
	for it.Next() {
		v, err := it.Value()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%q=%q", it.Key(), v))
	}
	var want []string
	for _, k := range slices.Sorted(maps.Keys(m.seen[i])) {
		if len(k) >= len(start) && k[:len(start)] == start {
			want = append(want, fmt.Sprintf("%q=%q", k, m.seen[i][k]))
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("scan %q: got %v, want %v", start, got, want)
	}
}

func (m *machine) check(t *rapid.T) {
	for i, table := range m.tables {
		if got := table.Offset(); got != m.offsets[i] {
			t.Fatalf("table %d: got offset %d, want %d", i, got, m.offsets[i])
		}
		got := map[string]string{}
		for row, err := range table.Committed().All("") {
			if err != nil {
				t.Fatal(err)
			}
			got[row.Key] = string(row.Value)
		}
		if !maps.Equal(got, m.committed[i]) {
			t.Fatalf("table %d: got %v, want %v", i, got, m.committed[i])
		}
		if got, want := table.Fingerprint(), fingerprintOf(m.committed[i]); got != want {
			t.Fatalf("table %d: got fingerprint %s of %d rows, want %s of %d", i, got, got.Rows(),
				want, want.Rows())
		}
		last := ""
		for k, v := range table.Dirty() {
			if cmp.Compare(last, k) > 0 {
				t.Fatalf("table %d: %q comes after %q", i, k, last)
			}
			last = k
			if w, ok := m.seen[i][k]; ok != (v != nil) || w != string(v) {
				t.Fatalf("table %d: dirty %q is %q, want %q", i, k, v, w)
			}
		}
	}
}

// TestTableIsAMap does anything to two tables, in any order, and compares them
// with maps after each step.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{fs: vfs.NewMem(), offsets: [2]int64{-1, -1}}
		for i := range m.committed {
			m.committed[i] = map[string]string{}
		}
		m.open(t)
		defer func() { _ = m.db.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "set": m.set, "set2": m.set, "delete": m.delete, "commit": m.commit,
			"commit2": m.commit, "rollback": m.rollback, "restore": m.restore, "reset": m.reset,
			"get": m.get, "get2": m.get, "scan": m.scan, "reopen": m.reopen, "due": m.due,
			"index": m.index, "pending": m.pending,
		})
	})
}
