package validate

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Row is what has been found about one order so far.
type Row = tallyv1.ValidateRow

// Rules are what a user can choose about the decision.
type Rules struct {
	// RepeatSpeech makes Step say again, under the same id, what it has said,
	// whenever something comes again. It goes with at-least-once delivery, and
	// rows stay large with it.
	RepeatSpeech bool
}

// Step applies e to row and returns the next row and the decision, if it is due.
// A nil row is an order of which nothing is known. Neither row nor what it refers
// to is changed; if e changes nothing, row itself is returned.
func Step(rules Rules, row *Row, e Event) (*Row, *tallyv1.OrderEvent) {
	switch row.GetState() {
	case tallyv1.ValidateRow_CANCELLED:
		return row, nil
	case tallyv1.ValidateRow_VALIDATED, tallyv1.ValidateRow_REJECTED:
		_, cancel := e.(Cancelled)
		// Without the rule the row was cut down, and there is nothing to say it from.
		if rules.RepeatSpeech && !cancel && row.GetPlaced() != nil {
			return row, decision(row)
		}
		return row, nil
	case tallyv1.ValidateRow_OPEN:
	}
	next := &Row{
		Placed: row.GetPlaced(), Stock: row.GetStock(), Fraud: row.GetFraud(),
		Details: row.GetDetails(), Contact: row.GetContact(),
	}
	switch e := e.(type) {
	case Cancelled:
		return &Row{State: tallyv1.ValidateRow_CANCELLED}, nil
	case Placed:
		if next.Placed != nil {
			return row, nil
		}
		next.Placed = &tallyv1.ValidateRow_Placed{Order: e.Order, EventId: e.ID, AtUs: e.At}
	case Checked:
		kept := verdict(next, e.By)
		if kept == nil || *kept != nil {
			return row, nil
		}
		*kept = &tallyv1.ValidateRow_Verdict{
			Good: e.Reason == "", EventId: e.ID, AtUs: e.At,
			Reason: schemas.Cut(e.Reason, maxReason),
		}
		if e.Contact != nil {
			next.Contact = e.Contact
		}
	}
	if next.Placed == nil || next.Stock == nil || next.Fraud == nil || next.Details == nil {
		return next, nil
	}
	next.State = tallyv1.ValidateRow_VALIDATED
	if !next.Stock.Good || !next.Fraud.Good || !next.Details.Good {
		next.State = tallyv1.ValidateRow_REJECTED
	}
	said := decision(next)
	if !rules.RepeatSpeech {
		next = &Row{State: next.State}
	}
	return next, said
}

// maxReason is how much of a reason is kept, so that three of them fit the reason
// of a rejection.
const maxReason = (schemas.MaxReasonBytes - 2*len("; ")) / 3

// verdict returns where a row keeps what that service found.
func verdict(row *Row, by Service) **tallyv1.ValidateRow_Verdict {
	switch by {
	case Stock:
		return &row.Stock
	case Fraud:
		return &row.Fraud
	case Details:
		return &row.Details
	}
	return nil
}

// decision says how the order of a whole row was decided. It follows from what
// the row holds, whichever part of it came last.
func decision(row *Row) *tallyv1.OrderEvent {
	order := row.GetPlaced().GetOrder()
	at, causes := row.GetPlaced().GetAtUs(), []string{row.GetPlaced().GetEventId()}
	var reasons []string
	for _, v := range []*tallyv1.ValidateRow_Verdict{
		row.GetStock(), row.GetFraud(), row.GetDetails(),
	} {
		at, causes = max(at, v.GetAtUs()), append(causes, v.GetEventId())
		if !v.GetGood() {
			reasons = append(reasons, v.GetReason())
		}
	}
	if reasons == nil {
		return &tallyv1.OrderEvent{
			Meta: schemas.MetaOf(schemas.EventID("OrderValidated", order.GetOrderId()), at, causes...),
			Event: &tallyv1.OrderEvent_OrderValidated{OrderValidated: &tallyv1.OrderValidated{
				Order: order, Contact: row.GetContact(),
			}},
		}
	}
	return &tallyv1.OrderEvent{
		Meta: schemas.MetaOf(schemas.EventID("OrderRejected", order.GetOrderId()), at, causes...),
		Event: &tallyv1.OrderEvent_OrderRejected{OrderRejected: &tallyv1.OrderRejected{
			OrderId: order.GetOrderId(), Reason: schemas.Reason(reasons...),
		}},
	}
}
