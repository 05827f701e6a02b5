package state

import (
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// What a table keeps beside its rows (deadlines, index entries, a fingerprint)
// follows from them alone. It is never written by itself: whatever changes a row, a
// commit or a restore, looks up what the row was, once, and puts into the same batch
// what follows from the change.

// A change is what a batch does to one row: nil is no row.
type change struct {
	key      string
	was, now []byte
}

// committed returns the row at key as the database has it, nil if there is none.
func (t *Table) committed(key string) ([]byte, error) {
	if row, _, ok := t.cache.get(key); ok {
		return row, nil
	}
	return t.read(key)
}

// put adds changes to b, with what follows from them, and with the mark m. They come
// in the order of their keys, which saves Pebble's memtable most of its searching, and
// no key comes twice.
func (t *Table) put(b *pebble.Batch, changes iter.Seq2[change, error], m *mark) error {
	var moves []moved
	for c, err := range changes {
		if err != nil {
			return err
		}
		if err := t.putRow(b, c.key, c.now); err != nil {
			return err
		}
		if t.deadline != nil {
			if was, now := t.due(c.was), t.due(c.now); was != now {
				moves = append(moves, moved{c.key, was, now})
			}
		}
		if t.entries != nil {
			if err := t.moveEntries(b, c); err != nil {
				return err
			}
		}
	}
	if err := t.moveDeadlines(b, moves, m); err != nil {
		return err
	}
	return putMark(b, t.number, *m)
}

func (t *Table) putRow(b *pebble.Batch, key string, value []byte) error {
	var op *pebble.DeferredBatchOp
	if value == nil {
		op = b.DeleteDeferred(rowPrefix + len(key))
	} else {
		op = b.SetDeferred(rowPrefix+len(key), len(value))
		copy(op.Value, value)
	}
	copy(op.Key, t.prefix[:])
	copy(op.Key[rowPrefix:], key)
	return op.Finish()
}
