package engine_test

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestTornTableIsRebuilt takes a worker down with its machine, whose disk loses a row
// that no checksum misses. The worker that starts there sets that table aside and has it
// again from its changelog; the others are read once. Where only the process dies, nothing
// is checked and nothing rebuilt; so the row stays lost, and it is the check that tells.
func TestTornTableIsRebuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewCrashableMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 100)
	w.joined(100)
	wk.end()
	want := w.rows()
	wk = w.start(fs, nil)
	w.eventually("ready", func() bool { return wk.e.Stats().Ready })
	left := copied(fs)
	wk.end()
	loseRow(t, left)

	for _, c := range []struct {
		boot    string
		rebuilt int64
		checked int
	}{{"first", 0, 0}, {"second", 1, testParts - 1}} {
		w.boot = c.boot
		before := w.tables.String()
		wk := w.start(copied(left), nil)
		w.eventually("ready", func() bool { return wk.e.Stats().Ready })
		got := wk.local()
		if same := maps.Equal(got, want); same != (c.rebuilt > 0) {
			t.Errorf("%s: %d rows of %d, the same: %v", c.boot, len(got), len(want), same)
		}
		if s := wk.e.Stats(); s.Rebuilt != c.rebuilt || (s.Restored > 0) != (c.rebuilt > 0) {
			t.Errorf("%s: %d tables were rebuilt, by %d records", c.boot, s.Rebuilt, s.Restored)
		}
		said := strings.TrimPrefix(w.tables.String(), before)
		if n := strings.Count(said, "it is sound"); n != c.checked {
			t.Errorf("%s: %d tables were sound, want %d: %s", c.boot, n, c.checked, said)
		}
		wk.end()
	}
}

func copied(fs *vfs.MemFS) *vfs.MemFS {
	rng := rand.New(rand.NewPCG(1, 1))
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
}

// loseRow deletes the first row of a database behind its back.
func loseRow(t *testing.T, fs vfs.FS) {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6,
		Merger: &pebble.Merger{
			Name: "tallystick.count",
			Merge: func(_, v []byte) (pebble.ValueMerger, error) {
				s := new(sum)
				return s, s.MergeNewer(v)
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	ok := it.First()
	for ok && it.Key()[4] != 'r' {
		ok = it.Next()
	}
	if !ok {
		t.Fatal("there is no row")
	}
	err = db.Delete(it.Key(), pebble.Sync)
	if err := errors.Join(err, it.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A sum adds up, as the count of a table's commits is kept.
type sum uint64

func (s *sum) MergeNewer(v []byte) error { *s += sum(binary.BigEndian.Uint64(v)); return nil }

func (s *sum) MergeOlder(v []byte) error { return s.MergeNewer(v) }

func (s *sum) Finish(bool) ([]byte, io.Closer, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(*s)), nil, nil
}
