package state

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// aDatabase makes a database with all kinds of files in it, and returns its
// history.
func aDatabase(t *testing.T, seed uint64) (*vfs.MemFS, []moment) {
	t.Helper()
	c := newCrasher(seed, false)
	c.percent, c.at = 100, 300+c.rng.Int64N(300)
	c.live(t)
	return c.crashed.Load(), c.history
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// damages are what happens to files, by name.
var damages = []struct {
	name string
	do   func(t *testing.T, rng *rand.Rand, fs vfs.FS, file string)
}{
	{"flip", func(t *testing.T, rng *rand.Rand, fs vfs.FS, file string) {
		b := readFile(t, fs, file)
		if len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		writeFile(t, fs, file, b)
	}},
	{"zero", func(t *testing.T, rng *rand.Rand, fs vfs.FS, file string) {
		b := readFile(t, fs, file)
		if len(b) > 0 {
			from := rng.IntN(len(b))
			clear(b[from:min(len(b), from+1+rng.IntN(4096))])
		}
		writeFile(t, fs, file, b)
	}},
	{"truncate", func(t *testing.T, rng *rand.Rand, fs vfs.FS, file string) {
		b := readFile(t, fs, file)
		writeFile(t, fs, file, b[:rng.IntN(len(b)+1)])
	}},
	{"delete", func(t *testing.T, _ *rand.Rand, fs vfs.FS, file string) {
		if err := fs.Remove(file); err != nil {
			t.Fatal(err)
		}
	}},
}

// kind is what sort of file has a name.
func kind(name string) string {
	for _, p := range []string{"MANIFEST", "OPTIONS", "marker.manifest", "marker.format-version"} {
		if strings.HasPrefix(name, p) {
			return p
		}
	}
	return path.Ext(name)
}

// TestDamageIsNoticed damages one file of a database. What Open then gives is
// either a moment of the history, or the damage is noticed, at once or when it
// is met, and the database set aside. Wrong rows are never given.
func TestDamageIsNoticed(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(8) {
		image, history := aDatabase(t, seed)
		names, err := image.List("data")
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			for j, damage := range damages {
				rng := rand.New(rand.NewPCG(seed, uint64(i*10+j)))
				fs := image.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
				if name == "LOCK" {
					continue
				}
				damage.do(t, rng, fs, fs.PathJoin("data", name))
				outcome, err := survey(fs, history)
				if err != nil {
					t.Errorf("seed %d: %s %s: %v", seed, damage.name, name, err)
				}
				counts[fmt.Sprintf("%s %s: %s", damage.name, kind(name), outcome)]++
			}
		}
	}
	for what, n := range counts {
		t.Logf("%4d × %s", n, what)
	}
}

// survey opens a damaged database, and once more if it was told to.
func survey(fs vfs.FS, history []moment) (string, error) {
	for try := range 3 {
		var log strings.Builder
		o := crashOptions(fs)
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		got, aside, err := lookOnce(o)
		switch {
		case aside != "" && !strings.Contains(log.String(), "set it aside"):
			return "", errors.New("set aside in silence")
		case aside != "" && try == 0:
			return "set aside by Open", nil
		case aside != "":
			return "set aside after a read", nil
		case err == nil:
			for _, m := range history {
				if got.equal(m) {
					return "a moment", nil
				}
			}
			if got.eachWas(history) {
				return "a moment of each table", nil
			}
			return "", fmt.Errorf("got %v, which never was", got)
		case errors.Is(err, errFingerprint):
			return "told by the fingerprint", nil
		case !IsCorruption(err):
			return "", fmt.Errorf("not told as corruption: %w", err)
		}
	}
	return "", errors.New("never set aside")
}

// eachWas reports whether each table is at some moment of its own history. Damage
// can take the last commits of one table and leave those of another: each is then
// brought up from its changelog.
func (m moment) eachWas(history []moment) bool {
	for i := range m {
		if !slices.ContainsFunc(history, func(h moment) bool {
			return m[i].offset == h[i].offset && maps.Equal(m[i].rows, h[i].rows)
		}) {
			return false
		}
	}
	return true
}

func lookOnce(o Options) (got moment, aside string, err error) {
	db, err := Open(o)
	if err != nil {
		return got, "", err
	}
	defer db.Close() //nolint:errcheck // a damaged database may say anything here
	if db.Recovered() != "" {
		return got, db.Recovered(), nil
	}
	for i := range got {
		table, err := crashTable(db, i)
		if err != nil {
			return got, "", err
		}
		if got[i], err = contents(table); err != nil {
			return got, "", err
		}
	}
	return got, "", nil
}

// TestLostManifestEntryIsNoticed takes flushed commits out of the middle: the
// manifest forgets a flush whose log is gone already. Every checksum holds.
func TestLostManifestEntryIsNoticed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := crashOptions(fs)
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	table, err := db.Table(crashIdentity(0))
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, offset int64) {
		t.Helper()
		if err := errors.Join(table.Set(key, []byte(key)), db.Commit(Commit{table, offset})); err != nil {
			t.Fatal(err)
		}
	}
	put("first", 1)
	b := db.pebble.NewBatch()
	if err := b.Set(append(table.prefix[:], "second"...), nil, nil); err != nil {
		t.Fatal(err)
	}
	// A commit that is lost leaves neither its rows nor its count.
	table.mu.Lock()
	table.mark.count++
	table.mu.Unlock()
	put("third", 3)
	if err := errors.Join(b.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test
	if db.Recovered() == "" {
		t.Error("the missing commit went unnoticed")
	}
}

// TestMachineTroubleIsNotDamage lets the opening of files fail as a full disk,
// a failing device, or a lack of rights make it fail. The database stays.
func TestMachineTroubleIsNotDamage(t *testing.T) {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.EACCES} {
		for at := 1; at < 60; at++ {
			fs := vfs.NewMem()
			if db, err := Open(crashOptions(fs)); err != nil {
				t.Fatal(err)
			} else if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			n := 0
			failing := errorfs.InjectorFunc(func(op errorfs.Op) error {
				switch op.Kind {
				case errorfs.OpOpen, errorfs.OpList, errorfs.OpStat, errorfs.OpMkdirAll,
					errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpFileStat:
					if n++; n == at {
						return &iofs.PathError{Op: "test", Path: op.Path, Err: no}
					}
				default: // Pebble ends the process when it cannot write
				}
				return nil
			})
			db, err := Open(crashOptions(errorfs.Wrap(fs, failing)))
			if err == nil {
				if db.Recovered() != "" {
					t.Errorf("%v at operation %d: set aside", no, at)
				}
				_ = db.Close()
				continue
			}
			if IsCorruption(err) || errors.Is(err, ErrInUse) {
				t.Errorf("%v at operation %d: got %v", no, at, err)
			}
			if names, _ := fs.List("data-aside"); len(names) > 0 {
				t.Errorf("%v at operation %d: set aside %v", no, at, names)
			}
		}
	}
}

// TestLaterFormatIsLeftAlone opens a database of a later version.
func TestLaterFormatIsLeftAlone(t *testing.T) {
	fs := vfs.NewMem()
	db, err := Open(crashOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	later := []byte{0xff, 0xff}
	if err := db.pebble.Set(spaceKey(catalogue, spaceFormat), later, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(crashOptions(fs)); !errors.Is(err, ErrFormat) {
			t.Errorf("got %v, want ErrFormat", err)
		}
	}
}
