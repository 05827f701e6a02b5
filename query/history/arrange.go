package history

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"tallystick/topology"
)

// arrange puts the events into the order of cause and effect, and numbers them. Of
// those that could come next the earliest does; what did something to the row of
// confirm stands below what did before.
func (s *Story) arrange(r *Reader, f *fold) {
	a := arrangement{
		events: s.Events, byID: map[string][]int{}, first: map[string][]int{},
		topology: r.o.Topology,
	}
	for i := range a.events {
		e := &a.events[i]
		if e.ID == "" {
			continue
		}
		a.byID[e.ID] = append(a.byID[e.ID], i)
		if !slices.ContainsFunc(a.first[e.ID], func(k int) bool { return a.events[k].Topic == e.Topic }) {
			a.first[e.ID] = append(a.first[e.ID], i)
		}
	}
	a.times(f)
	a.links(f)
	order := a.sorted(a.merged)
	if len(order) < len(a.events) {
		order = a.sorted(nil) // confirm met an effect before its cause
	}
	order = a.rest(order)
	number := make([]int, len(order))
	for n, i := range order {
		number[i] = n + 1
	}
	arranged := make([]Event, 0, len(order))
	for _, i := range order {
		e := a.events[i]
		e.No = number[i]
		for _, cause := range a.causes[i] {
			e.Because = append(e.Because, number[cause])
		}
		slices.Sort(e.Because)
		if e.CopyOf > 0 {
			e.CopyOf = number[e.CopyOf-1]
		}
		// The last of the causes made it so.
		if n := len(e.Because); n > 0 && e.Because[n-1] < e.No {
			e.Depth = arranged[e.Because[n-1]-1].Depth + 1
		}
		arranged = append(arranged, e)
	}
	s.Events = arranged
}

// An arrangement is events on their way into an order.
type arrangement struct {
	events   []Event
	byID     map[string][]int
	first    map[string][]int // of each ID, the first event in each topic
	topology topology.Topology
	when     []time.Time
	rank     []int
	causes   [][]int // of each event, without repeats
	merged   []int   // what did something to the row of confirm, in the order in which it did
}

// times says when each event counts as having been.
func (a *arrangement) times(f *fold) {
	a.when = make([]time.Time, len(a.events))
	a.rank = make([]int, len(a.events))
	for i := range a.events {
		a.when[i] = a.events[i].At
		a.rank[i] = slices.IndexFunc(a.topology.Topics, func(t topology.Topic) bool {
			return t.Name == a.events[i].Topic
		})
	}
	for i := range f.moments {
		if m := &f.moments[i]; m.changed || m.said != nil {
			a.merged = append(a.merged, m.told)
		}
	}
	for i := 1; i < len(a.merged); i++ {
		now, last := a.merged[i], a.merged[i-1]
		if !a.when[now].After(a.when[last]) {
			a.when[now] = a.when[last].Add(1) // finer than any record's timestamp
		}
	}
}

// links finds what each event follows from.
func (a *arrangement) links(f *fold) {
	a.causes = make([][]int, len(a.events))
	for i := range a.events {
		e := &a.events[i]
		if original, ok := a.original(i); ok {
			e.CopyOf = original + 1
			a.link(i, original)
			continue
		}
		for _, id := range e.Causes {
			if k, ok := a.cause(i, id); ok {
				a.link(i, k)
			} else {
				e.Missing = append(e.Missing, id)
			}
		}
	}
	for n := range f.moments {
		m := &f.moments[n]
		if m.fired == nil {
			continue
		}
		if n > 0 {
			a.link(m.told, f.moments[n-1].told)
		}
		for _, id := range m.said {
			for _, k := range a.byID[id] {
				a.link(k, m.told)
			}
		}
	}
	for i, causes := range a.causes {
		slices.Sort(causes)
		a.causes[i] = slices.Compact(causes)
	}
}

// link notes a cause, perhaps once more.
func (a *arrangement) link(effect, cause int) {
	if effect != cause {
		a.causes[effect] = append(a.causes[effect], cause)
	}
}

// original returns the event of which another is a copy under another key.
func (a *arrangement) original(i int) (int, bool) {
	t, _ := a.topology.Topic(a.events[i].Topic)
	if t.Copies == "" {
		return 0, false
	}
	for _, k := range a.first[a.events[i].ID] {
		if a.events[k].Topic == t.Copies {
			return k, true
		}
	}
	return 0, false
}

// cause returns the event of an id that the writer of another one has read, or any
// event of that id.
func (a *arrangement) cause(i int, id string) (int, bool) {
	writer, _ := a.topology.Processor(a.events[i].By)
	best := -1
	for _, k := range a.first[id] {
		switch read := slices.Contains(writer.Inputs, a.events[k].Topic); {
		case k == i:
		case read:
			return k, true
		case best < 0:
			best = k
		}
	}
	return best, best >= 0
}

// rest puts events behind an order that are not in it: they cause each other in a
// circle, which no processor writes.
func (a *arrangement) rest(order []int) []int {
	in := make([]bool, len(a.events))
	for _, i := range order {
		in[i] = true
	}
	for i := range a.events {
		if !in[i] {
			order = append(order, i)
		}
	}
	return order
}

// sorted returns the events by their index in an order in which no effect stands
// before one of its causes, and no event of a row before the one ahead of it.
// Events that stand behind themselves are left out.
func (a *arrangement) sorted(row []int) []int {
	effects := make([][]int, len(a.events))
	waits := make([]int, len(a.events))
	follows := func(i, k int) {
		waits[i]++
		effects[k] = append(effects[k], i)
	}
	for i, causes := range a.causes {
		for _, k := range causes {
			follows(i, k)
		}
	}
	for i := 1; i < len(row); i++ {
		follows(row[i], row[i-1])
	}
	free := &queue{arrangement: a}
	for i, n := range waits {
		if n == 0 {
			heap.Push(free, i)
		}
	}
	order := make([]int, 0, len(a.events))
	for free.Len() > 0 {
		i, _ := heap.Pop(free).(int)
		order = append(order, i)
		for _, k := range effects[i] {
			if waits[k]--; waits[k] == 0 {
				heap.Push(free, k)
			}
		}
	}
	return order
}

func (a *arrangement) compare(i, k int) int {
	return cmp.Or(a.when[i].Compare(a.when[k]), cmp.Compare(a.rank[i], a.rank[k]),
		cmp.Compare(a.events[i].Partition, a.events[k].Partition),
		cmp.Compare(a.events[i].Offset, a.events[k].Offset))
}

// A queue is a heap of events that may come next.
type queue struct {
	*arrangement
	free []int
}

func (q *queue) Len() int           { return len(q.free) }
func (q *queue) Less(i, k int) bool { return q.compare(q.free[i], q.free[k]) < 0 }
func (q *queue) Swap(i, k int)      { q.free[i], q.free[k] = q.free[k], q.free[i] }

// Push is for package heap.
func (q *queue) Push(x any) {
	if i, ok := x.(int); ok {
		q.free = append(q.free, i)
	}
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	return last
}
