package orders

import (
	"encoding/hex"
	"fmt"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Row is what is kept of one order.
type Row = tallyv1.OrderRow

// Rules are what a user can choose about the decision.
type Rules struct {
	// RepeatSpeech makes Step say again, under the same id, what it has said
	// about a command that comes again. It goes with at-least-once delivery.
	RepeatSpeech bool
}

// A Command is one input record, decoded.
//
//sumtype:decl
type Command interface {
	// asked returns what all commands have.
	asked() origin
}

// An origin says which command it is.
type origin struct {
	orderID string
	// id is as the record gave it, or derived; content follows from what is
	// asked for alone.
	id, content string
	// at is when it was asked, in microseconds since 1970.
	at int64
}

type (
	// Place asks to take an order in.
	Place struct {
		origin
		Order *tallyv1.PlaceOrder
	}
	// Cancel asks to take an order back.
	Cancel struct {
		origin
		Reason string
	}
)

func (o origin) asked() origin { return o }

// OfCommand returns the command that m holds. The time of the record counts if m
// has none. It returns nil if m holds no command, which no valid m does.
func OfCommand(m *tallyv1.OrderCommand, recorded time.Time) Command {
	o := origin{
		orderID: schemas.CommandOrderID(m), id: schemas.CommandID(m),
		content: schemas.CommandContentID(m), at: schemas.MetaAt(m.GetMeta(), recorded),
	}
	switch v := m.GetCommand().(type) {
	case *tallyv1.OrderCommand_PlaceOrder:
		return Place{o, v.PlaceOrder}
	case *tallyv1.OrderCommand_CancelOrder:
		return Cancel{o, v.CancelOrder.GetReason()}
	}
	return nil
}

// Step applies c to row and returns the next row and what is to be said, or nil.
// A nil row is an order that nobody placed. The row is not changed; if c changes
// nothing, row itself is returned.
func Step(rules Rules, row *Row, c Command) (*Row, *tallyv1.OrderEvent) {
	switch c := c.(type) {
	case Place:
		return place(rules, row, c)
	case Cancel:
		return cancel(rules, row, c)
	}
	return row, nil
}

func place(rules Rules, row *Row, c Place) (*Row, *tallyv1.OrderEvent) {
	if wrong := contradiction(c.Order); wrong != "" {
		return row, refused(c.origin, tallyv1.OrderRefused_INCONSISTENT, "PlaceOrder", wrong)
	}
	content, _ := hex.DecodeString(c.content)
	switch {
	case row == nil:
		row = &Row{Content: content, CommandId: c.id, AtUs: c.at}
		return row, placed(row, c)
	case string(row.GetContent()) != string(content):
		return row, refused(c.origin, tallyv1.OrderRefused_ID_TAKEN, "PlaceOrder",
			"an order with this id was placed with another content")
	case rules.RepeatSpeech:
		return row, placed(row, c)
	}
	return row, nil
}

func cancel(rules Rules, row *Row, c Cancel) (*Row, *tallyv1.OrderEvent) {
	switch {
	case row == nil:
		return nil, refused(c.origin, tallyv1.OrderRefused_ORDER_UNKNOWN, "CancelOrder",
			"no order with this id was placed")
	case row.GetCancel() == nil:
		next := &Row{
			Content: row.GetContent(), CommandId: row.GetCommandId(), AtUs: row.GetAtUs(),
			Cancel: &tallyv1.OrderRow_Cancel{CommandId: c.id, AtUs: c.at, Reason: c.Reason},
		}
		return next, cancelled(next, c)
	case row.GetCancel().GetReason() != c.Reason:
		note := "the order was cancelled already, without a reason"
		if first := row.GetCancel().GetReason(); first != "" {
			note = schemas.Reason("the order was cancelled already, because: " + first)
		}
		return row, refused(c.origin, tallyv1.OrderRefused_ALREADY_CANCELLED, "CancelOrder", note)
	case rules.RepeatSpeech:
		return row, cancelled(row, c)
	}
	return row, nil
}

// contradiction says how the lines of an order contradict its total, or nothing.
func contradiction(o *tallyv1.PlaceOrder) string {
	if len(o.GetLines()) == 0 {
		return ""
	}
	total := o.GetTotal()
	var sum int64
	for i, l := range o.GetLines() {
		if l.GetPrice().GetCurrency() != total.GetCurrency() {
			return fmt.Sprintf("line %d is in %s, the total in %s", i+1,
				l.GetPrice().GetCurrency(), total.GetCurrency())
		}
		// The codec has bounded the number of lines and what each costs.
		sum += l.GetQuantity() * l.GetPrice().GetMinor()
	}
	if sum != total.GetMinor() {
		return fmt.Sprintf("the lines add up to %d %s, the total is %d", sum, total.GetCurrency(),
			total.GetMinor())
	}
	return ""
}
