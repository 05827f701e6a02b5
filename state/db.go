package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A place is where a table partition lives: one range each. Two groups may keep
// the same table, each at its own pace.
type place struct {
	group     string
	topic     string
	partition int32
}

func (id Identity) place() place { return place{id.Group, id.Topic, id.Partition} }

// A DB is a database of table partitions. It is safe for concurrent use.
type DB struct {
	fs        vfs.FS
	dir       string
	log       *slog.Logger
	now       func() time.Time
	pebble    *pebble.DB
	lock      *pebble.Lock
	inMemory  bool
	readOnly  bool
	boot      string // of the machine, or empty
	recovered string
	rows      rowBudget
	keys      keyBuffers

	filterBytes atomic.Int64 // that the filters of the tables may still take

	gate  gate
	reads openReads

	torn atomic.Pointer[error] // the damage that was found while open

	commitMu sync.Mutex // one Commit at a time

	mu     sync.Mutex
	held   map[place]held
	tables map[place]*Table
	doubts map[uint32]bool // ranges that have to be checked, see trust.go
	next   uint32          // number of the next range
}

// held is an entry of the catalogue.
type held struct {
	number uint32
	id     Identity
}

// Open opens the database in o.Dir, or begins one there.
//
// If another worker has the directory, the error is ErrInUse. If the database
// is damaged, its directory is renamed to <Dir>-aside/<time>-torn, which is
// logged and which [DB.Recovered] reports, and an empty one is begun: all its
// tables have to be restored. Any other failure, such as a full disk or a
// lack of rights, is returned and changes nothing.
//
// With o.InMemory there is no directory, and every Open begins an empty database.
//
// The caller closes the DB.
func Open(o Options) (*DB, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("state: open %s: %w", o.Dir, err)
	}
	lock, err := lockDir(o)
	if err != nil {
		return nil, err
	}
	db, err := open(o, lock)
	if err == nil || !isTorn(err) {
		return db, closeOn(err, lock)
	}
	aside, moved := moveAside(o, err)
	if err := errors.Join(moved, lock.Close()); err != nil {
		return nil, fmt.Errorf("state: set aside %s: %w", o.Dir, err)
	}
	if lock, err = lockDir(o); err != nil {
		return nil, err
	}
	if db, err = open(o, lock); err != nil {
		return nil, closeOn(err, lock)
	}
	db.recovered = aside
	return db, nil
}

// OpenReadOnly opens the database in o.Dir, which no worker may have open, to
// look at it. Nothing is written, and a damaged database is an error for which
// IsCorruption holds.
func OpenReadOnly(o Options) (*DB, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := o.FS.Stat(o.Dir); err != nil {
		return nil, fmt.Errorf("state: open %s: %w", o.Dir, err)
	}
	lock, err := lockDir(o)
	if err != nil {
		return nil, err
	}
	tune := o.Tune
	o.Tune = func(p *pebble.Options) {
		p.ReadOnly = true
		if tune != nil {
			tune(p)
		}
	}
	db, err := open(o, lock)
	if err != nil {
		return nil, closeOn(err, lock)
	}
	return db, nil
}

// closeOn closes lock if err is not nil.
func closeOn(err error, lock *pebble.Lock) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, lock.Close())
}

func open(o Options, lock *pebble.Lock) (*DB, error) {
	db := &DB{
		fs: o.FS, dir: o.Dir, log: o.Logger, now: o.Now, lock: lock, inMemory: o.InMemory,
		held: map[place]held{}, tables: map[place]*Table{}, next: catalogue + 1,
		boot: o.BootID(), doubts: map[uint32]bool{},
	}
	db.rows.limit = o.RowCacheBytes
	db.filterBytes.Store(o.FilterBytes)
	db.gate.idle = make(chan struct{}, 1)
	if err := checkFiles(o); err != nil {
		return nil, fmt.Errorf("state: open %s: %w", o.Dir, err)
	}
	p := o.pebble()
	p.Lock = lock
	p.EventListener = db.listen(p.EventListener)
	db.readOnly = p.ReadOnly
	why, err := db.heed()
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", o.Dir, err)
	}
	if db.pebble, err = openPebble(o.Dir, p); err != nil {
		return nil, fmt.Errorf("state: open %s: %w", o.Dir, err)
	}
	if err = db.loadCatalogue(db.readOnly); err == nil && !db.readOnly && !db.inMemory {
		err = db.checkNumbers()
	}
	if err == nil && why != "" {
		err = db.doubt(why)
	}
	if err != nil {
		err = fmt.Errorf("state: open %s: %w", o.Dir, err)
		return nil, errors.Join(err, db.pebble.Close())
	}
	return db, nil
}

// openPebble opens Pebble and sorts its errors: options that are wrong and a
// format that is too new are not the fault of the files.
func openPebble(dir string, p *pebble.Options) (*pebble.DB, error) {
	checked := p.Clone()
	checked.EnsureDefaults()
	if err := checked.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", errOptions, err)
	}
	db, err := pebble.Open(dir, p)
	if err != nil && strings.Contains(err.Error(), "unknown format major version") {
		return nil, fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	return db, err
}

