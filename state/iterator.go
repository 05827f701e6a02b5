package state

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/lovoo/goka/storage"
)

// Iterator returns an iterator over all rows, uncommitted ones included, as
// they are now. The caller releases it.
func (t *Table) Iterator() (storage.Iterator, error) {
	return t.IteratorWithRange(nil, nil)
}

// IteratorWithRange returns an iterator over the rows from start up to, and
// without, limit, uncommitted ones included, as they are now. If limit is
// empty, it goes over the rows whose keys begin with start: this is what
// Goka's own storages do, though Goka's documentation says otherwise. The
// caller releases it.
func (t *Table) IteratorWithRange(start, limit []byte) (storage.Iterator, error) {
	if err := t.readable(); err != nil {
		return nil, err
	}
	if !t.db.gate.enter() {
		return nil, ErrClosed
	}
	defer t.db.gate.leave()
	bounds := t.bounds(start, limit)
	// The overlay and the iterator are taken under one lock: a commit that
	// ends in between would otherwise have its rows in neither.
	t.mu.RLock()
	over := t.overlayIn(bounds)
	it, err := t.db.pebble.NewIter(bounds)
	t.mu.RUnlock()
	if err != nil {
		return nil, t.failed("iterate", t.db.check(err))
	}
	t.db.reads.add(it)
	return &iterator{t: t, db: it, over: over}, nil
}

// overlayIn returns the uncommitted rows within bounds, sorted. The caller
// holds t.mu.
func (t *Table) overlayIn(bounds *pebble.IterOptions) []Row {
	var rows []Row
	lower := string(bounds.LowerBound[rowPrefix:])
	add := func(k string, v []byte) {
		if k < lower {
			return
		}
		if !t.below(k, bounds.UpperBound) {
			return
		}
		rows = append(rows, Row{k, v})
	}
	for k, v := range t.uncommitted {
		add(k, v)
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Key, b.Key) })
	return rows
}

// below reports whether the row at k is below upper, a bound in the database.
func (t *Table) below(k string, upper []byte) bool {
	if !bytes.HasPrefix(upper, t.prefix[:]) {
		return true // the bound is the end of the table
	}
	return k < string(upper[rowPrefix:])
}

// An iterator merges the database with a copy of the overlay.
type iterator struct {
	t    *Table
	db   *pebble.Iterator
	over []Row
	err  error

	started, sought, released bool

	atDB     bool // db stands on a row that has not been passed
	at       int  // first row of over that has not been passed
	fromOver bool // the current row is over[at]
	valid    bool // there is a current row: key and value
	key      []byte
	value    []byte
}

// Next moves to the next row. After Seek, see there.
func (i *iterator) Next() bool {
	if !i.enter() {
		return false
	}
	defer i.t.db.gate.leave()
	switch {
	case i.sought:
		i.sought = false
		return i.valid
	case !i.started:
		i.started = true
		i.atDB = i.db.First()
	case !i.valid:
		return false
	case i.fromOver:
		i.at++
	default:
		i.atDB = i.db.Next()
	}
	return i.settle()
}

// enter reports whether the iterator can be moved. It then stays open until
// the gate is left.
func (i *iterator) enter() bool {
	if i.released || i.err != nil {
		return false
	}
	if !i.t.db.gate.enter() {
		i.err, i.valid = ErrClosed, false
		return false
	}
	return true
}

// settle finds the current row: the lower one of both sides. Where they are
// equal, the overlay hides the database, and a deletion hides both.
func (i *iterator) settle() bool {
	i.valid = false
	for i.at < len(i.over) {
		row, order := i.over[i.at], -1
		if i.atDB {
			order = cmp.Compare(row.Key, string(i.db.Key()[rowPrefix:]))
		}
		if order > 0 {
			break
		}
		if order == 0 {
			i.atDB = i.db.Next()
		}
		if row.Value != nil {
			i.key, i.value = append(i.key[:0], row.Key...), row.Value
			i.fromOver, i.valid = true, true
			return true
		}
		i.at++
	}
	i.fromOver = false
	if !i.atDB {
		i.keep(i.db.Error())
		return false
	}
	value, err := i.db.ValueAndErr()
	if err != nil {
		i.keep(err)
		return false
	}
	i.key = append(i.key[:0], i.db.Key()[rowPrefix:]...)
	i.value = append([]byte{}, value...)
	i.valid = true
	return true
}

// Seek moves to the first row at or after key, and reports whether there is
// one. Goka's documentation of the storage says that Next must follow to get
// at that row, the one of its views that Next would skip it, and its own
// storages skip it. Here both ways work: Key and Value are valid at once, and
// a Next that follows before either was called stays on the row.
func (i *iterator) Seek(key []byte) bool {
	if !i.enter() {
		return false
	}
	defer i.t.db.gate.leave()
	i.started, i.sought = true, true
	i.atDB = i.db.SeekGE(append(bytes.Clone(i.t.prefix[:]), key...))
	i.at, _ = slices.BinarySearchFunc(i.over, string(key), func(r Row, k string) int {
		return cmp.Compare(r.Key, k)
	})
	return i.settle()
}

// Key returns the current row's key, or nil. It is valid until the next move.
func (i *iterator) Key() []byte {
	i.sought = false
	if !i.valid || i.released {
		return nil
	}
	return i.key
}

// Value returns the current row's value, or nil. The caller may keep it but
// must not change it.
func (i *iterator) Value() ([]byte, error) {
	i.sought = false
	if !i.valid || i.released {
		return nil, i.err
	}
	return i.value, nil
}

// Err returns the error that ended the iteration, if any.
func (i *iterator) Err() error { return i.err }

// Release releases the iterator. It may be called more than once.
func (i *iterator) Release() {
	if i.released {
		return
	}
	i.released = true
	i.keep(i.t.db.reads.close(i.db))
}

func (i *iterator) keep(err error) {
	if err == nil || i.err != nil {
		return
	}
	i.err = i.t.failed("iterate", i.t.db.check(err))
	i.valid = false
}
