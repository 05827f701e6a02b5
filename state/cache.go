package state

import (
	"slices"
	"sync"
	"sync/atomic"
)

// rowOverhead is what a cached row takes beside its bytes: two headers and its
// share of the map.
const rowOverhead = 96

// commitStep is how many bytes a commit adds to the cache at a time.
const commitStep = 1 << 20

// A rowBudget bounds the row caches of all tables together. Each cache has a
// young and an old generation. When the young ones hold half the limit, all
// of them become the old ones, and what was old goes; a row that is read from
// the old generation becomes young again. This costs a map access per read
// and no list, and keeps what was used lately.
type rowBudget struct {
	limit int64
	young atomic.Int64 // bytes in the young generations

	mu     sync.Mutex
	caches []*rowCache
}

func (b *rowBudget) newCache() *rowCache {
	c := &rowCache{budget: b, young: map[string][]byte{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.caches = append(b.caches, c)
	return c
}

// add counts n more young bytes and turns the generations when it is time.
// The caller holds no cache's lock.
func (b *rowBudget) add(n int64) {
	if b.young.Add(n) <= b.limit/2 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.young.Load() <= b.limit/2 {
		return // somebody else did
	}
	for _, c := range b.caches {
		c.mu.Lock()
		c.old, c.young = c.young, make(map[string][]byte, len(c.young))
		b.young.Add(-c.bytes)
		c.bytes = 0
		c.mu.Unlock()
	}
}

// A rowCache holds committed rows of one table. Its values belong to it and
// are never changed.
type rowCache struct {
	budget *rowBudget

	mu         sync.Mutex
	young, old map[string][]byte
	bytes      int64  // in young
	version    uint64 // counts what was committed
}

func rowBytes(key string, value []byte) int64 {
	return int64(len(key) + len(value) + rowOverhead)
}

// get returns the row at key. If the cache does not have it, version is what
// fill wants to know.
func (c *rowCache) get(key string) (value []byte, version uint64, ok bool) {
	c.mu.Lock()
	if value, ok = c.young[key]; ok {
		c.mu.Unlock()
		return value, 0, true
	}
	version = c.version
	value, ok = c.old[key]
	if !ok {
		c.mu.Unlock()
		return nil, version, false
	}
	n := c.put(key, value)
	c.mu.Unlock()
	c.budget.add(n)
	return value, version, true
}

// fill adds a row that was read from the database, unless something was
// committed since get returned version: the row might be an old one.
func (c *rowCache) fill(key string, value []byte, version uint64) {
	if c.budget.limit < 0 {
		return
	}
	c.mu.Lock()
	if c.version != version {
		c.mu.Unlock()
		return
	}
	n := c.put(key, value)
	c.mu.Unlock()
	c.budget.add(n)
}

// commit takes over rows that are in the database already; nil is a deletion.
// It lets readers in now and then: whoever misses a row meanwhile reads the
// database, which has it.
func (c *rowCache) commit(rows []*written) {
	c.mu.Lock()
	c.version++
	var n int64
	for _, w := range rows {
		switch {
		case w.now == nil:
			n += c.drop(w.key)
		case c.budget.limit >= 0:
			n += c.put(w.key, w.now)
		}
		if n > commitStep {
			c.mu.Unlock()
			c.budget.add(n)
			n = 0
			c.mu.Lock()
		}
	}
	c.mu.Unlock()
	c.budget.add(n)
}

// clear forgets everything, because the table changed underneath.
func (c *rowCache) clear() {
	c.mu.Lock()
	n := -c.bytes
	c.version++
	c.bytes = 0
	if len(c.young) > 0 {
		c.young = map[string][]byte{}
	}
	c.old = nil
	c.mu.Unlock()
	c.budget.add(n)
}

// retire empties the cache for good.
func (c *rowCache) retire() {
	b := c.budget
	b.mu.Lock()
	b.caches = slices.DeleteFunc(b.caches, func(d *rowCache) bool { return d == c })
	b.mu.Unlock()
	c.clear()
}

// put makes a row young and returns by how many bytes the cache has grown.
func (c *rowCache) put(key string, value []byte) int64 {
	n := rowBytes(key, value)
	if was, ok := c.young[key]; ok {
		n -= rowBytes(key, was)
	}
	c.young[key] = value
	c.bytes += n
	return n
}

func (c *rowCache) drop(key string) int64 {
	delete(c.old, key)
	was, ok := c.young[key]
	if !ok {
		return 0
	}
	delete(c.young, key)
	n := rowBytes(key, was)
	c.bytes -= n
	return -n
}
