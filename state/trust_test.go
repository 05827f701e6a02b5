package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// after returns the options of a database on a machine with the given boot id.
func after(fs vfs.FS, boot string) (Options, *strings.Builder) {
	var log strings.Builder
	o := crashOptions(fs)
	o.BootID = func() string { return boot }
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	return o, &log
}

func mustOpen(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// tracked opens a table with deadlines and an index, without a check.
func tracked(t *testing.T, db *DB, partition int) *Table {
	t.Helper()
	table, err := db.Table(crashIdentity(partition))
	if err != nil {
		t.Fatal(err)
	}
	table.TrackDeadlines(func(row []byte) int64 { return int64(len(row) % 7) })
	table.TrackIndex(crashEntries)
	return table
}

func mustCommit(t *testing.T, db *DB, table *Table, offset int64, rows ...string) {
	t.Helper()
	var errs []error
	for _, k := range rows {
		errs = append(errs, table.Set(k, []byte("value of "+k)))
	}
	if err := errors.Join(append(errs, db.Commit(Commit{table, offset}))...); err != nil {
		t.Fatal(err)
	}
}

// killed returns what a crash of the process leaves: what Pebble has handed over.
func killed(fs *vfs.MemFS) *vfs.MemFS {
	rng := rand.New(rand.NewPCG(1, 1))
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
}

// tears are what a torn manifest can leave of a table, though every checksum and the
// count of commits are right. Each returns the key in the database that it changes.
var tears = map[string]func(table *Table, b *pebble.Batch) error{
	"row lost": func(table *Table, b *pebble.Batch) error {
		return table.putRow(b, "k1", nil)
	},
	"row old": func(table *Table, b *pebble.Batch) error {
		return table.putRow(b, "k1", []byte("older"))
	},
	"row too much": func(table *Table, b *pebble.Batch) error {
		return table.putRow(b, "k9", []byte("deleted"))
	},
	"entry lost": func(table *Table, b *pebble.Batch) error {
		return b.Delete(table.indexKeys("k1", []byte("value of k1"))[0], nil)
	},
	"entry too much": func(table *Table, b *pebble.Batch) error {
		return b.Set(table.indexKeys("k9", []byte("value of k9"))[0], nil, nil)
	},
	"deadline lost": func(table *Table, b *pebble.Batch) error {
		return b.Delete(table.dueKey("k1", table.due([]byte("value of k1"))), nil)
	},
	"deadline too much": func(table *Table, b *pebble.Batch) error {
		return b.Set(table.dueKey("k9", 3), nil, nil)
	},
}

// torn makes two tables of which the first is torn while they are open.
func torn(t *testing.T, tear func(*Table, *pebble.Batch) error) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	o, _ := after(fs, "first")
	db := mustOpen(t, o)
	for p := range 2 {
		mustCommit(t, db, tracked(t, db, p), 5, "k1", "k2", "k3")
	}
	b := db.pebble.NewBatch()
	if err := errors.Join(tear(tracked(t, db, 0), b), b.Commit(pebble.Sync)); err != nil {
		t.Fatal(err)
	}
	left := killed(fs)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return left
}

// TestTornTableIsSetAside tears a table in ways that only its fingerprint tells of. If
// the machine went down meanwhile, the table is not used before it was checked, and is
// set aside then, and no other one is. If only the process did, nothing is checked.
func TestTornTableIsSetAside(t *testing.T) {
	for name, tear := range tears {
		t.Run(name, func(t *testing.T) {
			left := torn(t, tear)
			o, log := after(killed(left), "first")
			db := mustOpen(t, o)
			if sound, err := tracked(t, db, 0).Check(t.Context()); err != nil || !sound || log.Len() > 0 {
				t.Errorf("after a crash of the process: sound: %v, %v, %s", sound, err, log)
			}
			// So nothing else tells: it is the check that does.
			got, err := contents(tracked(t, db, 0))
			if err = cmp.Or(err, derived(tracked(t, db, 0), got.rows)); err == nil {
				t.Error("the table is not torn")
			}
			_ = db.Close()

			o, log = after(left, "second")
			db = mustOpen(t, o)
			table, other := tracked(t, db, 0), tracked(t, db, 1)
			unusable(t, table)
			for _, half := range []struct {
				*Table
				want bool
			}{{table, false}, {other, true}, {table, true}} {
				sound, err := half.Check(t.Context())
				if err != nil || sound != half.want {
					t.Errorf("%v: sound: %v, %v, want %v", half.id, sound, err, half.want)
				}
			}
			if !strings.Contains(log.String(), "table set aside") {
				t.Errorf("set aside in silence: %s", log)
			}
			if names, _ := left.List("data-aside"); len(names) != 1 {
				t.Errorf("set aside are %v, want one table", names)
			}
			// A kill right after it brings nothing back.
			o, _ = after(left.CrashClone(vfs.CrashCloneCfg{}), "second")
			_ = db.Close()
			db = mustOpen(t, o)
			defer db.Close() //nolint:errcheck // a test
			for p, rows := range []int{0, 3} {
				got, err := contents(tracked(t, db, p))
				if err != nil || len(got.rows) != rows {
					t.Errorf("partition %d: got %v, %v, want %d rows", p, got, err, rows)
				}
			}
		})
	}
}

