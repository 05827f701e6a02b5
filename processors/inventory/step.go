package inventory

import (
	"slices"

	"tallystick/schemas/tallyv1"
)

// Row is all that is known of the stock for one order.
type Row = tallyv1.InventoryRow

// Outcomes are what Step says.
type Outcomes struct {
	// Check is what was found about the order, or nil.
	Check *tallyv1.OrderCheckEvent
	// Commands are what is asked of the stock of products, in the order of the
	// order's lines.
	Commands []*tallyv1.StockCommand
}

// Step applies e to row and returns the next row and what is to be said. A nil
// row is an order of which nothing is known. Neither row nor what it refers to
// is changed; if e changes nothing, row itself is returned. All events of one
// row must be about the same order.
//
// Over all events of an order, Step says exactly one check once the order was
// placed and all products have answered, and for each product one [Reserve], and
// after it at most one of [Release] and [Ship], and only if it was granted.
func Step(row *Row, e Event) (*Row, Outcomes) {
	s := step{old: row, orderID: e.about()}
	switch e := e.(type) {
	case Placed:
		s.placed(e)
	case Replied:
		s.replied(e)
	case Decided:
		s.decided(e)
	}
	if s.next == nil {
		return row, s.out
	}
	return s.next, s.out
}

// A step is the application of one event. What is read is the old row, which may
// be nil; what is written is the next one, which is nil until own.
type step struct {
	orderID string
	old     *Row
	next    *Row
	out     Outcomes
}

// placed asks for the stock of all products of the order.
func (s *step) placed(e Placed) {
	if s.old != nil && s.old.GetState() != tallyv1.InventoryRow_AWAITING_ORDER {
		return
	}
	s.own(e.At)
	s.next.State = tallyv1.InventoryRow_RESERVING
	s.next.PlacedId = e.ID
	if s.next.GetEnding() == tallyv1.InventoryRow_ENDED {
		s.refuse(nil)
		return
	}
	s.next.Lines = linesOf(e.Order)
	if len(s.next.GetLines()) == 0 {
		s.decide()
		return
	}
	for _, l := range s.next.GetLines() {
		s.ask(reserve, l, e.ID)
	}
}

// linesOf sums the lines of each product.
func linesOf(o *tallyv1.OrderPlaced) []*tallyv1.InventoryRow_Line {
	var lines []*tallyv1.InventoryRow_Line
	index := make(map[string]int, len(o.GetLines()))
	for _, l := range o.GetLines() {
		i, ok := index[l.GetProductId()]
		if !ok {
			i = len(lines)
			index[l.GetProductId()] = i
			lines = append(lines, &tallyv1.InventoryRow_Line{ProductId: l.GetProductId()})
		}
		lines[i].Quantity += l.GetQuantity()
	}
	return lines
}

// replied takes the answer of one product in, and decides on the last one. What
// was not asked, or has been answered, is left aside.
func (s *step) replied(e Replied) {
	if s.old.GetState() != tallyv1.InventoryRow_RESERVING {
		return
	}
	i := slices.IndexFunc(s.old.GetLines(), func(l *tallyv1.InventoryRow_Line) bool {
		return l.GetProductId() == e.ProductID && l.GetQuantity() == e.Quantity &&
			l.GetAnswer() == tallyv1.InventoryRow_AWAITED
	})
	if i < 0 {
		return
	}
	s.own(e.At)
	answer := tallyv1.InventoryRow_DENIED
	if e.Granted {
		answer = tallyv1.InventoryRow_GRANTED
	}
	s.next.Lines[i] = &tallyv1.InventoryRow_Line{
		ProductId: e.ProductID, Quantity: e.Quantity, Answer: answer,
	}
	if !slices.ContainsFunc(s.next.GetLines(), func(l *tallyv1.InventoryRow_Line) bool {
		return l.GetAnswer() == tallyv1.InventoryRow_AWAITED
	}) {
		s.decide()
	}
}

// decide says what came of it when all products have answered.
func (s *step) decide() {
	var denied []*tallyv1.InventoryRow_Line
	for _, l := range s.next.GetLines() {
		if l.GetAnswer() == tallyv1.InventoryRow_DENIED {
			denied = append(denied, l)
		}
	}
	if len(denied) > 0 || s.next.GetEnding() == tallyv1.InventoryRow_ENDED {
		s.refuse(denied)
		return
	}
	s.next.State = tallyv1.InventoryRow_RESERVED
	s.sayReserved()
	if s.next.GetEnding() == tallyv1.InventoryRow_CONFIRMED {
		s.finish(tallyv1.InventoryRow_SHIPPED, ship, s.next.GetEndingId())
	}
}

// refuse gives back what was granted, and says what lacked.
func (s *step) refuse(denied []*tallyv1.InventoryRow_Line) {
	id := s.sayShort(denied)
	s.finish(tallyv1.InventoryRow_REFUSED, release, id)
}

// decided hands out or gives back what is reserved. What is not reserved yet
// waits for the answers, and an order that has not come is remembered. The first
// decision counts, and none does that comes after the stock's own.
func (s *step) decided(e Decided) {
	ending := tallyv1.InventoryRow_ENDED
	if e.Confirmed {
		ending = tallyv1.InventoryRow_CONFIRMED
	}
	switch s.old.GetState() {
	case tallyv1.InventoryRow_AWAITING_ORDER, tallyv1.InventoryRow_RESERVING:
		if s.old.GetEnding() == tallyv1.InventoryRow_NONE {
			s.own(e.At)
			s.next.Ending, s.next.EndingId = ending, e.ID
		}
	case tallyv1.InventoryRow_RESERVED:
		s.own(e.At)
		if e.Confirmed {
			s.finish(tallyv1.InventoryRow_SHIPPED, ship, e.ID)
		} else {
			s.finish(tallyv1.InventoryRow_RELEASED, release, e.ID)
		}
	case tallyv1.InventoryRow_SHIPPED, tallyv1.InventoryRow_RELEASED,
		tallyv1.InventoryRow_REFUSED:
	}
}

// finish asks the same of each line that was granted, because of the event of
// that id, and leaves nothing in the row but how it ended.
func (s *step) finish(state tallyv1.InventoryRow_State, what command, cause string) {
	for _, l := range s.next.GetLines() {
		if l.GetAnswer() == tallyv1.InventoryRow_GRANTED {
			s.ask(what, l, cause)
		}
	}
	s.next = &Row{State: state}
}

// own makes the next row, which is the old one until it is written.
func (s *step) own(at int64) {
	s.next = &Row{
		State:    s.old.GetState(),
		Ending:   s.old.GetEnding(),
		EndingId: s.old.GetEndingId(),
		AtUs:     max(s.old.GetAtUs(), at),
		PlacedId: s.old.GetPlacedId(),
		Lines:    slices.Clone(s.old.GetLines()),
	}
}
