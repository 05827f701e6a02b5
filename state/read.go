package state

import (
	"bytes"
	"errors"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// keyBuffers holds buffers for the keys of reads, which Pebble does not keep.
type keyBuffers struct{ pool sync.Pool }

func (b *keyBuffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	return new([]byte)
}

// read returns a copy of the committed row at key, or nil.
func (t *Table) read(key string) ([]byte, error) {
	if !t.db.gate.enter() {
		return nil, ErrClosed
	}
	defer t.db.gate.leave()
	if t.filter.excludes(key) {
		return nil, nil
	}
	buf := t.db.keys.get()
	defer t.db.keys.pool.Put(buf)
	*buf = append(append((*buf)[:0], t.prefix[:]...), key...)
	v, closer, err := t.db.pebble.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		t.filter.vainRead()
		return nil, nil
	} else if err != nil {
		return nil, t.failed("get", t.db.check(err))
	}
	value := append([]byte{}, v...)
	return value, closer.Close()
}

// A View reads the committed rows of a table, from outside the transaction. It
// may be used at any time, from any goroutine.
type View struct{ t *Table }

// Committed returns a view of what is committed.
func (t *Table) Committed() View { return View{t} }

// A Row is a key and its value.
type Row struct {
	Key   string
	Value []byte
}

// Get returns the committed row at key, or nil if there is none. The caller
// may keep the value but must not change it. Two calls may see different
// commits; All and Snapshot see one.
func (v View) Get(key string) ([]byte, error) {
	if err := v.t.readable(); err != nil {
		return nil, err
	}
	if value, _, ok := v.t.cache.get(key); ok {
		return value, nil
	}
	return v.t.read(key)
}

// All returns the committed rows whose keys begin with prefix, in order, as
// they were at the moment the iteration begins. An error ends it; it is the
// last thing to be returned. The caller may keep the rows.
func (v View) All(prefix string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		s, err := v.Snapshot()
		if err != nil {
			yield(Row{}, err)
			return
		}
		defer s.Close() //nolint:errcheck // the rows are read
		s.All(prefix)(yield)
	}
}

// Snapshot returns the committed rows as they are now, together with their
// offset. The caller closes it.
func (v View) Snapshot() (*Snapshot, error) {
	t := v.t
	if err := t.readable(); err != nil {
		return nil, err
	}
	if !t.db.gate.enter() {
		return nil, ErrClosed
	}
	defer t.db.gate.leave()
	s := &Snapshot{t: t, snap: t.db.pebble.NewSnapshot()}
	t.db.reads.add(s.snap)
	b, closer, err := s.snap.Get(spaceKey(t.number, spaceMark))
	if err == nil {
		s.mark, err = parseMark(b)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		return nil, errors.Join(t.failed("read", t.db.check(err)), s.Close())
	}
	if !s.mark.summed { // nobody writes here, or a mark would have been written
		s.mark.sum = t.Fingerprint()
	}
	return s, nil
}

// A Snapshot is the committed state of a table at one moment.
type Snapshot struct {
	t    *Table
	snap *pebble.Snapshot
	mark mark
}

// scanRows is how many rows a scan reads at a time.
const scanRows = 256

// Offset returns the offset of the last changelog record in the snapshot, or
// -1.
func (s *Snapshot) Offset() int64 { return s.mark.offset }

// Get returns the row at key, or nil if there is none. The row is the caller's.
func (s *Snapshot) Get(key string) ([]byte, error) {
	db := s.t.db
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.gate.leave()
	v, closer, err := s.snap.Get(append(bytes.Clone(s.t.prefix[:]), key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, s.t.failed("get", db.check(err))
	}
	return append([]byte{}, v...), closer.Close()
}

// All returns the rows whose keys begin with prefix, in order. An error ends
// the iteration; it is the last thing to be returned. The caller may keep the
// rows.
func (s *Snapshot) All(prefix string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for p, err := range s.pairs(s.t.bounds([]byte(prefix), nil)) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !yield(Row{string(p.key[rowPrefix:]), p.value}, nil) {
				return
			}
		}
	}
}

// A pair is a key of the database, with its range and space, and its value.
type pair struct{ key, value []byte }

// pairs returns what is within bounds, in order. It reads some at a time, so that
// the caller holds nothing of Pebble's while it works on them.
func (s *Snapshot) pairs(bounds *pebble.IterOptions) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		rest := *bounds
		for {
			some, err := s.some(&rest)
			for _, p := range some {
				if !yield(p, nil) {
					return
				}
			}
			switch {
			case err != nil:
				yield(pair{}, err)
				return
			case len(some) < scanRows:
				return
			}
			rest.LowerBound = append(bytes.Clone(some[len(some)-1].key), 0)
		}
	}
}

// some reads the first pairs within bounds.
func (s *Snapshot) some(bounds *pebble.IterOptions) ([]pair, error) {
	db := s.t.db
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.gate.leave()
	it, err := s.snap.NewIter(bounds)
	if err != nil {
		return nil, s.t.failed("scan", db.check(err))
	}
	var some []pair
	for ok := it.First(); ok && len(some) < scanRows; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break // Close returns it too
		}
		some = append(some, pair{bytes.Clone(it.Key()), append([]byte{}, value...)})
	}
	if err := it.Close(); err != nil {
		return some, s.t.failed("scan", db.check(err))
	}
	return some, nil
}

// Fingerprint returns the fingerprint of the rows in the snapshot.
func (s *Snapshot) Fingerprint() Fingerprint { return s.mark.sum }

// Close releases the snapshot.
func (s *Snapshot) Close() error { return s.t.db.reads.close(s.snap) }

// readable returns why the table can't be read, if so.
func (t *Table) readable() error {
	if err := t.usable(); err != nil {
		return t.failed("read", err)
	}
	return nil
}

// bounds returns the bounds in the database of the rows from start to limit,
// or of those that begin with start if limit is empty.
func (t *Table) bounds(start, limit []byte) *pebble.IterOptions {
	o := &pebble.IterOptions{LowerBound: append(bytes.Clone(t.prefix[:]), start...)}
	if len(limit) > 0 {
		o.UpperBound = append(bytes.Clone(t.prefix[:]), limit...)
	} else {
		o.UpperBound = successor(o.LowerBound)
	}
	return o
}
