package state_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"tallystick/state"
)

// wordIndex is an index of the words in a row.
func wordIndex(_ string, row []byte, entry func([]byte)) {
	for len(row) > 0 {
		n := slices.Index(row, ' ')
		if n < 0 {
			n = len(row)
		}
		entry(row[:n])
		row = row[min(n+1, len(row)):]
	}
}

func entries(t testing.TB, view state.View, from, prefix string) string {
	t.Helper()
	var all []string
	for row, err := range view.Index([]byte(from), []byte(prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s:%s", row.Entry, row.Key))
	}
	return fmt.Sprint(all)
}

func TestIndex(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	table.TrackIndex(wordIndex)
	set(t, table, "1", "blue bird", "2", "blue bluebell blue", "3", "", "4", "red")
	view := table.Committed()
	is := func(from, prefix, want string) {
		t.Helper()
		if got := entries(t, view, from, prefix); got != want {
			t.Errorf("from %q of %q: got %s, want %s", from, prefix, got, want)
		}
	}
	is("", "", "[]") // nothing is committed
	commit(t, db, table, 1)
	is("", "", "[bird:1 blue:1 blue:2 bluebell:2 red:4]")
	is("", "blue", "[blue:1 blue:2 bluebell:2]")
	is("blue", "b", "[blue:1 blue:2 bluebell:2]")
	is("bluea", "b", "[bluebell:2]")
	is("a", "red", "[red:4]")
	is("s", "red", "[]")

	set(t, table, "1", "bird bee", "3", "bird")
	if err := table.Delete("4"); err != nil {
		t.Fatal(err)
	}
	is("", "", "[bird:1 blue:1 blue:2 bluebell:2 red:4]") // the overlay is nobody's business
	commit(t, db, table, 2)
	is("", "", "[bee:1 bird:1 bird:3 blue:2 bluebell:2]")
	if err := table.Reset("a test"); err != nil {
		t.Fatal(err)
	}
	is("", "", "[]")
}

// TestIndexIsOfTheSnapshot: an entry that a snapshot has leads to a row that it has.
func TestIndexIsOfTheSnapshot(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	table.TrackIndex(wordIndex)
	const rows = 700 // more than are read at a time
	for i := range rows {
		set(t, table, fmt.Sprintf("%03d", i), "old")
	}
	commit(t, db, table, 1)
	snap, err := table.Committed().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	n := 0
	for e, err := range snap.Index(nil, []byte("o")) {
		if err != nil {
			t.Fatal(err)
		}
		set(t, table, e.Key, "new")
		commit(t, db, table, int64(n+2))
		row, err := snap.Get(e.Key)
		if err != nil || string(row) != string(e.Entry) || e.Key != fmt.Sprintf("%03d", n) {
			t.Fatalf("%s of %s: got %q, %v", e.Entry, e.Key, row, err)
		}
		n++
	}
	if n != rows {
		t.Errorf("got %d entries, want %d", n, rows)
	}
	if row, err := snap.Get("unknown"); row != nil || err != nil {
		t.Errorf("got %q, %v, want no row", row, err)
	}
	if got := entries(t, table.Committed(), "", "o"); got != "[]" {
		t.Errorf("got %s, want no old rows", got)
	}
}

// TestIndexOrder: entries and keys of any bytes come back as they were, in the
// order of the pairs.
func TestIndexOrder(t *testing.T) {
	anyBytes := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		db, err := state.Open(options(vfs.NewMem()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		table, err := db.Table(identity(0))
		if err != nil {
			t.Fatal(err)
		}
		table.TrackIndex(func(_ string, row []byte, entry func([]byte)) { entry(row) })
		rows := rapid.MapOf(rapid.Map(anyBytes, func(b []byte) string { return string(b) }), anyBytes).
			Draw(t, "rows")
		var want []state.Row
		for k, v := range rows {
			if err := table.Set(k, v); err != nil {
				t.Fatal(err)
			}
			want = append(want, state.Row{Key: k, Value: v})
		}
		if err := db.Commit(state.Commit{Table: table}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(want, func(a, b state.Row) int {
			return cmp.Or(slices.Compare(a.Value, b.Value), cmp.Compare(a.Key, b.Key))
		})
		for e, err := range table.Committed().Index(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 || e.Key != want[0].Key || !slices.Equal(e.Entry, want[0].Value) {
				t.Fatalf("got %q of %q, want the first of %v", e.Entry, e.Key, want)
			}
			want = want[1:]
		}
		if len(want) != 0 {
			t.Errorf("missing %v", want)
		}
	})
}
