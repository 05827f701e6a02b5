package state

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// RestoreBatchBytes is a good size for the batches of a Restore: Pebble takes
// a batch that is larger than half a memtable past the memtable.
const RestoreBatchBytes = 16 << 20

// restoreChunk is how much memory for rows a Restore takes at a time.
const restoreChunk = 256 << 10

// A Restore fills a table from its changelog. It goes past the overlay, which
// must be empty, and is the only writer of the table while it is in use. Rows
// of the same key may follow each other; the last one stays.
//
// Each Commit is atomic: a process that dies at any moment leaves the rows up
// to the offset of some Commit, and the restore goes on from there.
type Restore struct {
	t      *Table
	rows   []restored
	chunk  []byte // where values are copied to
	bytes  int
	resets int // of the table when rows was begun
}

// A restored is a row as it was added, the nth one.
type restored struct {
	key   string
	value []byte // nil: deleted
	n     int
}

// Restore begins a restore. It is ended by its last Commit.
func (t *Table) Restore() *Restore { return &Restore{t: t} }

// Set adds a row. It copies key and value.
func (r *Restore) Set(key, value []byte) { r.add(key, r.copied(value)) }

// Delete deletes a row. It copies key.
func (r *Restore) Delete(key []byte) { r.add(key, nil) }

func (r *Restore) add(key, value []byte) {
	if len(r.rows) == 0 {
		r.resets = r.t.resetCount()
	}
	r.rows = append(r.rows, restored{string(key), value, len(r.rows)})
	r.bytes += rowPrefix + len(key) + len(value)
}

// copied returns a copy of value that is not nil.
func (r *Restore) copied(value []byte) []byte {
	if r.chunk == nil || len(value) > cap(r.chunk)-len(r.chunk) {
		r.chunk = make([]byte, 0, max(restoreChunk, len(value)))
	}
	at := len(r.chunk)
	r.chunk = append(r.chunk, value...)
	return r.chunk[at:len(r.chunk):len(r.chunk)]
}

// sort brings the rows into the order of their keys.
func (r *Restore) sort() {
	slices.SortFunc(r.rows, func(a, b restored) int {
		return cmp.Or(cmp.Compare(a.key, b.key), a.n-b.n)
	})
}

// last returns the sorted rows, of each key the one that was added last.
func (r *Restore) last() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := range r.rows {
			row := &r.rows[i]
			if i+1 < len(r.rows) && r.rows[i+1].key == row.key {
				continue
			}
			if !yield(row.key, row.value) {
				return
			}
		}
	}
}

// Bytes returns how much is waiting for Commit, which should be called when it
// is more than RestoreBatchBytes.
func (r *Restore) Bytes() int { return r.bytes }

// Commit writes the rows added since the last Commit, and the offset of the
// last changelog record that was read for them.
func (r *Restore) Commit(offset int64) error {
	t := r.t
	if !t.db.gate.enter() {
		return ErrClosed
	}
	defer t.db.gate.leave()
	t.restoreMu.Lock()
	defer t.restoreMu.Unlock()
	if err := r.ready(offset); err != nil {
		return t.failed("restore", err)
	}
	m := t.nextMark(offset, t.db.now())
	b := t.db.pebble.NewBatchWithSize(r.bytes + 64)
	r.sort()
	err := t.put(b, t.changes(r.last()), &m)
	if err == nil {
		t.filter.addAll(r.last()) // before anybody can read them
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return t.failed("restore", t.db.check(err))
	}
	clear(r.rows) // of what it points to
	r.rows, r.chunk, r.bytes = r.rows[:0], nil, 0
	t.cache.clear()
	t.mu.Lock()
	t.mark = m
	t.soonest = min(t.soonest, m.soonest)
	t.mu.Unlock()
	return nil
}

func (r *Restore) ready(offset int64) error {
	if err := r.t.writable(); err != nil {
		return err
	}
	switch {
	case r.t.DirtyBytes() != 0:
		return errors.New("the table has uncommitted rows")
	case len(r.rows) > 0 && r.resets != r.t.resetCount():
		return errors.New("the table was reset meanwhile")
	case offset < r.t.Offset():
		return errors.New("the offset is before what is committed")
	}
	return nil
}

func (t *Table) resetCount() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.resets
}
