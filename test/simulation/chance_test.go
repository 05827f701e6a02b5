package simulation

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
)

// A chance draws from a source of its own for each kind of thing: the n-th draw
// of a kind depends on the seed, the kind and n alone, so that one thing more or
// less does not shift all others.
type chance struct {
	seed int64

	mu    sync.Mutex
	draws map[string]uint64
}

func newChance(seed int64) *chance { return &chance{seed: seed, draws: map[string]uint64{}} }

// draw returns the source for the next draw of a kind.
func (c *chance) draw(kind string) *rand.Rand {
	c.mu.Lock()
	n := c.draws[kind]
	c.draws[kind]++
	c.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(kind))
	r := rand.New(rand.NewPCG(uint64(c.seed)*0x9e3779b97f4a7c15, h.Sum64()^n*0xbf58476d1ce4e5b9))
	r.Uint64()
	return r
}

// oneIn is true once in n draws of a kind.
func (c *chance) oneIn(kind string, n int) bool { return c.draw(kind).IntN(n) == 0 }
