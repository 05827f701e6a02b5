package views

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// Row is all that is shown of one order.
type Row = tallyv1.OrderView

// The limits of what one row keeps. What goes beyond them is counted.
const (
	// MaxPlaces is how many records of one topic a row knows the places of.
	MaxPlaces = 1000
	// MaxPayments, MaxCorrections and MaxRefunds are how many of these it lists.
	MaxPayments    = 1000
	MaxCorrections = 100
	MaxRefunds     = 1000
)

// An Event is one record about an order, decoded.
type Event struct {
	Topic  tallyv1.OrderView_Topic
	Offset int64
	// Kind is the field number of the event or command in its envelope.
	Kind uint32
	// Recorded is the record's timestamp, At when it happened, in microseconds
	// since 1970.
	Recorded, At int64
	// Said is the envelope.
	Said proto.Message
}

// Step takes e into row, which it changes and returns, and tells whether there was
// anything to take in: a record that the row has already changes nothing. A nil row
// is an order of which nothing is known.
//
// Records of one topic come in the order of their offsets, those of several topics
// in any order: the row is the same in the end.
func Step(row *Row, e Event) (*Row, bool) {
	if row == nil {
		row = &Row{}
	}
	if !place(row, e) {
		return row, false
	}
	if row.FirstUs == 0 || e.Recorded < row.GetFirstUs() {
		row.FirstUs = e.Recorded
	}
	row.LastUs = max(row.GetLastUs(), e.Recorded)
	switch m := e.Said.(type) {
	case *tallyv1.OrderCommand:
		command(row, m, e.At)
	case *tallyv1.OrderEvent:
		order(row, m, e.At)
	case *tallyv1.OrderCheckEvent:
		check(row, m)
	case *tallyv1.PaymentEvent:
		payment(row, m, e.At)
	case *tallyv1.CorrectionEvent:
		correction(row, m, e.At)
	case *tallyv1.ConfirmationEvent:
		first(&row.Confirmed, e.At, "")
	case *tallyv1.ExceptionEvent:
		exception(row, m, e.At)
	case *tallyv1.NoticeEvent:
		notice(row, m, e.At)
	}
	row.State = state(row)
	return row, true
}

// state follows from what was said, whatever was said first. Confirm decides how an
// order ends; what others said counts until it has.
func state(row *Row) tallyv1.OrderView_State {
	switch {
	case row.GetConfirmed() != nil:
		return tallyv1.OrderView_CONFIRMED
	case row.GetExpired() != nil:
		return tallyv1.OrderView_EXPIRED
	case row.GetWithdrawn() != nil && row.GetWithdrawnByRejection(), row.GetRejected() != nil &&
		row.GetWithdrawn() == nil && row.GetCancelled() == nil:
		return tallyv1.OrderView_REJECTED
	case row.GetWithdrawn() != nil, row.GetCancelled() != nil:
		return tallyv1.OrderView_CANCELLED
	case row.GetValidated() != nil:
		return tallyv1.OrderView_VALIDATED
	case row.GetPlaced() != nil:
		return tallyv1.OrderView_PLACED
	case row.GetAsks() > row.GetRefusals():
		return tallyv1.OrderView_ASKED
	case row.GetRefusals() > 0 && row.GetAsked() != nil:
		return tallyv1.OrderView_REFUSED
	case row.GetAbandoned() != nil:
		return tallyv1.OrderView_ABANDONED
	case row.GetCancelRefused() != nil && len(row.GetPayments()) == 0 &&
		len(row.GetCorrections()) == 0:
		return tallyv1.OrderView_REFUSED // somebody took back what was never there
	}
	return tallyv1.OrderView_AWAITING_ORDER
}

// first makes a mark of what was said, unless it was said before.
func first(to **tallyv1.OrderView_Mark, at int64, reason string) {
	if *to == nil {
		*to = &tallyv1.OrderView_Mark{AtUs: at, Reason: reason}
	}
}

// earliest makes a mark of what several topics may say.
func earliest(to **tallyv1.OrderView_Mark, at int64, reason string) {
	was := *to
	if was == nil || at < was.GetAtUs() || at == was.GetAtUs() && reason < was.GetReason() {
		*to = &tallyv1.OrderView_Mark{AtUs: at, Reason: reason}
	}
}

func command(row *Row, m *tallyv1.OrderCommand, at int64) {
	if o := m.GetPlaceOrder(); o != nil {
		row.Asks++
		row.Asked = orderOf(o, at)
	}
}

