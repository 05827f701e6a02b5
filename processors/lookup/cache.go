package lookup

import (
	"sync"
	"time"
)

// A cache keeps answers for a while. It is safe for concurrent use, and keeps
// nothing if the while is 0.
type cache struct {
	mu      sync.Mutex
	keep    time.Duration
	size    int
	answers map[string]answered
	ring    []string // the keys in the order in which they were first put
	next    int
}

type answered struct {
	known Known
	until time.Time
}

func newCache(keep time.Duration, size int) *cache {
	return &cache{keep: keep, size: size, answers: map[string]answered{}}
}

// get returns the answer about an order if there is one that is fresh.
func (c *cache) get(orderID string, now time.Time) (Known, bool) {
	if c.keep == 0 {
		return Known{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[orderID]
	return a.known, ok && now.Before(a.until)
}

// put keeps what was the answer to a question of that time. Without room the
// answer that was put first makes way.
func (c *cache) put(orderID string, known Known, asked time.Time) {
	if c.keep == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.answers[orderID]; !ok {
		if len(c.ring) < c.size {
			c.ring = append(c.ring, orderID)
		} else {
			delete(c.answers, c.ring[c.next])
			c.ring[c.next] = orderID
			c.next = (c.next + 1) % c.size
		}
	}
	c.answers[orderID] = answered{known, asked.Add(c.keep)}
}
