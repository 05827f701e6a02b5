package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// condemned is the name of the file that tells the next Open that a read, or
// Pebble in the background, found damage.
const condemned = "CONDEMNED"

const asideTime = "20060102T150405.000000000Z"

func lockDir(o Options) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(o.Dir, o.FS)
	if err == nil {
		return lock, nil
	}
	var path *fs.PathError // from making the file, not from locking it
	if !errors.As(err, &path) && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held")) {
		return nil, fmt.Errorf("state: open %s: %w (%w)", o.Dir, ErrInUse, err)
	}
	return nil, fmt.Errorf("state: lock %s: %w", o.Dir, err)
}

// checkFiles finds what Pebble would not: a directory that lost the name of
// its manifest looks to Pebble like an empty one, and would be overwritten.
func checkFiles(o Options) error {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return err
	}
	if slices.Contains(names, condemned) {
		return fmt.Errorf("%w: %s", errTorn, readReason(o))
	}
	data := ""
	for _, n := range names {
		if strings.HasPrefix(n, "marker.manifest.") {
			return nil
		}
		if strings.HasSuffix(n, ".sst") || strings.HasSuffix(n, ".log") {
			data = n
		}
	}
	if data != "" {
		return fmt.Errorf("%w: %s exists, but no manifest is named", errTorn, data)
	}
	return nil
}

func readReason(o Options) string {
	f, err := o.FS.Open(o.FS.PathJoin(o.Dir, condemned))
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// isTorn reports whether err, returned by open, is the fault of what is in the
// files, so that the database has to be set aside. Pebble marks only some of
// these errors as corruption; whatever comes neither from the machine, nor
// from the options, nor from a later version, is one too.
func isTorn(err error) bool {
	return !isEnvironment(err) && !errors.Is(err, ErrFormat) && !errors.Is(err, errOptions)
}

// asidePath returns a new path for what is set aside for the given reason.
func asidePath(disk vfs.FS, dir string, o func() string, what string) (string, error) {
	parent := dir + "-aside"
	if err := disk.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	base := disk.PathJoin(parent, o()+"-"+what)
	path := base
	for i := 2; ; i++ {
		if _, err := disk.Stat(path); err != nil {
			return path, nil
		}
		path = fmt.Sprintf("%s-%d", base, i)
	}
}

// moveAside renames the directory of a damaged database and makes an empty one.
func moveAside(o Options, why error) (string, error) {
	path, err := asidePath(o.FS, o.Dir, stamp(o), "torn")
	if err != nil {
		return "", err
	}
	if err := o.FS.Rename(o.Dir, path); err != nil {
		return "", err
	}
	o.Logger.Error("database is damaged; set it aside and began an empty one: "+
		"all tables will be restored from their changelogs",
		"dir", o.Dir, "aside", path, "cause", why)
	return path, o.FS.MkdirAll(o.Dir, 0o755)
}

func stamp(o Options) func() string {
	return func() string { return o.Now().UTC().Format(asideTime) }
}

// setAside copies what range number holds to a database of its own, unless it
// is empty, and adds its deletion to b. It returns the count of commits that
// the range then has.
func (db *DB) setAside(b *pebble.Batch, number uint32, id Identity, reason string) (uint64, error) {
	m, err := db.loadMark(number)
	if err != nil {
		return 0, err
	}
	empty, err := db.emptyRows(number)
	if err != nil {
		return 0, err
	}
	switch {
	case empty && m.offset == noOffset:
	case db.inMemory:
		db.log.Warn("table dropped; it will be restored from its changelog",
			"topic", id.Topic, "partition", id.Partition, "reason", reason)
	default:
		path, err := db.checkpoint(number, id)
		if err != nil {
			return 0, fmt.Errorf("set aside: %w", err)
		}
		db.log.Warn("table set aside; it will be restored from its changelog",
			"topic", id.Topic, "partition", id.Partition, "reason", reason, "aside", path)
	}
	return m.count + 1, putEmpty(b, number, m.count+1)
}

func (db *DB) emptyRows(number uint32) (bool, error) {
	start := spaceKey(number, spaceRow)
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: successor(start)})
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, it.Close()
}

// checkpoint copies range number and its catalogue to a new directory, which
// OpenReadOnly can read.
func (db *DB) checkpoint(number uint32, id Identity) (string, error) {
	now := func() string { return db.now().UTC().Format(asideTime) }
	what := fmt.Sprintf("%s-%d", fileName(id.Topic), id.Partition)
	path, err := asidePath(db.fs, db.dir, now, what)
	if err != nil {
		return "", err
	}
	if err := db.pebble.Flush(); err != nil { // so that the copy's log holds no rows of others
		return "", err
	}
	catStart, catEnd := rangeSpan(catalogue)
	start, end := rangeSpan(number)
	err = db.pebble.Checkpoint(path, pebble.WithFlushedWAL(), pebble.WithRestrictToSpans(
		[]pebble.CheckpointSpan{{Start: catStart, End: catEnd}, {Start: start, End: end}}))
	if err != nil || db.doubts[number] {
		return path, err
	}
	sealed, err := seal(db.fs, path)
	if err != nil {
		return path, err
	}
	return path, trust{Seal: sealed}.write(db.fs, path)
}

// fileName makes s fit for a file name. Names of topics are already.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' ||
			r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// listen adds to l what tells db about damage that Pebble finds itself.
func (db *DB) listen(l *pebble.EventListener) *pebble.EventListener {
	var out pebble.EventListener
	if l != nil {
		out = *l
	}
	given := out.DataCorruption
	out.DataCorruption = func(info pebble.DataCorruptionInfo) {
		db.condemn(fmt.Errorf("%w: %s: %w", errTorn, info.Path, info.Details))
		if given != nil {
			given(info)
		}
	}
	return &out
}

// condemn remembers damage, so that no more is committed, and leaves a note
// for the next Open. It returns err.
func (db *DB) condemn(err error) error {
	if !db.torn.CompareAndSwap(nil, &err) || db.readOnly {
		return err
	}
	f, ferr := db.fs.Create(db.fs.PathJoin(db.dir, condemned), vfs.WriteCategoryUnspecified)
	if ferr == nil {
		_, ferr = f.Write([]byte(err.Error()))
		ferr = errors.Join(ferr, f.Sync(), f.Close())
	}
	db.log.Error("database is damaged; the next start sets it aside",
		"dir", db.dir, "cause", err, "note", ferr)
	return err
}

// check passes err on; if it is damage, the database is condemned.
func (db *DB) check(err error) error {
	if IsCorruption(err) {
		return db.condemn(err)
	}
	return err
}
