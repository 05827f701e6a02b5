package inventory

import (
	"errors"
	"fmt"

	"tallystick/schemas/tallyv1"
)

// StockRow is the stock of one product.
type StockRow = tallyv1.StockRow

// ErrNotReserved means that more is to be released or handed out than is
// reserved. It cannot be as long as the inner topics are written by this service
// alone and each record is delivered once. To go on would make the stock wrong in
// silence.
var ErrNotReserved = errors.New("inventory: more is given back than is reserved")

// StepStock applies e to row and returns the next row, and the answer to what was
// asked, or nil. A nil row is a product of which there is nothing. Row is not
// changed; if e changes nothing, row itself is returned. All events of one row
// must be about the same product.
//
// No number in a row is ever below 0. What is on hand and what was shipped is
// together what was added, as far as no count says otherwise.
func StepStock(row *StockRow, e StockEvent) (*StockRow, *tallyv1.StockReplyEvent, error) {
	old := stock{row.GetOnHand(), row.GetReserved(), row.GetOwed(), row.GetShipped()}
	s := old
	var reply *tallyv1.StockReplyEvent
	switch e := e.(type) {
	case Added:
		s.onHand += e.Quantity
		s.handOut()
	case Counted:
		s.onHand = e.Quantity
		s.handOut()
	case Reserve:
		granted := s.onHand-s.reserved >= e.Quantity
		if granted {
			s.reserved += e.Quantity
		}
		reply = sayReply(e, granted)
	case Release:
		if err := s.kept(e.Line); err != nil {
			return row, nil, err
		}
		s.reserved -= e.Quantity
	case Ship:
		if err := s.kept(e.Line); err != nil {
			return row, nil, err
		}
		s.owed += e.Quantity
		s.handOut()
	}
	if s == old {
		return row, reply, nil
	}
	return &StockRow{
		OnHand: s.onHand, Reserved: s.reserved, Owed: s.owed, Shipped: s.shipped,
	}, reply, nil
}

// A stock is a row that can be changed.
type stock struct{ onHand, reserved, owed, shipped int64 }

// handOut hands out what is owed, as far as there is something to hand out.
func (s *stock) handOut() {
	n := min(s.onHand, s.owed)
	s.onHand -= n
	s.reserved -= n
	s.owed -= n
	s.shipped += n
}

// kept tells whether so much is kept for orders, leaving aside what is owed.
func (s *stock) kept(l Line) error {
	if kept := s.reserved - s.owed; l.Quantity > kept {
		return fmt.Errorf("%w: %d of product %q for order %q, where %d are reserved",
			ErrNotReserved, l.Quantity, l.ProductID, l.OrderID, kept)
	}
	return nil
}
