package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/state"
)

func TestDirectoryInUse(t *testing.T) {
	for name, o := range map[string]state.Options{
		"memory": options(vfs.NewMem()),
		"disk":   {Dir: t.TempDir(), Now: clock},
	} {
		t.Run(name, func(t *testing.T) {
			db := mustOpen(t, o)
			if _, err := state.Open(o); !errors.Is(err, state.ErrInUse) {
				t.Errorf("got %v, want ErrInUse", err)
			}
			if _, err := state.OpenReadOnly(o); !errors.Is(err, state.ErrInUse) {
				t.Errorf("got %v, want ErrInUse", err)
			}
			set(t, mustTable(t, db, identity(0)), "still", "works")
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			mustOpen(t, o)
		})
	}
}

func TestDirectoryWithoutRightsIsNotInUse(t *testing.T) {
	o := state.Options{Dir: t.TempDir() + "/file/data", Now: clock}
	if err := os.WriteFile(strings.TrimSuffix(o.Dir, "/data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := state.Open(o)
	if err == nil || errors.Is(err, state.ErrInUse) || state.IsCorruption(err) {
		t.Errorf("got %v", err)
	}
}

func TestOpenReadOnly(t *testing.T) {
	fs := vfs.NewMem()
	if _, err := state.OpenReadOnly(options(fs)); err == nil {
		t.Error("opened a directory that does not exist")
	}
	db := mustOpen(t, options(fs))
	table := mustTable(t, db, identity(3))
	set(t, table, "a", "1")
	commit(t, db, table, 5)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db, err := state.OpenReadOnly(options(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	ids, err := db.Tables()
	if err != nil || len(ids) != 1 || ids[0] != identity(3) {
		t.Fatalf("got %v, %v", ids, err)
	}
	table = mustTable(t, db, ids[0])
	got, want := committed(t, table), map[string]string{"a": "1"}
	if !maps.Equal(got, want) || table.Offset() != 5 {
		t.Errorf("got %v at %d", got, table.Offset())
	}
	set(t, table, "b", "2")
	if err := db.Commit(state.Commit{Table: table, Offset: 6}); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("commit: got %v, want ErrReadOnly", err)
	}
	if err := table.Reset("x"); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("reset: got %v, want ErrReadOnly", err)
	}
	if err := table.Restore().Commit(9); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("restore: got %v, want ErrReadOnly", err)
	}
	if _, err := db.Table(identity(4)); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("new table: got %v, want ErrReadOnly", err)
	}
}

// TestForeignTableIsSetAside opens a table whose topic was created anew. The
// old rows leave the database, but not the machine.
func TestForeignTableIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	o := options(fs)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	db := mustOpen(t, o)
	old, other := mustTable(t, db, identity(0)), mustTable(t, db, identity(1))
	set(t, old, "a", "old")
	set(t, other, "a", "other")
	both := []state.Commit{{Table: old, Offset: 7}, {Table: other, Offset: 8}}
	if err := db.Commit(both...); err != nil {
		t.Fatal(err)
	}
	set(t, old, "b", "uncommitted")

	id := identity(0)
	id.TopicID = [16]byte{9}
	table := mustTable(t, db, id)
	if empty, err := table.Empty(); err != nil || !empty || table.Offset() != -1 {
		t.Errorf("got %v, %v, offset %d, want an empty table", empty, err, table.Offset())
	}
	if v, err := table.Get("a"); err != nil || v != nil {
		t.Errorf("got %q, %v, want nothing", v, err)
	}
	if _, err := old.Get("a"); !errors.Is(err, state.ErrReplaced) {
		t.Errorf("got %v, want ErrReplaced", err)
	}
	if err := db.Commit(state.Commit{Table: old, Offset: 9}); !errors.Is(err, state.ErrReplaced) {
		t.Errorf("got %v, want ErrReplaced", err)
	}
	if got := committed(t, other); got["a"] != "other" || other.Offset() != 8 {
		t.Errorf("the other table has %v at %d", got, other.Offset())
	}
	if !strings.Contains(log.String(), "set aside") {
		t.Error("nothing was logged")
	}

	names, err := fs.List("data-aside")
	if err != nil || len(names) != 1 || names[0] != "20231114T221320.000000000Z-app-table-0" {
		t.Fatalf("got %v, %v", names, err)
	}
	aside := o
	aside.Dir = "data-aside/" + names[0]
	copied, err := state.OpenReadOnly(aside)
	if err == nil {
		defer copied.Close() //nolint:errcheck // only read
		ids, err := copied.Tables()
		if err != nil {
			t.Fatal(err)
		}
		got := committed(t, mustTable(t, copied, ids[0]))
		if !maps.Equal(got, map[string]string{"a": "old"}) {
			t.Errorf("set aside %v", got)
		}
	} else {
		t.Error(err)
	}
}

func TestResetIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, options(fs))
	table := mustTable(t, db, identity(0))
	if err := table.Reset("nothing to keep"); err != nil {
		t.Fatal(err)
	}
	if names, _ := fs.List("data-aside"); len(names) != 0 {
		t.Errorf("an empty table left %v", names)
	}
	set(t, table, "a", "1")
	commit(t, db, table, 3)
	r := table.Restore()
	r.Set([]byte("b"), []byte("2"))
	if err := table.Reset("older than the log"); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(4); err == nil {
		t.Error("a restore went on over a reset")
	}
	if v, err := table.Get("a"); err != nil || v != nil || table.Offset() != -1 {
		t.Errorf("got %q, %v, offset %d", v, err, table.Offset())
	}
	if names, _ := fs.List("data-aside"); len(names) != 1 {
		t.Errorf("got %v aside", names)
	}
	set(t, table, "c", "3")
	commit(t, db, table, 0)
	if got := committed(t, table); !maps.Equal(got, map[string]string{"c": "3"}) {
		t.Errorf("got %v", got)
	}
}

func TestCommitIsRefused(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	foreign := mustTable(t, mustOpen(t, options(vfs.NewMem())), identity(0))
	set(t, table, "a", "1")
	commit(t, db, table, 5)
	set(t, table, "a", "2")
	for name, cs := range map[string][]state.Commit{
		"offset going back": {{Table: table, Offset: 4}},
		"table named twice": {{Table: table, Offset: 6}, {Table: table, Offset: 6}},
		"foreign table":     {{Table: foreign, Offset: 6}},
		"no table":          {{Offset: 6}},
	} {
		if err := db.Commit(cs...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if v, _ := table.Get("a"); string(v) != "2" {
		t.Errorf("the overlay has %q", v)
	}
	if err := table.Restore().Commit(6); err == nil {
		t.Error("restored past uncommitted rows")
	}
}

func TestClosedSaysSo(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	set(t, table, "a", "1", "b", "2")
	commit(t, db, table, 1)
	it, err := table.Iterator()
	if err != nil || !it.Next() {
		t.Fatal(err)
	}
	snap, err := table.Committed().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close with readers: %v", err)
	}
	if it.Next() || !errors.Is(it.Err(), state.ErrClosed) {
		t.Errorf("iterator: got %v", it.Err())
	}
	it.Release()
	for _, err := range snap.All("") {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("snapshot: got %v", err)
		}
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
	if _, err := table.Get("unknown"); err != nil && !errors.Is(err, state.ErrClosed) {
		t.Errorf("get: got %v", err)
	}
	if err := db.Commit(state.Commit{Table: table, Offset: 2}); !errors.Is(err, state.ErrClosed) {
		t.Errorf("commit: got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadersOutside reads a table while it is written, committed, restored and
// at last closed. Every commit sets all rows to one value, and no reader may
// see two.
func TestReadersOutside(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	view := table.Committed()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				seen := map[string]bool{}
				for row, err := range view.All("k") {
					if errors.Is(err, state.ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					seen[string(row.Value)] = true
				}
				if len(seen) > 1 {
					t.Errorf("saw %v at once", seen)
				}
				for _, key := range []string{"k1", "unknown"} {
					for _, get := range []func(string) ([]byte, error){view.Get, table.Get} {
						if _, err := get(key); err != nil && !errors.Is(err, state.ErrClosed) {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	for n := range 300 {
		value := []byte(fmt.Sprint(n))
		if n%10 == 9 {
			r := table.Restore()
			for i := range 400 {
				r.Set(fmt.Append(nil, "k", i), value)
			}
			if err := r.Commit(int64(n)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for i := range 400 {
			if err := table.Set(fmt.Sprint("k", i), value); err != nil {
				t.Fatal(err)
			}
		}
		if n%7 == 0 {
			table.Rollback()
			continue
		}
		commit(t, db, table, int64(n))
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestWritesDuringCommit writes while Commit runs: no row may get lost.
func TestWritesDuringCommit(t *testing.T) {
	db := mustOpen(t, options(vfs.NewMem()))
	table := mustTable(t, db, identity(0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20_000 {
			key := fmt.Sprint(i)
			if err := table.Set(key, []byte(key)); err != nil {
				t.Error(err)
			}
			if v, err := table.Get(key); err != nil || string(v) != key {
				t.Errorf("got %q, %v", v, err)
			}
		}
	}()
	for n := int64(0); ; n++ {
		commit(t, db, table, n)
		select {
		case <-done:
			commit(t, db, table, n)
			if got := len(committed(t, table)); got != 20_000 {
				t.Errorf("got %d rows", got)
			}
			return
		default:
		}
	}
}

// TestInABubble runs a database on the virtual time of a simulation.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(vfs.NewMem())
		o.Now = time.Now
		o.Tune = func(p *pebble.Options) {
			p.MemTableSize = 64 << 10
			scheduler := pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest
			p.Experimental.CompactionScheduler = scheduler()
		}
		db, err := state.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		table := mustTable(t, db, identity(0))
		start := time.Now()
		for n := range int64(100) {
			set(t, table, fmt.Sprint(n), strings.Repeat("x", 5000))
			commit(t, db, table, n)
			time.Sleep(time.Hour)
		}
		if got := table.CommittedAt().Sub(start); got != 99*time.Hour {
			t.Errorf("committed at %v", got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