// placing is what the command and the event have in common.
type placing interface {
	GetCustomerId() string
	GetTotal() *tallyv1.Money
	GetDue() *timestamp
}

func orderOf(o placing, at int64) *tallyv1.OrderView_Order {
	return &tallyv1.OrderView_Order{
		CustomerId: o.GetCustomerId(), Total: o.GetTotal().GetMinor(),
		Currency: o.GetTotal().GetCurrency(), DueUs: micros(o.GetDue()), AtUs: at,
	}
}

func order(row *Row, m *tallyv1.OrderEvent, at int64) {
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		if row.Placed == nil {
			row.Placed = orderOf(v.OrderPlaced, at)
		}
	case *tallyv1.OrderEvent_OrderValidated:
		first(&row.Validated, at, "")
	case *tallyv1.OrderEvent_OrderCancelled:
		first(&row.Cancelled, at, v.OrderCancelled.GetReason())
	case *tallyv1.OrderEvent_OrderRejected:
		first(&row.Rejected, at, v.OrderRejected.GetReason())
	case *tallyv1.OrderEvent_OrderRefused:
		why := v.OrderRefused.GetReason().String()
		if note := v.OrderRefused.GetNote(); note != "" {
			why += ": " + note
		}
		if v.OrderRefused.GetCommand() != "PlaceOrder" {
			earliest(&row.CancelRefused, at, why)
			return
		}
		row.Refusals++
		row.Refused = &tallyv1.OrderView_Mark{AtUs: at, Reason: why}
	}
}

func check(row *Row, m *tallyv1.OrderCheckEvent) {
	find := func(to *tallyv1.OrderView_Verdict, v tallyv1.OrderView_Verdict) {
		if *to == tallyv1.OrderView_NONE {
			*to = v
		}
	}
	switch m.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		find(&row.Stock, tallyv1.OrderView_GOOD)
	case *tallyv1.OrderCheckEvent_StockShort:
		find(&row.Stock, tallyv1.OrderView_BAD)
	case *tallyv1.OrderCheckEvent_FraudCleared:
		find(&row.Fraud, tallyv1.OrderView_GOOD)
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		find(&row.Fraud, tallyv1.OrderView_BAD)
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		find(&row.Details, tallyv1.OrderView_GOOD)
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		find(&row.Details, tallyv1.OrderView_BAD)
	}
}

func exception(row *Row, m *tallyv1.ExceptionEvent, at int64) {
	switch v := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_OrderExpired:
		first(&row.Expired, at, "")
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		if row.Withdrawn == nil {
			row.WithdrawnByRejection = v.OrderWithdrawn.GetRejection()
		}
		first(&row.Withdrawn, at, v.OrderWithdrawn.GetReason())
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		earliest(&row.CancelRefused, at, v.OrderCancelRefused.GetReason())
	case *tallyv1.ExceptionEvent_PaymentUnmatched:
		if v.PaymentUnmatched.GetReason() == tallyv1.PaymentUnmatched_ORDER_UNKNOWN {
			first(&row.Abandoned, at, "")
		}
	case *tallyv1.ExceptionEvent_RefundOwed:
		refund(row, v.RefundOwed, at)
	}
}

// notice keeps the last that was said of each way to tell the customer.
func notice(row *Row, m *tallyv1.NoticeEvent, at int64) {
	n := &tallyv1.OrderView_Notice{AtUs: at}
	switch v := m.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		n.Channel, n.Attempts = v.ConfirmationSent.GetChannel(), v.ConfirmationSent.GetAttempts()
		n.Outcome = tallyv1.OrderView_Notice_SENT
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		n.Channel, n.Attempts = v.ConfirmationBounced.GetChannel(), v.ConfirmationBounced.GetAttempts()
		n.Outcome = tallyv1.OrderView_Notice_BOUNCED
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		u := v.ConfirmationUnresolved
		n.Channel, n.Attempts = u.GetChannel(), u.GetAttempts()
		n.Outcome = tallyv1.OrderView_Notice_UNRESOLVED
	}
	i := slices.IndexFunc(row.GetNotices(), func(was *tallyv1.OrderView_Notice) bool {
		return was.GetChannel() == n.GetChannel()
	})
	if i < 0 {
		row.Notices = append(row.Notices, n)
		return
	}
	row.Notices[i] = n
}
