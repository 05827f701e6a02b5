package window

// A buffer is the memory of one partition: the entries of its orders, oldest
// first. It is for one goroutine.
type buffer struct {
	rules   Rules
	entries map[string]*Entry
	queue   []ticket // in the order in which the entries were opened
	stream  int64    // the highest stream time so far
}

// A ticket is the place of an entry in the queue. It is void if the order has
// another entry by now, or none.
type ticket struct {
	orderID string
	first   int64
}

func newBuffer(rules Rules) *buffer {
	return &buffer{rules: rules, entries: map[string]*Entry{}}
}

// take applies e and returns the confirmation, if there is one, in out. What is
// lost is told to lost.
func (b *buffer) take(e Event, lost func(orderID string, why Loss)) Outcome {
	b.stream = max(b.stream, e.Stream)
	e.Stream = b.stream
	id := e.orderID()
	before := b.entries[id]
	next, out := Step(b.rules, before, e)
	if out.Lost != "" {
		lost(id, out.Lost)
	}
	switch {
	case next == nil:
		delete(b.entries, id)
	case next != before:
		b.entries[id] = next
		if before == nil || before.First != next.First {
			b.queue = append(b.queue, ticket{id, next.First})
		}
	}
	b.expire(lost)
	return out
}

// expire drops the entries whose time is over, and those beyond the limit.
func (b *buffer) expire(lost func(orderID string, why Loss)) {
	done := 0
	for ; done < len(b.queue); done++ {
		t := b.queue[done]
		entry := b.entries[t.orderID]
		if entry == nil || entry.First != t.first {
			continue
		}
		why := Lapsed
		if !entry.Over(b.rules, b.stream) {
			if len(b.entries) <= b.rules.MaxOrders {
				break
			}
			why = Crowded
		}
		if entry.open() {
			lost(t.orderID, why)
		}
		delete(b.entries, t.orderID)
	}
	b.queue = b.queue[done:]
}
