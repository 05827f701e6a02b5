package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble's checksums find bytes that have changed, but not records that are
// missing as a whole: a manifest that lost its last entries, or a log that was
// deleted, takes commits out of the middle of a table's life, and the commits
// after them would then stand on rows that are not there. So every commit adds
// one to a counter, as a merge operand that is lost with the commit, and
// writes the sum that it expects into the mark. The two are equal as long as
// the table is a prefix of its commits.

// counting adds up the counters.
var counting = &pebble.Merger{
	Name: "tallystick.count",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		s := new(sum)
		return s, s.MergeNewer(value)
	},
}

type sum uint64

func (s *sum) MergeNewer(value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("%w: counter: %w", errTorn, errEncoding)
	}
	*s += sum(binary.BigEndian.Uint64(value))
	return nil
}

func (s *sum) MergeOlder(value []byte) error { return s.MergeNewer(value) }

func (s *sum) Finish(bool) ([]byte, io.Closer, error) { return encodeCount(uint64(*s)), nil, nil }

func encodeCount(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// putMark adds to b the mark of a commit to range number.
func putMark(b *pebble.Batch, number uint32, m mark) error {
	if err := b.Merge(spaceKey(number, spaceCount), encodeCount(1), nil); err != nil {
		return err
	}
	return b.Set(spaceKey(number, spaceMark), m.encode(), nil)
}

// putEmpty adds to b that range number is empty, after count commits. Counting
// goes on from there, so that losing this very batch is noticed as well.
func putEmpty(b *pebble.Batch, number uint32, count uint64) error {
	start, end := rangeSpan(number)
	if err := b.DeleteRange(start, end, nil); err != nil {
		return err
	}
	if err := b.Set(spaceKey(number, spaceCount), encodeCount(count), nil); err != nil {
		return err
	}
	return b.Set(spaceKey(number, spaceMark), mark{offset: noOffset, count: count}.encode(), nil)
}

// loadMark reads the mark of range number and checks it.
func (db *DB) loadMark(number uint32) (mark, error) {
	var m mark
	b, err := db.value(spaceKey(number, spaceMark))
	if err != nil {
		return m, fmt.Errorf("mark: %w", err)
	}
	if m, err = parseMark(b); err != nil {
		return m, fmt.Errorf("%w: mark: %w", errTorn, err)
	}
	if b, err = db.value(spaceKey(number, spaceCount)); err != nil {
		return m, fmt.Errorf("counter: %w", err)
	}
	if len(b) != 8 || binary.BigEndian.Uint64(b) != m.count {
		return m, fmt.Errorf("%w: commits are missing: have %x of %d", errTorn, b, m.count)
	}
	return m, nil
}

// value returns a copy of the value at key, which has to exist.
func (db *DB) value(key []byte) ([]byte, error) {
	v, closer, err := db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%w: %x is missing", errTorn, key)
	} else if err != nil {
		return nil, err
	}
	return append([]byte{}, v...), closer.Close()
}

// checkNumbers finds a manifest that lost its end right behind its first record. Pebble
// numbers all writes and reads up to the last number, which is in every record but that
// one. Of files with higher numbers it would show some rows and hide others, until so
// many new writes were made.
func (db *DB) checkNumbers() error {
	b := db.pebble.NewBatch()
	defer b.Close() //nolint:errcheck // it holds nothing
	if err := b.LogData(nil, nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	levels, err := db.pebble.SSTables()
	if err != nil {
		return err
	}
	for _, files := range levels {
		for _, f := range files {
			if f.LargestSeqNum >= b.SeqNum() {
				return fmt.Errorf("%w: %v has writes up to number %d, the manifest up to %d",
					errTorn, f.FileNum, f.LargestSeqNum, b.SeqNum()-1)
			}
		}
	}
	return nil
}

// verify checks that every range has an owner and is a prefix of its commits.
func (db *DB) verify() error {
	owned := make(map[uint32]Identity, len(db.held))
	for _, h := range db.held {
		owned[h.number] = h.id
	}
	for n := uint32(catalogue + 1); n < db.next; n++ {
		id, ok := owned[n]
		if !ok {
			return fmt.Errorf("%w: range %d has no owner", errTorn, n)
		}
		if _, err := db.loadMark(n); err != nil {
			return fmt.Errorf("table %s: %w", id, err)
		}
	}
	start, _ := rangeSpan(db.next)
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: start})
	if err != nil {
		return err
	}
	if it.First() {
		err = fmt.Errorf("%w: %x belongs to no range", errTorn, it.Key())
	}
	return errors.Join(err, it.Close())
}
