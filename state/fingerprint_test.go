package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFingerprintFollowsTheRows: live commits, a restore and a scan come to the same.
func TestFingerprintFollowsTheRows(t *testing.T) {
	db, err := Open(crashOptions(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	live, err := db.Table(crashIdentity(0))
	if err != nil {
		t.Fatal(err)
	}
	restored, err := db.Table(crashIdentity(1))
	if err != nil {
		t.Fatal(err)
	}
	r := restored.Restore()
	for n := range 300 { // the changelog of all that is committed, compacted in no way
		key, value := fmt.Sprint(n*7%100), fmt.Sprint("value ", n)
		if n%5 == 0 {
			_ = live.Delete(key)
			r.Delete([]byte(key))
		} else {
			_ = live.Set(key, []byte(value))
			r.Set([]byte(key), []byte(value))
		}
		if n%10 != 9 {
			continue
		}
		before := live.Fingerprint()
		pending, err := live.PendingFingerprint()
		if err != nil || live.Fingerprint() != before {
			t.Fatalf("looking at what is pending: %v", err)
		}
		if err := db.Commit(Commit{live, int64(n)}); err != nil {
			t.Fatal(err)
		}
		if got := live.Fingerprint(); got != pending {
			t.Fatalf("after %d: committed %s, but %s was pending", n, got, pending)
		}
		if n%40 == 39 {
			if err := r.Commit(int64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Commit(300); err != nil {
		t.Fatal(err)
	}
	snap, err := live.Committed().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	var scanned Fingerprint
	for row, err := range snap.All("") {
		if err != nil {
			t.Fatal(err)
		}
		scanned.Add(row.Key, row.Value)
	}
	want := live.Fingerprint()
	if scanned != want || restored.Fingerprint() != want || snap.Fingerprint() != want {
		t.Errorf("live commits come to %s of %d rows, a scan to %s of %d, a restore to %s; "+
			"the snapshot has %s", want, want.Rows(), scanned, scanned.Rows(), restored.Fingerprint(),
			snap.Fingerprint())
	}
	_ = live.Set("later", []byte("x"))
	if err := db.Commit(Commit{live, 301}); err != nil || snap.Fingerprint() != want {
		t.Errorf("the snapshot's fingerprint went on to %s, %v", snap.Fingerprint(), err)
	}
}

// TestLastRead: what was read of a row before a commit is not what it was after it.
func TestLastRead(t *testing.T) {
	db, err := Open(crashOptions(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	table, err := db.Table(crashIdentity(0))
	if err != nil {
		t.Fatal(err)
	}
	set := func(value string) {
		t.Helper()
		if err := table.Set("k", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	is := func(value string) {
		t.Helper()
		var want Fingerprint
		want.Add("k", []byte(value))
		if got, err := table.PendingFingerprint(); err != nil || got != want {
			t.Errorf("got %s of %d rows, %v, want that of %s", got, got.Rows(), err, value)
		}
	}
	for n := range int64(3) {
		set(fmt.Sprint("a ", n))
		is(fmt.Sprint("a ", n))
		if err := db.Commit(Commit{table, 2 * n}); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Get("k"); err != nil { // reads a
			t.Fatal(err)
		}
		set(fmt.Sprint("b ", n))
		is(fmt.Sprint("b ", n))
		if err := db.Commit(Commit{table, 2*n + 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPendingFingerprintDuringCommit: what is committed at that moment cannot be told.
func TestPendingFingerprintDuringCommit(t *testing.T) {
	db, err := Open(crashOptions(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	table, err := db.Table(crashIdentity(0))
	if err != nil {
		t.Fatal(err)
	}
	_ = table.Set("a", []byte("1"))
	table.freeze()
	if _, err := table.PendingFingerprint(); err == nil {
		t.Error("got a fingerprint")
	}
	table.unfreeze()
	got, err := table.PendingFingerprint()
	if err != nil || got.Rows() != 1 {
		t.Errorf("got %s of %d rows, %v", got, got.Rows(), err)
	}
	_ = table.Set("a", []byte("2"))
	if again, err := table.PendingFingerprint(); err != nil || again == got {
		t.Errorf("got %s again, %v", again, err)
	}
}

// earlier makes a database of the format before fingerprints: two tables of which
// one is empty.
func earlier(t *testing.T, fs vfs.FS) Fingerprint {
	t.Helper()
	db, err := Open(crashOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	var sum Fingerprint
	for i := range 2 {
		table, err := db.Table(crashIdentity(i))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 100 * i {
			key, value := fmt.Sprint(n), fmt.Append(nil, "value ", n)
			_ = table.Set(key, value)
			sum.Add(key, value)
		}
		if err := db.Commit(Commit{table, int64(i)}); err != nil {
			t.Fatal(err)
		}
		old := table.mark.encode()[:markBytes]
		if err := db.pebble.Set(spaceKey(table.number, spaceMark), old, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.pebble.Set(spaceKey(catalogue, spaceFormat), []byte{0, 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestEarlierFormat: a database without fingerprints gets them when its tables are
// opened. It keeps its rows, and an earlier version does not take it for a torn one.
func TestEarlierFormat(t *testing.T) {
	fs := vfs.NewMem()
	want := earlier(t, fs)
	holds := func(db *DB, format byte, size int) {
		t.Helper()
		for i, want := range []Fingerprint{{}, want} {
			table, err := db.Table(crashIdentity(i))
			if err != nil {
				t.Fatal(err)
			}
			snap, err := table.Committed().Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if table.Fingerprint() != want || snap.Fingerprint() != want || table.Offset() != int64(i) {
				t.Errorf("table %d: got %s, in the snapshot %s, at offset %d, want %s", i,
					table.Fingerprint(), snap.Fingerprint(), table.Offset(), want)
			}
			if err := snap.Close(); err != nil {
				t.Error(err)
			}
			mark, err := db.value(spaceKey(table.number, spaceMark))
			if err != nil || len(mark) != size {
				t.Errorf("table %d: the mark has %d bytes, %v, want %d", i, len(mark), err, size)
			}
		}
		now, err := db.value(spaceKey(catalogue, spaceFormat))
		if err != nil || len(now) != 2 || now[1] != format {
			t.Errorf("got format %x, %v, want %d", now, err, format)
		}
		if db.Recovered() != "" {
			t.Errorf("it was set aside to %s", db.Recovered())
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	db, err := OpenReadOnly(crashOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	holds(db, 1, 24)
	for range 2 {
		if db, err = Open(crashOptions(fs)); err != nil {
			t.Fatal(err)
		}
		holds(db, 2, 48)
	}
}
