package state

import (
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// What a table keeps beside its rows (deadlines, index entries) follows from them
// alone. It is never written by itself: whatever changes a row, a commit or a
// restore, looks up what the row was, once, and puts into the same batch what
// follows from the change.

// A change is what a batch does to one row: nil is no row.
type change struct {
	key      string
	was, now []byte
}

// put adds rows to b, with what follows from them and with the mark m; a row that
// is nil is deleted. The rows come in the order of their keys, which saves Pebble's
// memtable most of its searching, and no key comes twice.
func (t *Table) put(b *pebble.Batch, rows iter.Seq2[string, []byte], m *mark) error {
	for key, value := range rows {
		if err := t.putRow(b, key, value); err != nil {
			return err
		}
		if err := t.putDerived(b, key, value, m); err != nil {
			return err
		}
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

// putDerived adds what follows from a row's change to b and to m.
func (t *Table) putDerived(b *pebble.Batch, key string, value []byte, m *mark) error {
	if t.deadline == nil && t.entries == nil {
		return nil
	}
	was, err := t.committed(key)
	if err != nil {
		return err
	}
	c := change{key, was, value}
	if t.deadline != nil {
		at, err := t.moveDeadline(b, c)
		if err != nil {
			return err
		}
		if at != 0 {
			m.soonest = min(m.soonest, at)
		}
	}
	if t.entries != nil {
		return t.moveEntries(b, c)
	}
	return nil
}

// committed returns the row at key as the database has it, nil if there is none.
func (t *Table) committed(key string) ([]byte, error) {
	if row, _, ok := t.cache.get(key); ok {
		return row, nil
	}
	return t.read(key)
}

// ordered returns rows in the order of keys.
func ordered(keys []string, rows map[string][]byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, k := range keys {
			if !yield(k, rows[k]) {
				return
			}
		}
	}
}
