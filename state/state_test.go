package state_test

import (
	"maps"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/state"
)

// clock is a clock that stands still.
func clock() time.Time { return time.Unix(1_700_000_000, 0) }

func options(fs vfs.FS) state.Options {
	return state.Options{
		Dir: "data", FS: fs, CacheBytes: 1 << 20, RowCacheBytes: 1 << 20,
		MemTableBytes: 256 << 10, Now: clock,
	}
}

func identity(partition int32) state.Identity {
	return state.Identity{
		Cluster: "cluster", Topic: "app-table", TopicID: [16]byte{1, 2, 3},
		Partition: partition, Group: "app", Format: 1,
	}
}

func mustOpen(t testing.TB, o state.Options) *state.DB {
	t.Helper()
	db, err := state.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustTable(t testing.TB, db *state.DB, id state.Identity) *state.Table {
	t.Helper()
	table, err := db.Table(id)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func set(t testing.TB, table *state.Table, rows ...string) {
	t.Helper()
	for i := 0; i < len(rows); i += 2 {
		if err := table.Set(rows[i], []byte(rows[i+1])); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t testing.TB, db *state.DB, table *state.Table, offset int64) {
	t.Helper()
	if err := db.Commit(state.Commit{Table: table, Offset: offset}); err != nil {
		t.Fatal(err)
	}
}

// committed returns the committed rows of a table.
func committed(t testing.TB, table *state.Table) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for row, err := range table.Committed().All("") {
		if err != nil {
			t.Fatal(err)
		}
		rows[row.Key] = string(row.Value)
	}
	return rows
}

func TestCommitSurvivesReopening(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, options(fs))
	table := mustTable(t, db, identity(0))
	set(t, table, "a", "1", "b", "", "__offset", "mine", "", "empty key")
	if got := committed(t, table); len(got) != 0 {
		t.Fatalf("got %v before the commit", got)
	}
	commit(t, db, table, 7)
	set(t, table, "lost", "x")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = mustOpen(t, options(fs))
	table = mustTable(t, db, identity(0))
	want := map[string]string{"a": "1", "b": "", "__offset": "mine", "": "empty key"}
	if got := committed(t, table); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := table.Offset(); got != 7 {
		t.Errorf("got offset %d, want 7", got)
	}
	if got := table.CommittedAt(); !got.Equal(clock()) {
		t.Errorf("got commit time %v, want %v", got, clock())
	}
	if v, err := table.Get("b"); err != nil || v == nil || len(v) != 0 {
		t.Errorf("got %v, %v, want an empty value that is not nil", v, err)
	}
	if v, err := table.Get("lost"); err != nil || v != nil {
		t.Errorf("got %v, %v, want nil", v, err)
	}
}

// TestGroupsKeepTheirOwn: two groups of one process may follow the same topic,
// each at its own pace.
func TestGroupsKeepTheirOwn(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	other := identity(0)
	other.Group = "other"
	mine, theirs := mustTable(t, db, identity(0)), mustTable(t, db, other)
	set(t, mine, "a", "1")
	set(t, theirs, "a", "2", "b", "2")
	commit(t, db, mine, 5)
	commit(t, db, theirs, 9)
	if got := committed(t, mine); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("rows are %v", got)
	}
	if got := committed(t, theirs); !maps.Equal(got, map[string]string{"a": "2", "b": "2"}) {
		t.Errorf("rows of the other group are %v", got)
	}
	if mine.Offset() != 5 || theirs.Offset() != 9 {
		t.Errorf("offsets are %d and %d, want 5 and 9", mine.Offset(), theirs.Offset())
	}
}

// TestEmpty: what counts is rows. An offset alone, as aborted records leave it,
// does not make a table one that has something.
func TestEmpty(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	holds := func(want bool) {
		t.Helper()
		if empty, err := table.Empty(); err != nil || empty == want {
			t.Errorf("empty is %v, %v at offset %d", empty, err, table.Offset())
		}
	}
	holds(false)
	if err := table.Restore().Commit(4); err != nil {
		t.Fatal(err)
	}
	holds(false)
	set(t, table, "a", "1")
	holds(false)
	commit(t, db, table, 5)
	holds(true)
}
