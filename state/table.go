package state

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/lovoo/goka/storage"
)

var _ storage.Storage = (*Table)(nil)

// A Table is one partition of a table: committed rows in the database and,
// over them, an overlay of rows written since the last commit. One goroutine
// writes at a time; any number may read. It implements Goka's storage.Storage,
// by which the processor reads its own uncommitted rows.
type Table struct {
	db     *DB
	id     Identity
	number uint32
	prefix [rowPrefix]byte // of its rows' keys
	cache  *rowCache
	filter *filter

	restoreMu sync.Mutex // one Restore.Commit at a time
	checkMu   sync.Mutex // one Check at a time

	mu      sync.RWMutex
	overlay *overlay
	frozen  *overlay // the one that a Commit is writing, or nil
	spare   *overlay // an empty one, or nil
	last    lastRead
	mark    mark
	barred  error // why it can't be used: ErrReplaced, ErrUnchecked, or nil
	resets  int

	deadline       func(row []byte) int64 // nil: rows have none
	soonest        int64                  // no committed deadline is before it
	overlaySoonest int64                  // no other one is before it

	entries func(key string, row []byte, entry func([]byte)) // nil: rows have none
}

func (db *DB) openTable(h held) (*Table, error) {
	m, err := db.summedMark(h)
	if err != nil {
		return nil, db.check(err)
	}
	t := &Table{
		db: db, id: h.id, number: h.number, overlay: newOverlay(), mark: m,
		cache: db.rows.newCache(), filter: newFilter(&db.filterBytes),
	}
	empty, err := db.emptyRows(h.number)
	if err != nil {
		return nil, db.check(err)
	}
	if empty {
		t.filter.reset()
	}
	if db.doubts[h.number] {
		t.barred = ErrUnchecked
	}
	copy(t.prefix[:], spaceKey(h.number, spaceRow))
	return t, nil
}

// Identity returns the identity of the table partition.
func (t *Table) Identity() Identity { return t.id }

// Offset returns the offset of the last changelog record that the committed
// rows contain, or -1 if none.
func (t *Table) Offset() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mark.offset
}

// CommittedAt returns the time of the last commit, by the clock in Options. It
// is zero if there was none.
func (t *Table) CommittedAt() time.Time {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mark.at
}

// Empty reports whether there is no committed row. A table can be empty and have
// an offset: of a log that holds nothing but deletions or aborted records.
func (t *Table) Empty() (bool, error) {
	if !t.db.gate.enter() {
		return false, ErrClosed
	}
	defer t.db.gate.leave()
	empty, err := t.db.emptyRows(t.number)
	if err != nil {
		return false, t.failed("read", t.db.check(err))
	}
	return empty, nil
}

// Reset sets aside what the table holds and leaves it empty, overlay included.
// The reason goes to the log.
func (t *Table) Reset(reason string) error {
	if !t.db.gate.enter() {
		return ErrClosed
	}
	defer t.db.gate.leave()
	if err := t.writable(); err != nil {
		return t.failed("reset", err)
	}
	if err := t.reset(reason); err != nil {
		return t.failed("reset", err)
	}
	return nil
}

func (t *Table) reset(reason string) error {
	t.db.mu.Lock() // not while another identity claims the range
	defer t.db.mu.Unlock()
	if err := t.usable(); errors.Is(err, ErrReplaced) {
		return err
	}
	t.db.commitMu.Lock()
	defer t.db.commitMu.Unlock()
	t.restoreMu.Lock()
	defer t.restoreMu.Unlock()
	b := t.db.pebble.NewBatch()
	defer b.Close() //nolint:errcheck // a batch that was committed or dropped has nothing to report
	count, err := t.db.setAside(b, t.number, t.id, reason)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		return t.db.check(err)
	}
	t.cache.clear() // before the count moves: what is read under the new one is the new row
	t.mu.Lock()
	t.mark = mark{offset: noOffset, count: count, summed: true}
	t.resets++
	t.soonest = unknown
	t.mu.Unlock()
	t.filter.reset()
	t.Rollback()
	return nil
}

// lastRead is what is committed of the row that was read last: a callback reads its
// row and then writes it, and what the row was need not be looked up again.
type lastRead struct {
	key   string
	row   []byte
	count uint64 // of commits before it: a later one may have changed the row
}

