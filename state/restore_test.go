package state

import (
	"fmt"
	"maps"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// awkward are keys that are hard to sort by their first bytes: they begin alike, one
// is the beginning of another, and zeros tell them apart.
var awkward = rapid.Custom(func(t *rapid.T) string {
	begins, ends := []string{"", "a", "order-00000001", "order-00000002"}, []byte{0, 1, 'a', 0xff}
	begin := rapid.SampledFrom(begins).Draw(t, "begin")
	return begin + string(rapid.SliceOfN(rapid.SampledFrom(ends), 0, 10).Draw(t, "end"))
})

// TestRestoreKeepsTheLast restores changelogs in which keys come again, within a batch
// and in later ones, before and after the database was opened again. What is left are
// the last rows, with the fingerprint, the entries and the deadlines that are theirs.
func TestRestoreKeepsTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs, want := vfs.NewMem(), map[string]string{}
		keys := rapid.SliceOfN(awkward, 1, 30).Draw(t, "keys")
		offset := int64(-1)
		for range rapid.IntRange(1, 3).Draw(t, "lives") {
			db, err := Open(crashOptions(fs))
			if err != nil {
				t.Fatal(err)
			}
			table, err := crashTable(db, 0)
			if err != nil {
				t.Fatal(err)
			}
			r := table.Restore()
			for range rapid.IntRange(1, 3).Draw(t, "batches") {
				for range rapid.IntRange(0, 60).Draw(t, "rows") {
					offset++
					key := rapid.SampledFrom(keys).Draw(t, "key")
					if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
						r.Delete([]byte(key))
						delete(want, key)
						continue
					}
					want[key] = fmt.Sprint("value ", offset)
					r.Set([]byte(key), []byte(want[key]))
				}
				if err := r.Commit(offset); err != nil {
					t.Fatal(err)
				}
			}
			got, err := contents(table)
			if err != nil || got.offset != offset || !maps.Equal(got.rows, want) {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
			if err := derived(table, want); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRestoreTellsWhatItTakes: many small rows take more memory than their bytes, and
// must not make a batch that is much larger than RestoreBatchBytes.
func TestRestoreTellsWhatItTakes(t *testing.T) {
	r := new(Table).Restore()
	n := 0
	for r.Bytes() < RestoreBatchBytes {
		r.Set([]byte{1}, nil)
		n++
	}
	if most := RestoreBatchBytes / 30; n > most {
		t.Errorf("took %d rows of one byte, want %d at most", n, most)
	}
}
