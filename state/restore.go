package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// RestoreBatchBytes is a good size for the batches of a Restore: Pebble takes
// a batch that is larger than half a memtable past the memtable.
const RestoreBatchBytes = 16 << 20

// A Restore fills a table from its changelog. It goes past the overlay, which
// must be empty, and is the only writer of the table while it is in use. Rows
// of the same key may follow each other; the last one stays.
//
// Each Commit is atomic: a process that dies at any moment leaves the rows up
// to the offset of some Commit, and the restore goes on from there.
type Restore struct {
	t      *Table
	batch  *pebble.Batch
	resets int // of the table when batch was begun
	err    error

	deadlines map[string]int64 // of the rows in batch, in a table that has them
}

// Restore begins a restore. It is ended by its last Commit.
func (t *Table) Restore() *Restore { return &Restore{t: t} }

// Set adds a row. It copies key and value.
func (r *Restore) Set(key, value []byte) {
	op := r.open().SetDeferred(rowPrefix+len(key), len(value))
	copy(op.Key, r.t.prefix[:])
	copy(op.Key[rowPrefix:], key)
	copy(op.Value, value)
	r.keep(op.Finish())
	r.index(key, value)
	r.t.filter.addOne(key)
}

// Delete deletes a row. It copies key.
func (r *Restore) Delete(key []byte) {
	op := r.open().DeleteDeferred(rowPrefix + len(key))
	copy(op.Key, r.t.prefix[:])
	copy(op.Key[rowPrefix:], key)
	r.keep(op.Finish())
	r.index(key, nil)
}

// index puts the row's deadline, and the end of its former one, into the batch.
func (r *Restore) index(key, value []byte) {
	if r.t.deadline == nil {
		return
	}
	k := string(key)
	was, ok := r.deadlines[k]
	if !ok {
		row, err := r.t.read(k)
		r.keep(err)
		was = r.t.due(row)
	}
	now := r.t.due(value)
	r.keep(r.t.reindex(r.batch, k, was, now))
	r.deadlines[k] = now
}

// Bytes returns how much is waiting for Commit, which should be called when it
// is more than RestoreBatchBytes.
func (r *Restore) Bytes() int {
	if r.batch == nil {
		return 0
	}
	return r.batch.Len()
}

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
	b := r.open()
	err := putMark(b, t.number, m)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return t.failed("restore", t.db.check(err))
	}
	r.batch = nil
	t.cache.clear()
	t.mu.Lock()
	t.mark, t.soonest = m, unknown
	t.mu.Unlock()
	return nil
}

func (r *Restore) ready(offset int64) error {
	if err := r.t.writable(); err != nil {
		return err
	}
	switch {
	case r.err != nil:
		return r.err
	case r.t.DirtyBytes() != 0:
		return errors.New("the table has uncommitted rows")
	case r.batch != nil && r.resets != r.t.resetCount():
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

func (r *Restore) open() *pebble.Batch {
	if r.batch == nil {
		r.resets = r.t.resetCount()
		r.batch = r.t.db.pebble.NewBatch()
		r.deadlines = map[string]int64{}
	}
	return r.batch
}

// keep remembers the first error for Commit.
func (r *Restore) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
