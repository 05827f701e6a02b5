package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// RestoreBatchBytes is a good size for the batches of a Restore: Pebble takes
// a batch that is larger than half a memtable past the memtable.
const RestoreBatchBytes = DefaultMemTableBytes / 4 * 3

// A Restore fills a table from its changelog. It goes past the overlay, which
// must be empty, and is the only writer of the table while it is in use. Rows
// of the same key may follow each other; the last one stays.
//
// Each Commit is atomic: a process that dies at any moment leaves the rows up
// to the offset of some Commit, and the restore goes on from there.
type Restore struct {
	t      *Table
	rows   []restored
	data   []byte // of rows
	resets int    // of the table when rows was begun
}

// A restored is a row as it was added. It is small and has no pointers, because it
// gets sorted. Its key is in data, from at on, and its value behind the key, so that
// they are in the processor's cache together; there is a byte before each key, so
// that at tells which row was added before which.
type restored struct {
	lead uint64 // what its key goes on with, see sort
	at   int
	key  int32 // length
	row  int32 // length of the value, or -1: deleted
}

// restoredBytes is what a row takes beside its bytes: in rows and data, and in the batch.
const restoredBytes = 25 + rowPrefix + 4

// Restore begins a restore. It is ended by its last Commit.
func (t *Table) Restore() *Restore { return &Restore{t: t} }

// Set adds a row. It copies key and value.
func (r *Restore) Set(key, value []byte) {
	r.add(key, len(value))
	r.data = append(r.data, value...)
}

// Delete deletes a row. It copies key.
func (r *Restore) Delete(key []byte) { r.add(key, -1) }

func (r *Restore) add(key []byte, row int) {
	if len(r.rows) == 0 {
		r.resets = r.t.resetCount()
	}
	r.data = append(r.data, 0)
	r.rows = append(r.rows, restored{at: len(r.data), key: int32(len(key)), row: int32(row)})
	r.data = append(r.data, key...)
}

func (r *Restore) key(row restored) []byte { return r.data[row.at : row.at+int(row.key)] }

// value returns the row without its key, nil if it was deleted.
func (r *Restore) value(row restored) []byte {
	if row.row < 0 {
		return nil
	}
	at := row.at + int(row.key)
	return r.data[at : at+int(row.row) : at+int(row.row)]
}

// sort brings the rows into the order of their keys, and those of one key into that
// in which they were added. The eight bytes that come after what all keys begin with
// tell most keys apart, without a look at the keys themselves, which are all over the
// memory.
func (r *Restore) sort() {
	if len(r.rows) == 0 {
		return
	}
	first := r.key(r.rows[0])
	common := len(first)
	for _, row := range r.rows {
		k := r.key(row)
		common = min(common, len(k))
		for !bytes.Equal(k[:common], first[:common]) {
			common--
		}
	}
	for i := range r.rows {
		var lead [8]byte // zeros at its end: those of the same lead are compared as a whole
		copy(lead[:], r.key(r.rows[i])[common:])
		r.rows[i].lead = binary.BigEndian.Uint64(lead[:])
	}
	slices.SortFunc(r.rows, func(a, b restored) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		return cmp.Or(bytes.Compare(r.key(a), r.key(b)), a.at-b.at)
	})
}

// changes returns what the rows change, in the order of their keys: of those of one
// key the last does. A change is good until the next one.
//
// It moves the fingerprint, and adds the rows to the filter, which must know a row before
// anybody can read it. It asks the filter first, so that rows which are new are not
// looked up. One iterator finds the others, in their order, faster than reads would.
func (r *Restore) changes(sum *Fingerprint) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		t := r.t
		it, err := t.db.pebble.NewIter(t.bounds(nil, nil))
		if err != nil {
			yield(change{}, err)
			return
		}
		r.sort()
		var at []byte
		for i, row := range r.rows {
			key := r.key(row)
			if i+1 < len(r.rows) && r.rows[i+1].lead == row.lead &&
				bytes.Equal(r.key(r.rows[i+1]), key) {
				continue
			}
			c := change{key: string(key), now: r.value(row)}
			if c.now == nil || !t.filter.addNew(c.key) {
				at = append(append(at[:0], t.prefix[:]...), key...)
				if it.SeekPrefixGE(at) {
					c.was, err = it.ValueAndErr()
				} else {
					err = it.Error()
				}
			}
			if err != nil {
				break
			}
			c.count(sum)
			if !yield(c, nil) {
				_ = it.Close() // who stops has an error of its own
				return
			}
		}
		if err = errors.Join(err, it.Close()); err != nil {
			yield(change{}, err)
		}
	}
}

// Bytes returns about how much memory Commit needs for what is waiting for it. It
// should be called when that is more than RestoreBatchBytes.
func (r *Restore) Bytes() int {
	return len(r.data) + len(r.rows)*restoredBytes
}

// Commit writes the rows added since the last Commit, and the offset of the
// last changelog record that was read for them. If it fails, they still wait for it.
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
	b := t.db.pebble.NewBatchWithSize(r.Bytes() + 64)
	err := t.put(b, r.changes(&m.sum), &m)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return t.failed("restore", t.db.check(err))
	}
	r.rows, r.data = r.rows[:0], r.data[:0]
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
