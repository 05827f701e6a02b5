package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A table can give its rows deadlines. An index of them, ordered by time, lies
// beside the rows; see changes.go.

// A Due is a row whose deadline has come.
type Due struct {
	Key string
	// At is the deadline, in microseconds since 1970.
	At int64
}

// unknown is the soonest deadline of an index that has not been looked at.
const unknown = math.MinInt64

// TrackDeadlines gives the table's rows deadlines: of returns that of an encoded
// row in microseconds since 1970, or 0 for none. It must be called before the
// table is read or written, and with an of that means the same for as long as
// the table has the same identity: one that means something else goes with
// another Format. Without it a table has no index.
func (t *Table) TrackDeadlines(of func(row []byte) int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline, t.soonest, t.overlaySoonest = of, unknown, math.MaxInt64
}

// due returns the deadline of a row, 0 if it has none or there is no row.
func (t *Table) due(row []byte) int64 {
	if row == nil {
		return 0
	}
	return max(t.deadline(row), 0)
}

// Due returns the rows, uncommitted ones included, whose deadline is at or before
// until, earliest first, at most limit of them. It leaves out the keys for which
// skip, if not nil, returns true. Only the goroutine that writes the table may call it.
func (t *Table) Due(
	until int64, limit int, skip func(key string) (bool, error),
) ([]Due, error) {
	if t.deadline == nil || limit <= 0 {
		return nil, nil // a walk that takes nothing would not tell what is soonest
	}
	if !t.db.gate.enter() {
		return nil, ErrClosed
	}
	defer t.db.gate.leave()
	if err := t.writable(); err != nil {
		return nil, t.failed("due", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if skip == nil {
		skip = func(string) (bool, error) { return false, nil }
	}
	due, err := t.overlayDue(until, skip)
	if err != nil {
		return nil, err
	}
	committed, err := t.committedDue(until, limit, skip)
	if err != nil {
		return nil, t.failed("due", t.db.check(err))
	}
	due = append(due, committed...)
	slices.SortFunc(due, func(a, b Due) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Key, b.Key))
	})
	return due[:min(len(due), limit)], nil
}

// overlayDue looks through what is not committed. The caller holds t.mu.
func (t *Table) overlayDue(
	until int64, skip func(string) (bool, error),
) ([]Due, error) {
	if t.overlaySoonest > until {
		return nil, nil
	}
	var due []Due
	soonest := int64(math.MaxInt64)
	look := func(k string, row []byte) error {
		at := t.due(row)
		if at == 0 {
			return nil
		}
		soonest = min(soonest, at)
		if at > until {
			return nil
		}
		skipped, err := skip(k)
		if !skipped {
			due = append(due, Due{k, at})
		}
		return err
	}
	for k, row := range t.uncommitted {
		if err := look(k, row); err != nil {
			return nil, err
		}
	}
	t.overlaySoonest = soonest
	return due, nil
}

// committedDue walks over the index, past what the overlay has other rows for.
// The caller holds t.mu.
func (t *Table) committedDue(
	until int64, limit int, skip func(string) (bool, error),
) ([]Due, error) {
	if t.soonest > until {
		return nil, nil
	}
	it, err := t.db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: spaceKey(t.number, spaceDue), UpperBound: spaceKey(t.number, spaceDue+1),
	})
	if err != nil {
		return nil, err
	}
	var due []Due
	first := int64(math.MaxInt64)
	for ok := it.First(); ok && len(due) < limit; ok = it.Next() {
		key := it.Key()[rowPrefix:]
		if len(key) < 8 {
			return nil, errors.Join(errEncoding, it.Close())
		}
		at := int64(binary.BigEndian.Uint64(key))
		first = min(first, at)
		if at > until {
			break
		}
		k := string(key[8:])
		skipped := t.written(k) != nil
		if !skipped {
			if skipped, err = skip(k); err != nil {
				break
			}
		}
		if !skipped {
			due = append(due, Due{k, at})
		}
	}
	err = errors.Join(err, it.Error(), it.Close())
	if err == nil {
		t.soonest = first
	}
	return due, err
}

// A moved is the change of a row's deadline; 0 is none.
type moved struct {
	key      string
	was, now int64
}

// moveDeadlines puts changes of deadlines into the batch that changes the rows
// themselves, after these: they lie elsewhere.
func (t *Table) moveDeadlines(b *pebble.Batch, moves []moved, m *mark) error {
	for _, v := range moves {
		if v.was != 0 {
			op := b.DeleteDeferred(rowPrefix + 8 + len(v.key))
			t.putDueKey(op.Key, v.key, v.was)
			if err := op.Finish(); err != nil {
				return err
			}
		}
		if v.now != 0 {
			m.soonest = min(m.soonest, v.now)
			op := b.SetDeferred(rowPrefix+8+len(v.key), 0)
			t.putDueKey(op.Key, v.key, v.now)
			if err := op.Finish(); err != nil {
				return err
			}
		}
	}
	return nil
}

// putDueKey writes the key of a deadline to b, which is as long as it needs.
func (t *Table) putDueKey(b []byte, key string, at int64) {
	binary.BigEndian.PutUint32(b, t.number)
	b[4] = spaceDue
	binary.BigEndian.PutUint64(b[rowPrefix:], uint64(at))
	copy(b[rowPrefix+8:], key)
}
