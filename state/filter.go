package state

import (
	"bytes"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// About half of all reads of a join find nothing: the first half of every pair
// looks for the second. Pebble answers such a read from its filters, but has
// to ask each level for it, which costs several microseconds. A filter of our
// own, over all rows of a table, answers most of them with a few memory
// accesses.

const (
	filterLine   = 8       // words of a block: one cache line
	filterBits   = 12      // bits per row; about 1 read in 100 is asked for in vain
	filterProbes = 6       // bits set per row
	filterFirst  = 1 << 16 // rows of the first layer
	filterGrowth = 4       // each layer holds so many times the rows of the one before
	filterStep   = 5000    // rows that are learnt from the database per commit
	filterUse    = 64      // reads in vain that make it worth to learn more
)

// A filter knows which keys are certainly not in the database. It is a stack
// of blocked Bloom filters that grows with the table.
//
// The rows that the database had when it was opened are learnt bit by bit, in
// the order of their keys, during commits; what is committed meanwhile is
// added at once. So the filter may be asked about all keys below learnt.
type filter struct {
	seed   maphash.Seed
	limit  *atomic.Int64 // bytes that the filters of all tables may still take
	layers atomic.Pointer[[]*layer]
	off    atomic.Bool            // the limit is reached: it knows nothing any more
	learnt atomic.Pointer[string] // nil: all
	vain   atomic.Int64           // reads that went to the database in vain

	mu sync.Mutex // held by who adds
}

type layer struct {
	words []atomic.Uint64
	room  int // rows that may still be added
}

func newFilter(limit *atomic.Int64) *filter {
	f := &filter{seed: maphash.MakeSeed(), limit: limit}
	f.layers.Store(&[]*layer{})
	f.learnt.Store(new(string))
	return f
}

// excludes reports whether there is certainly no row at key.
func (f *filter) excludes(key string) bool {
	learnt := f.learnt.Load() // before the layers, which it speaks of
	if learnt != nil && key >= *learnt {
		return false
	}
	// The layers go away after off is set, so off is looked at after them.
	return f.absent(maphash.String(f.seed, key)) && !f.off.Load()
}

func (f *filter) absent(hash uint64) bool {
	for _, l := range *f.layers.Load() {
		if l.has(hash) {
			return false
		}
	}
	return true
}

// addAll adds the keys of rows that are committed.
func (f *filter) addAll(rows iter.Seq2[string, []byte]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, v := range rows {
		if v != nil {
			f.add(maphash.String(f.seed, k))
		}
	}
}

// addNew adds the key of a row that is about to be committed, and reports whether
// there was certainly none before.
func (f *filter) addNew(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	hash := maphash.String(f.seed, key)
	if f.off.Load() || !f.absent(hash) {
		return false
	}
	f.put(hash)
	learnt := f.learnt.Load()
	return learnt == nil || key < *learnt
}

// addOne adds the key of a row.
func (f *filter) addOne(key []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(maphash.Bytes(f.seed, key))
}

// reset empties the filter of a table that is empty.
func (f *filter) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
	f.learnt.Store(nil)
	f.off.Store(false)
}

// retire gives the memory back for good.
func (f *filter) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off.Store(true)
	f.drop()
}

// learn adds some more of the rows that are in the database, if reads have
// gone there in vain.
func (t *Table) learn() error {
	f := t.filter
	learnt := f.learnt.Load()
	if learnt == nil || f.off.Load() || f.vain.Swap(0) < filterUse {
		return nil
	}
	it, err := t.db.pebble.NewIter(t.bounds(nil, nil))
	if err != nil {
		return err
	}
	ok := it.SeekGE(append(bytes.Clone(t.prefix[:]), *learnt...))
	for n := 0; ok && n < filterStep; n++ {
		f.addOne(it.Key()[rowPrefix:])
		ok = it.Next()
	}
	var next *string
	if ok {
		key := string(it.Key()[rowPrefix:])
		next = &key
	}
	if err := it.Close(); err != nil {
		return err
	}
	f.learnt.Store(next)
	return nil
}

// vainRead counts a read of the database that found nothing.
func (f *filter) vainRead() {
	if f.learnt.Load() != nil {
		f.vain.Add(1)
	}
}

// add adds a key by its hash.
func (f *filter) add(hash uint64) {
	if !f.off.Load() && f.absent(hash) {
		f.put(hash)
	}
}

// put adds the hash of a key that it does not have.
func (f *filter) put(hash uint64) {
	layers := *f.layers.Load()
	if len(layers) == 0 || layers[len(layers)-1].room == 0 {
		if layers = f.grow(layers); layers == nil {
			return
		}
	}
	layers[len(layers)-1].add(hash)
}

// grow adds a layer, or turns the filter off if there is no memory for it.
func (f *filter) grow(layers []*layer) []*layer {
	rows := filterFirst
	for range layers {
		rows *= filterGrowth
	}
	words := (rows*filterBits/64/filterLine + 1) * filterLine
	if f.limit.Add(-int64(words)*8) < 0 {
		f.limit.Add(int64(words) * 8)
		f.off.Store(true)
		f.drop()
		return nil
	}
	layers = append(layers[:len(layers):len(layers)],
		&layer{words: make([]atomic.Uint64, words), room: rows})
	f.layers.Store(&layers)
	return layers
}

// drop gives the memory of the filter back.
func (f *filter) drop() {
	for _, l := range *f.layers.Swap(&[]*layer{}) {
		f.limit.Add(int64(len(l.words)) * 8)
	}
}

// block returns the cache line that holds the bits of a hash.
func (l *layer) block(hash uint64) []atomic.Uint64 {
	n := uint64(len(l.words) / filterLine)
	at := (hash >> 32) * n >> 32 * filterLine
	return l.words[at : at+filterLine]
}

func (l *layer) has(hash uint64) bool {
	b := l.block(hash)
	for h, i := hash*0x9e3779b97f4a7c15, 0; i < filterProbes; i++ {
		if b[h>>61].Load()&(1<<(h>>55&63)) == 0 {
			return false
		}
		h <<= 9
	}
	return true
}

func (l *layer) add(hash uint64) {
	b := l.block(hash)
	for h, i := hash*0x9e3779b97f4a7c15, 0; i < filterProbes; i++ {
		b[h>>61].Or(1 << (h >> 55 & 63))
		h <<= 9
	}
	l.room--
}
