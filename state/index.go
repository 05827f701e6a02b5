package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A table can have an index: entries that are computed from its rows, by which
// rows are found in another order than that of their keys. They lie beside the
// rows; see changes.go.
//
// In the database an entry comes before its row's key. So that the two can be told
// apart and yet sort as pairs, a zero byte in the entry is written as 00 ff, and
// 00 01 ends it.

// An IndexRow is an entry of the index and the key of the row that has it.
type IndexRow struct {
	Entry []byte
	Key   string
}

// TrackIndex gives the table an index: of calls entry with each of the entries of
// an encoded row, which may be any bytes; one that is given twice counts once. It
// must not keep or change row, and may use the bytes given to entry again.
// TrackIndex must be called before the table is read or written, and with an of that
// means the same for as long as the table has the same identity: one that means
// something else goes with another Format. Without it a table has no index.
func (t *Table) TrackIndex(of func(key string, row []byte, entry func([]byte))) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = of
}

// Index returns the entries of committed rows that begin with prefix, from from on,
// in order; those that are equal in the order of their rows' keys. A nil from is
// the first. They are as they were at the moment the iteration begins. An error
// ends it; it is the last thing to be returned. The caller may keep the entries.
func (v View) Index(from, prefix []byte) iter.Seq2[IndexRow, error] {
	return func(yield func(IndexRow, error) bool) {
		s, err := v.Snapshot()
		if err != nil {
			yield(IndexRow{}, err)
			return
		}
		defer s.Close() //nolint:errcheck // the entries are read
		s.Index(from, prefix)(yield)
	}
}

// Index is [View.Index] of the rows in the snapshot.
func (s *Snapshot) Index(from, prefix []byte) iter.Seq2[IndexRow, error] {
	start := spaceKey(s.t.number, spaceIndex)
	bounds := &pebble.IterOptions{LowerBound: appendEntry(bytes.Clone(start), prefix)}
	bounds.UpperBound = successor(bounds.LowerBound)
	if low := appendEntry(start, from); bytes.Compare(low, bounds.LowerBound) > 0 {
		bounds.LowerBound = low
	}
	return func(yield func(IndexRow, error) bool) {
		for pair, err := range s.pairs(bounds) {
			var row IndexRow
			if err == nil {
				row, err = parseEntry(pair.key)
				err = s.t.db.check(err)
			}
			if err != nil {
				yield(IndexRow{}, s.t.failed("index", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// moveEntries puts the change of a row's entries into the batch that changes the
// row itself.
func (t *Table) moveEntries(b *pebble.Batch, c change) error {
	was, now := t.indexKeys(c.key, c.was), t.indexKeys(c.key, c.now)
	for _, k := range was {
		if _, stays := slices.BinarySearchFunc(now, k, bytes.Compare); !stays {
			if err := b.Delete(k, nil); err != nil {
				return err
			}
		}
	}
	for _, k := range now {
		if _, stood := slices.BinarySearchFunc(was, k, bytes.Compare); !stood {
			if err := b.Set(k, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexKeys returns the keys in the database of a row's entries, in order.
func (t *Table) indexKeys(key string, row []byte) [][]byte {
	if row == nil {
		return nil
	}
	var keys [][]byte
	t.entries(key, row, func(entry []byte) {
		k := make([]byte, 0, rowPrefix+len(entry)+len(key)+8)
		k = binary.BigEndian.AppendUint32(k, t.number)
		k = appendEntry(append(k, spaceIndex), entry)
		keys = append(keys, append(append(k, 0, entryEnd), key...))
	})
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

const (
	entryEnd  = 0x01
	entryZero = 0xff
)

// appendEntry adds an entry, or the beginning of one, to b, without its end.
func appendEntry(b, entry []byte) []byte {
	for _, c := range entry {
		if b = append(b, c); c == 0 {
			b = append(b, entryZero)
		}
	}
	return b
}

// parseEntry takes a key of the index apart, its range and space included.
func parseEntry(key []byte) (IndexRow, error) {
	b := key[rowPrefix:]
	entry := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			entry = append(entry, b[i])
			continue
		}
		switch i++; {
		case i < len(b) && b[i] == entryZero:
			entry = append(entry, 0)
		case i < len(b) && b[i] == entryEnd:
			return IndexRow{entry, string(b[i+1:])}, nil
		default:
			return IndexRow{}, errors.Join(errTorn, errEncoding)
		}
	}
	return IndexRow{}, errors.Join(errTorn, errEncoding)
}
