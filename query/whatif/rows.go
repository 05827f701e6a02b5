package whatif

import (
	"container/heap"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// rows is the scratch table. Rows that still move are kept as they are; a settled
// one, which hardly does any more, as the bytes that a table would have, which is
// a fraction of that.
type rows map[string]*slot

// A slot is one row.
type slot struct {
	row    *confirm.Row
	packed []byte
	due    int64 // the deadline of the row
	queued int64 // the time under which it is in the queue, or 0
}

// open returns the row, nil of no slot.
func (s *slot) open() (*confirm.Row, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.packed != nil:
		return schemas.ConfirmRows.Unmarshal(s.packed)
	}
	return s.row, nil
}

// put stores the next row of a key, whose slot is s if it has one.
func (t rows) put(q *queue, key string, s *slot, next *confirm.Row) error {
	if next == nil {
		delete(t, key)
		return nil
	}
	if s == nil {
		s = &slot{}
		t[key] = s
	}
	s.row, s.packed, s.due = next, nil, next.Deadline
	if settled(next) {
		packed, err := schemas.ConfirmRows.Marshal(next)
		if err != nil {
			return err
		}
		s.row, s.packed = nil, packed
	}
	t.queue(q, key)
	return nil
}

// queue sees to it that the deadline of a row will come. A row whose deadline has
// moved on stays where it is in the queue, and is put back when it is met there.
func (t rows) queue(q *queue, key string) {
	s := t[key]
	if s == nil || s.due == 0 || s.queued != 0 && s.queued <= s.due {
		return
	}
	s.queued = s.due
	heap.Push(q, wait{s.due, key})
}

func settled(row *confirm.Row) bool {
	switch row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING:
		return false
	case tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED,
		tallyv1.ConfirmRow_EXPIRED, tallyv1.ConfirmRow_ABANDONED:
	}
	return true
}

// A queue has the rows that wait for a deadline, the earliest first.
type queue []wait

type wait struct {
	at  int64
	key string
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push is for package heap.
func (q *queue) Push(x any) {
	if w, ok := x.(wait); ok {
		*q = append(*q, w)
	}
}

// Pop is for package heap.
func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = wait{}
	*q = old[:len(old)-1]
	return w
}

// take takes out the first row that may be due at now.
func (q *queue) take(now int64) (wait, bool) {
	if len(*q) == 0 || (*q)[0].at > now {
		return wait{}, false
	}
	first := (*q)[0]
	heap.Pop(q)
	return first, true
}