// Get returns the row at key, or nil if there is none. A row that is empty is
// not nil. The caller may keep the value but must not change it.
func (t *Table) Get(key string) ([]byte, error) {
	t.mu.RLock()
	w := t.written(key)
	var row []byte
	if w != nil {
		row = w.now
	}
	barred, count := t.barred, t.mark.count
	t.mu.RUnlock()
	switch {
	case barred != nil:
		return nil, t.failed("get", barred)
	case w != nil:
		return row, nil
	}
	row, version, ok := t.cache.get(key)
	if !ok {
		var err error
		if row, err = t.read(key); err != nil {
			return nil, err
		}
		if row != nil {
			t.cache.fill(key, row, version)
		}
	}
	t.mu.Lock()
	t.last = lastRead{key, row, count}
	t.mu.Unlock()
	return row, nil
}

// written returns the row at key if it is not committed, or else nil. The caller
// holds t.mu.
func (t *Table) written(key string) *written {
	w := t.overlay.at[key]
	if w == nil && t.frozen != nil {
		w = t.frozen.at[key]
	}
	return w
}

// uncommitted returns the rows that are not committed, in any order. The caller holds
// t.mu.
func (t *Table) uncommitted(yield func(string, []byte) bool) {
	for _, w := range t.overlay.rows {
		if !yield(w.key, w.now) {
			return
		}
	}
	if t.frozen == nil {
		return
	}
	for _, w := range t.frozen.rows {
		if t.overlay.at[w.key] == nil && !yield(w.key, w.now) {
			return
		}
	}
}

// Has reports whether there is a row at key.
func (t *Table) Has(key string) (bool, error) {
	value, err := t.Get(key)
	return value != nil, err
}

// Set writes a row to the overlay. The table keeps key and value; the value
// must not be changed any more, and it must not be nil.
func (t *Table) Set(key string, value []byte) error {
	if value == nil {
		return t.failed("set", errors.New("the value is nil"))
	}
	return t.write(key, value)
}

// Delete deletes the row at key in the overlay.
func (t *Table) Delete(key string) error { return t.write(key, nil) }

func (t *Table) write(key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.barred != nil {
		return t.failed("set", t.barred)
	}
	if w := t.overlay.at[key]; w != nil {
		t.overlay.set(w, value)
	} else {
		w := written{key: key, now: value}
		if l := t.last; l.key == key && l.count == t.mark.count && t.frozen == nil {
			w.was, w.known = l.row, true
		}
		t.overlay.add(w)
	}
	if t.deadline != nil {
		if at := t.due(value); at != 0 {
			t.overlaySoonest = min(t.overlaySoonest, at)
		}
	}
	return nil
}

// Dirty returns the rows written since the last commit, sorted by key. A nil
// value means that the row was deleted. The values must not be changed, and
// the table must not be written to meanwhile.
func (t *Table) Dirty() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		t.mu.Lock()
		rows := t.overlay.inOrder()
		t.mu.Unlock()
		for _, w := range rows {
			if !yield(w.key, w.now) {
				return
			}
		}
	}
}

// DirtyBytes returns about how much memory the overlay takes.
func (t *Table) DirtyBytes() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.overlay.bytes
}

// Rollback drops the overlay.
func (t *Table) Rollback() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overlay, t.last = newOverlay(), lastRead{}
}

// replace makes the table unusable, because another identity has its range.
func (t *Table) replace() {
	t.mu.Lock()
	t.barred = ErrReplaced
	t.mu.Unlock()
	t.Rollback()
	t.cache.retire()
	t.filter.retire()
}

// usable returns why the table can neither be read nor written, if so.
func (t *Table) usable() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.barred
}

// writable returns why the table can't be written to, if so.
func (t *Table) writable() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch torn := t.db.torn.Load(); {
	case t.barred != nil:
		return t.barred
	case t.db.readOnly:
		return ErrReadOnly
	case torn != nil:
		return *torn
	}
	return nil
}

func (t *Table) failed(op string, err error) error {
	return fmt.Errorf("state: %s %s: %w", op, t.id, err)
}

// GetOffset returns Offset, or def if there is none.
func (t *Table) GetOffset(def int64) (int64, error) {
	if o := t.Offset(); o != noOffset {
		return o, nil
	}
	return def, nil
}

// Open does nothing: [DB.Table] has opened the table.
func (t *Table) Open() error { return nil }

// Close does nothing: the table stays open until the DB is closed, so that a
// partition that comes back finds it warm.
func (t *Table) Close() error { return nil }

// SetOffset does nothing: offsets are committed together with the rows.
func (t *Table) SetOffset(int64) error { return nil }

// MarkRecovered does nothing.
func (t *Table) MarkRecovered() error { return nil }