// unusable checks that nothing can be done with a table.
func unusable(t *testing.T, table *Table) {
	t.Helper()
	_, get := table.Get("k1")
	_, view := table.Committed().Get("k1")
	_, snapshot := table.Committed().Snapshot()
	_, iterator := table.Iterator()
	_, due := table.Due(100, 1, nil)
	restore := table.Restore()
	for what, err := range map[string]error{
		"get": get, "view": view, "snapshot": snapshot, "iterator": iterator, "due": due,
		"set": table.Set("k1", []byte("x")), "commit": table.db.Commit(Commit{table, 9}),
		"restore": restore.Commit(9), "reset": table.Reset("a test"),
	} {
		if !errors.Is(err, ErrUnchecked) {
			t.Errorf("%s: got %v, want ErrUnchecked", what, err)
		}
	}
}

// TestTornTableReadOnly: what cannot be set aside is an error.
func TestTornTableReadOnly(t *testing.T) {
	left := torn(t, tears["row old"])
	for range 2 {
		o, _ := after(left, "second")
		db, err := OpenReadOnly(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tracked(t, db, 0).Check(t.Context()); !IsCorruption(err) {
			t.Errorf("got %v, want corruption", err)
		}
		sound, err := tracked(t, db, 1).Check(t.Context())
		if err := errors.Join(err, db.Close()); err != nil || !sound {
			t.Errorf("the other table: sound: %v, %v", sound, err)
		}
	}
}

// TestWhoVouches goes through the ways in which a database with two tables is left and
// found. What is in doubt then are the tables named.
func TestWhoVouches(t *testing.T) {
	trustPath := "data/" + trustFile
	edit := func(do func(t *testing.T, fs *vfs.MemFS)) func(*testing.T, *vfs.MemFS, *DB) *vfs.MemFS {
		return func(t *testing.T, fs *vfs.MemFS, db *DB) *vfs.MemFS {
			t.Helper()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			do(t, fs)
			return fs
		}
	}
	closed := edit(func(*testing.T, *vfs.MemFS) {})
	kill := func(_ *testing.T, fs *vfs.MemFS, _ *DB) *vfs.MemFS { return killed(fs) }
	for _, c := range []struct {
		name        string
		first, then string // boots
		leave       func(*testing.T, *vfs.MemFS, *DB) *vfs.MemFS
		doubts      int
	}{
		{"closed", "a", "b", closed, 0},
		{"closed, no boot ids", "", "", closed, 0},
		{"killed", "a", "a", kill, 0},
		{"killed with the machine", "a", "b", kill, 2},
		{"killed, no boot id then", "a", "", kill, 2},
		{"killed, no boot id before", "", "b", kill, 2},
		{"killed, no boot ids", "", "", kill, 2},
		{"record lost", "a", "a", edit(func(t *testing.T, fs *vfs.MemFS) {
			t.Helper()
			if err := fs.Remove(trustPath); err != nil {
				t.Fatal(err)
			}
		}), 2},
		{"record empty", "a", "a", edit(func(t *testing.T, fs *vfs.MemFS) {
			t.Helper()
			writeFile(t, fs, trustPath, nil)
		}), 2},
		{"record torn", "a", "a", edit(func(t *testing.T, fs *vfs.MemFS) {
			t.Helper()
			b := readFile(t, fs, trustPath)
			b[len(b)/2] ^= 1
			writeFile(t, fs, trustPath, b)
		}), 2},
		{"written by an earlier version after Close", "a", "a", edit(func(t *testing.T, fs *vfs.MemFS) {
			t.Helper()
			was := readFile(t, fs, trustPath)
			o, _ := after(fs, "a")
			db := mustOpen(t, o)
			mustCommit(t, db, tracked(t, db, 0), 9, "k7")
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			writeFile(t, fs, trustPath, was)
		}), 2},
		{"a file changed after Close", "a", "a", edit(func(t *testing.T, fs *vfs.MemFS) {
			t.Helper()
			names, _ := fs.List("data")
			for _, n := range names {
				if n = fs.PathJoin("data", n); kind(fs.PathBase(n)) == ".log" {
					writeFile(t, fs, n, append(readFile(t, fs, n), 'x'))
				}
			}
		}), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			o, _ := after(fs, c.first)
			db := mustOpen(t, o)
			for p := range 2 {
				mustCommit(t, db, tracked(t, db, p), 5, "k1")
			}
			if err := db.pebble.LogData(nil, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			left := c.leave(t, fs, db)
			o, log := after(left, c.then)
			found := mustOpen(t, o)
			defer found.Close() //nolint:errcheck // a test
			_ = db.Close()
			if got := len(found.doubts); got != c.doubts {
				t.Errorf("%d tables are in doubt, want %d: %s", got, c.doubts, log)
			}
			if c.doubts == 0 && log.Len() > 0 {
				t.Errorf("a word was lost: %s", log)
			}
		})
	}
}

// TestDirectoryThatNobodyMayRead: the root of a volume has one, lost+found. It is none of
// a database's files, and does not keep one from being closed in order.
func TestDirectoryThatNobodyMayRead(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("data/lost+found", 0o700); err != nil {
		t.Fatal(err)
	}
	o, log := after(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, "lost+found") {
			return &iofs.PathError{Op: "open", Path: op.Path, Err: syscall.EACCES}
		}
		return nil
	})), "first")
	db := mustOpen(t, o)
	mustCommit(t, db, tracked(t, db, 0), 5, "k1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o.BootID = func() string { return "second" }
	db = mustOpen(t, o)
	if len(db.doubts) > 0 {
		t.Errorf("in doubt: %s", log)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestDoubtStays: a table that nobody checks stays in doubt through orderly ends and
// crashes of the process; one that was checked does not come back into it.
func TestDoubtStays(t *testing.T) {
	fs := torn(t, tears["row old"])
	o, _ := after(fs, "second")
	db := mustOpen(t, o)
	if sound, err := tracked(t, db, 1).Check(t.Context()); err != nil || !sound {
		t.Fatalf("sound: %v, %v", sound, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows := tracked(t, db, 1)
	for i := range int64(3) {
		var many []string
		for j := range 2 * checkLook {
			many = append(many, fmt.Sprint("row ", i, " ", j))
		}
		mustCommit(t, db, rows, 10+i, many...)
	}
	for life := range 4 {
		if life%2 == 0 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			was := db
			fs = killed(fs)
			defer was.Close() //nolint:errcheck // a test
		}
		o, _ := after(fs, "second")
		db = mustOpen(t, o)
		unusable(t, tracked(t, db, 0))
		if got, err := contents(tracked(t, db, 1)); err != nil || len(got.rows) < 2 {
			t.Errorf("the checked table has %d rows, %v", len(got.rows), err)
		}
	}
	_ = db.Close()

	// The next crash of the machine puts both in doubt. A check that is broken off
	// leaves the table as it is.
	o, log := after(killed(fs), "third")
	o.Now = func() func() time.Time {
		now := time.Unix(1, 0)
		return func() time.Time { now = now.Add(checkProgress); return now }
	}()
	writeFile(t, o.FS, "data/"+trustFile, nil)
	db = mustOpen(t, o)
	defer db.Close() //nolint:errcheck // a test
	table := tracked(t, db, 1)
	if _, err := table.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it broken off", err)
	}
	unusable(t, table)
	if sound, err := table.Check(t.Context()); err != nil || !sound {
		t.Errorf("sound: %v, %v", sound, err)
	}
	if !strings.Contains(log.String(), `msg="checking a table"`) {
		t.Errorf("no word of how far it is: %s", log)
	}
}

// TestInMemoryIsNotInDoubt: there is nothing to be torn.
func TestInMemoryIsNotInDoubt(t *testing.T) {
	db, err := Open(Options{InMemory: true, Now: time.Now, BootID: func() string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	table := tracked(t, db, 0)
	mustCommit(t, db, table, 1, "k1")
	if sound, err := table.Check(t.Context()); err != nil || !sound {
		t.Errorf("sound: %v, %v", sound, err)
	}
	got, err := contents(table)
	if err != nil || !maps.Equal(got.rows, map[string]string{"k1": "value of k1"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