// loadCatalogue reads which range belongs to whom, and writes the format into
// a database that is new or has an earlier one.
func (db *DB) loadCatalogue(readOnly bool) error {
	start, end := rangeSpan(catalogue)
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return err
	}
	var format uint16
	for ok := it.First(); ok; ok = it.Next() {
		switch key := it.Key(); {
		case key[4] == spaceFormat && len(it.Value()) == 2:
			if format = binary.BigEndian.Uint16(it.Value()); format > formatNow {
				return errors.Join(ErrFormat, it.Close())
			}
		case key[4] == spaceTable && len(key) == 9:
			id, err := parseIdentity(it.Value())
			if err != nil {
				return errors.Join(fmt.Errorf("%w: identity %x: %w", errTorn, key, err), it.Close())
			}
			n := binary.BigEndian.Uint32(key[5:])
			db.held[id.place()] = held{n, id}
			db.next = max(db.next, n+1)
		default:
			return errors.Join(fmt.Errorf("%w: unknown entry %x", errTorn, key), it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if format != 0 {
		if err := db.verify(); err != nil {
			return err
		}
	} else if len(db.held) > 0 {
		return fmt.Errorf("%w: tables without a format", errTorn)
	}
	if readOnly || format == formatNow {
		return nil
	}
	now := binary.BigEndian.AppendUint16(nil, formatNow)
	return db.pebble.Set(spaceKey(catalogue, spaceFormat), now, &pebble.WriteOptions{
		Sync: !db.inMemory,
	})
}

// Recovered returns the directory to which Open moved a damaged database, or
// "" if it found none. All tables are then empty and have to be restored.
func (db *DB) Recovered() string { return db.recovered }

// Tables returns the identities of all table partitions that the database
// holds, opened or not, sorted by topic and partition.
func (db *DB) Tables() ([]Identity, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.gate.leave()
	db.mu.Lock()
	defer db.mu.Unlock()
	places := slices.SortedFunc(maps.Keys(db.held), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition),
			cmp.Compare(a.group, b.group))
	})
	ids := make([]Identity, len(places))
	for i, p := range places {
		ids[i] = db.held[p].id
	}
	return ids, nil
}

// Table returns the table partition with identity id, which it begins if the
// database does not hold it. As long as the DB is open, the same identity
// gives the same Table.
//
// If the database holds another identity for the same group, topic and
// partition (the topic was deleted and created again, the rows have another
// format, the cluster is another one), what it holds is set aside, and the table
// is empty.
func (db *DB) Table(id Identity) (*Table, error) {
	if err := id.validate(); err != nil {
		return nil, fmt.Errorf("state: table %s: %w", id, err)
	}
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.gate.leave()
	db.mu.Lock()
	defer db.mu.Unlock()
	p := id.place()
	h, ok := db.held[p]
	if old := db.tables[p]; old != nil {
		if old.id == id {
			return old, nil
		}
		db.commitMu.Lock() // nobody may write to the range any more
		defer db.commitMu.Unlock()
		old.restoreMu.Lock()
		defer old.restoreMu.Unlock()
		old.replace()
		delete(db.tables, p)
	}
	if !ok || h.id != id {
		if db.readOnly {
			return nil, fmt.Errorf("state: table %s: %w", id, ErrReadOnly)
		}
		var err error
		if h, err = db.claim(id, h.number, ok); err != nil {
			return nil, fmt.Errorf("state: table %s: %w", id, err)
		}
		db.held[p] = h
	}
	t, err := db.openTable(h)
	if err != nil {
		return nil, fmt.Errorf("state: table %s: %w", id, err)
	}
	db.tables[p] = t
	return t, nil
}

// claim gives a range to id: range number if there is one already, which is
// set aside, else a new one.
func (db *DB) claim(id Identity, number uint32, exists bool) (held, error) {
	b := db.pebble.NewBatch()
	defer b.Close() //nolint:errcheck // a batch that was committed or dropped has nothing to report
	if exists {
		if _, err := db.setAside(b, number, id, "another identity"); err != nil {
			return held{}, db.check(err)
		}
	} else {
		number = db.next
		if err := putEmpty(b, number, 1); err != nil {
			return held{}, err
		}
	}
	if err := b.Set(tableKey(number), id.append(nil), nil); err != nil {
		return held{}, err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return held{}, err
	}
	db.next = max(db.next, number+1)
	return held{number, id}, nil
}

// Close closes the database. Uncommitted rows are dropped. It waits for calls
// that are under way; iterators and snapshots that are still open end with
// ErrClosed.
func (db *DB) Close() error {
	if !db.gate.shutDown() {
		return nil
	}
	err := errors.Join(db.reads.closeAll(), db.pebble.Close())
	if err == nil && !db.inMemory && !db.readOnly && db.torn.Load() == nil {
		err = db.sealUp()
	}
	if err := errors.Join(err, db.lock.Close()); err != nil {
		return fmt.Errorf("state: close %s: %w", db.dir, err)
	}
	return nil
}
