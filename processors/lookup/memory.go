package lookup

import "sync"

// memory is which orders were confirmed, and on which notice. It is bounded: the
// oldest is forgotten first. It is safe for concurrent use.
type memory struct {
	mu   sync.Mutex
	said map[string]Notice
	ring []string // the keys of said in the order in which they came
	next int      // where the oldest is, once the ring is full
	size int
}

func newMemory(size int) *memory { return &memory{said: map[string]Notice{}, size: size} }

// of returns the notice on which an order was confirmed, or nil.
func (m *memory) of(orderID string) *Notice {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.said[orderID]; ok {
		return &n
	}
	return nil
}

// keep remembers that the order was confirmed on n.
func (m *memory) keep(n Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.said[n.OrderID]; !ok {
		if len(m.ring) < m.size {
			m.ring = append(m.ring, n.OrderID)
		} else {
			delete(m.said, m.ring[m.next])
			m.ring[m.next] = n.OrderID
			m.next = (m.next + 1) % m.size
		}
	}
	m.said[n.OrderID] = n
}
