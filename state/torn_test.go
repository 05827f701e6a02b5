package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestTornDatabaseIsNotTrusted takes the last records from the manifests of databases,
// one after the other, as a disk does that forgets what it has synced when the power
// fails, and damages their logs. What was a moment of each table stays; everything else is
// set aside, by Open or by Check. Without the check, some three seeds of a hundred end
// with rows that never were, silently.
func TestTornDatabaseIsNotTrusted(t *testing.T) {
	counts := map[string]int{}
	silent := map[int]bool{}
	seeds := *crashSeeds
	if testing.Short() {
		seeds /= 4
	}
	for seed := range seeds {
		image, history := aDatabase(t, uint64(seed))
		for what, tear := range tornImages(t, image, uint64(seed)) {
			unguarded, err := powerUp(tear(), history, false)
			if err != nil {
				t.Fatal(err)
			}
			outcome, err := powerUp(tear(), history, true)
			if err != nil || outcome == neverWere {
				t.Errorf("seed %d: %s: %s, %v", seed, what, outcome, err)
			}
			if unguarded == neverWere {
				outcome += ", and without the check " + neverWere
				silent[seed] = true
			}
			counts[strings.Fields(what)[0]+": "+outcome]++
		}
	}
	for what, n := range counts {
		t.Logf("%4d × %s", n, what)
	}
	t.Logf("without the check, %d of %d seeds end with rows that never were; with it, none",
		len(silent), seeds)
}

// TestLostNumbersAreNoticed cuts a manifest behind its first record, whatever the boot.
// Pebble opens it and hides all writes that it takes to be of the future: the tables would
// seem to be new, and the old rows would come up between new ones.
func TestLostNumbersAreNoticed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o, log := after(fs, "first")
	o.Tune = nil // nothing is compacted
	for range 2 {
		db := mustOpen(t, o)
		if table := tracked(t, db, 0); table.Offset() == noOffset {
			mustCommit(t, db, table, 1, "k1", "k2")
		}
		if err := errors.Join(db.pebble.Flush(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := fs.List("data")
	for _, n := range names {
		if path := fs.PathJoin("data", n); kind(n) == "MANIFEST" {
			b := readFile(t, fs, path)
			writeFile(t, fs, path, b[:recordEnds(b)[0]])
		} else if kind(n) == ".log" {
			writeFile(t, fs, path, nil)
		}
	}
	db := mustOpen(t, o)
	defer db.Close() //nolint:errcheck // a test
	if db.Recovered() == "" || !strings.Contains(log.String(), "has writes up to number") {
		t.Errorf("the lost numbers went unnoticed: %s", log)
	}
}

// tornImages returns ways to tear an image, each of which gives the same copy again.
func tornImages(t *testing.T, image *vfs.MemFS, seed uint64) map[string]func() vfs.FS {
	t.Helper()
	names, err := image.List("data")
	if err != nil {
		t.Fatal(err)
	}
	tears := map[string]func() vfs.FS{}
	for _, name := range names {
		path := image.PathJoin("data", name)
		_, named, _ := strings.Cut(name, "marker.manifest.")
		if _, manifest, ok := strings.Cut(named, "."); ok {
			b := readFile(t, image, image.PathJoin("data", manifest))
			for _, cut := range recordEnds(b) {
				tears[fmt.Sprintf("manifest of %d, cut to %d", len(b), cut)] = func() vfs.FS {
					fs := killed(image)
					writeFile(t, fs, fs.PathJoin("data", manifest), b[:cut])
					return fs
				}
			}
		}
		for i, damage := range damages {
			if kind(name) != ".log" || seed%10 != 0 {
				continue
			}
			tears["log "+damage.name+" "+name] = func() vfs.FS {
				fs := killed(image)
				damage.do(t, rand.New(rand.NewPCG(seed, uint64(i))), fs, path)
				return fs
			}
		}
	}
	return tears
}

// recordEnds returns where the records of a manifest end.
func recordEnds(manifest []byte) (ends []int64) {
	for r := record.NewReader(bytes.NewReader(manifest), 0); ; {
		rec, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, rec)
		}
		if err != nil {
			return ends
		}
		ends = append(ends, r.Offset())
	}
}

const neverWere = "rows that never were"

// powerUp opens a database after a crash of the machine and says what became of it.
func powerUp(fs vfs.FS, history []moment, guarded bool) (outcome string, err error) {
	o, log := after(fs, "another")
	open := Open
	if !guarded {
		open = OpenReadOnly // it looks at no less than Open did before there was Check
	}
	db, err := open(o)
	if !guarded && err != nil && isTorn(err) {
		return "set aside by Open", nil
	} else if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // a damaged database may say anything here
	if db.Recovered() != "" {
		return "set aside by Open", nil
	}
	var got moment
	outcome = "a moment of each table"
	for i := range got {
		table, err := db.Table(crashIdentity(i))
		if errors.Is(err, ErrReadOnly) {
			got[i].offset = noOffset // there is none
			continue
		} else if err != nil {
			return "", err
		}
		table.TrackDeadlines(func(row []byte) int64 { return int64(len(row) % 7) })
		table.TrackIndex(crashEntries)
		sound := true
		if !guarded {
			table.barred = nil
		} else if sound, err = table.Check(context.Background()); err != nil {
			return "", err
		}
		got[i], err = contents(table)
		if err == nil && guarded {
			err = derived(table, got[i].rows)
		}
		switch {
		case !sound && (len(got[i].rows) > 0 || !strings.Contains(log.String(), "table set aside")):
			return "", errors.New("was not set aside, or in silence")
		case !sound:
			outcome = "set aside by Check"
			got[i] = history[0][i]
		case err != nil && guarded:
			return "", err
		case err != nil:
			return neverWere, nil
		}
	}
	if !got.eachWas(history) {
		return neverWere, nil
	}
	if guarded {
		err = goOn(db, &got)
	}
	return outcome, err
}

// goOn writes to the tables and has them compacted: nothing that was hidden comes up.
func goOn(db *DB, got *moment) error {
	for i := range got {
		table := db.tables[crashIdentity(i).place()]
		if got[i].rows == nil || table.Offset() == noOffset {
			got[i].rows = map[string]string{}
		}
		for j := range 100 {
			key := fmt.Sprint("new", j)
			got[i].rows[key] = "row"
			err := errors.Join(table.Set(key, []byte("row")), db.Commit(Commit{table, 1 << 40}))
			if err != nil {
				return err
			}
		}
	}
	if err := db.pebble.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		return err
	}
	for i := range got {
		now, err := contents(db.tables[crashIdentity(i).place()])
		if err != nil || !maps.Equal(now.rows, got[i].rows) {
			return fmt.Errorf("table %d has %d rows, want %d, %w", i, len(now.rows), len(got[i].rows), err)
		}
	}
	return nil
}
