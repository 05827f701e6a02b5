package confirm

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func rowOrder(e Placed) schemas.RowOrder {
	o := schemas.RowOrder{
		CustomerID: e.Order.GetCustomerId(),
		Total:      e.Order.GetTotal().GetMinor(),
		Currency:   e.Order.GetTotal().GetCurrency(),
		EventID:    e.ID,
		At:         e.At,
	}
	if due := e.Order.GetDue(); due != nil {
		o.Due = micros(due)
	}
	if e.Contact != nil {
		o.ContactName, o.ContactEmail = e.Contact.GetName(), e.Contact.GetEmail()
	}
	return o
}

func rowPayment(e Received) schemas.RowPayment {
	p := schemas.RowPayment{
		PaymentID: e.Payment.GetPaymentId(),
		Amount:    e.Payment.GetAmount().GetMinor(),
		Currency:  e.Payment.GetAmount().GetCurrency(),
		Method:    e.Payment.GetMethod(),
		EventID:   e.ID,
		At:        e.At,
	}
	if e.Recorded != e.At {
		p.Recorded = e.Recorded
	}
	return p
}

// recordedAfter tells whether the record of a payment is of after a time.
func recordedAfter(p *schemas.RowPayment, at int64) bool {
	if p.Recorded != 0 {
		return p.Recorded > at
	}
	return p.At > at
}

// sameOrder tells whether two orders say the same. When and under which event
// id they were said does not matter.
func sameOrder(a, b *schemas.RowOrder) bool {
	return a.CustomerID == b.CustomerID && a.Total == b.Total &&
		a.Currency == b.Currency && a.Due == b.Due
}

// samePayment tells whether two payments of one id say the same.
func samePayment(a, b *schemas.RowPayment) bool {
	return a.Amount == b.Amount && a.Currency == b.Currency && a.Method == b.Method
}

// A Disposition is how a record, or a part of its money, ended.
type Disposition string

// The dispositions of orders. Those of payments are the fields of [Fate].
const (
	Pending   Disposition = "pending"
	Confirmed Disposition = "confirmed"
	Cancelled Disposition = "cancelled"
	Rejected  Disposition = "rejected"
	Expired   Disposition = "expired"
)

// A Fate is how the money of one payment ended, in minor units of its currency.
// The parts add up to the amount.
type Fate struct {
	// PaymentID is empty if all that is left of the payment is a digest.
	PaymentID  string
	Currency   string
	Amount     int64
	Confirmed  int64
	Pending    int64
	Excess     int64
	Mismatched int64
	// Unmatched is what came for an order that was cancelled or rejected, or that
	// never came.
	Unmatched int64
	// Expired is what had come in for an order that expired.
	Expired int64
	// Late is what came after that.
	Late     int64
	Reversed int64
	// ReversedLate tells that the payment was reversed after its fate had been
	// stated. The parts stay what was stated.
	ReversedLate bool
}

// Dispositions returns how the order of a row ended, which is nothing if it has
// not come and was not ended either, and the fate of each of its payments in the
// order of their arrival. A reversal whose payment has not come is left out.
func Dispositions(row *Row) (Disposition, []Fate) {
	if row == nil {
		return "", nil
	}
	fates := make([]Fate, 0, len(row.Payments))
	if row.Digest != nil {
		for k := range row.Digest.Payments {
			if p := wholeAgain("", &row.Digest.Payments[k]); p.Currency != "" {
				fates = append(fates, fate(&p))
			}
		}
	}
	for i := range row.Payments {
		if p := &row.Payments[i]; p.Currency != "" {
			fates = append(fates, fate(p))
		}
	}
	switch row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_ABANDONED:
	case tallyv1.ConfirmRow_PENDING:
		return Pending, fates
	case tallyv1.ConfirmRow_CONFIRMED:
		return Confirmed, fates
	case tallyv1.ConfirmRow_CANCELLED:
		return Cancelled, fates
	case tallyv1.ConfirmRow_REJECTED:
		return Rejected, fates
	case tallyv1.ConfirmRow_EXPIRED:
		return Expired, fates
	}
	return "", fates
}

// FateOf returns the fate of one payment of a row, also of one of which only the
// digest is left, and whether the row has it.
func FateOf(row *Row, paymentID string) (Fate, bool) {
	if row == nil {
		return Fate{}, false
	}
	for i := range row.Payments {
		if p := &row.Payments[i]; p.PaymentID == paymentID {
			return fate(p), p.Currency != ""
		}
	}
	if row.Digest != nil {
		if k := cutIndex(row.Digest, paymentID); k >= 0 {
			p := wholeAgain(paymentID, &row.Digest.Payments[k])
			return fate(&p), p.Currency != ""
		}
	}
	return Fate{}, false
}

func fate(p *schemas.RowPayment) Fate {
	f := Fate{
		PaymentID: p.PaymentID, Currency: p.Currency, Amount: p.Amount,
		ReversedLate: p.ReversedLate,
	}
	switch p.Disposition {
	case tallyv1.ConfirmRow_WAITING:
		f.Pending = p.Amount
	case tallyv1.ConfirmRow_COUNTED:
		f.Confirmed, f.Excess = p.Confirmed, p.Amount-p.Confirmed
	case tallyv1.ConfirmRow_EXCESS:
		f.Excess = p.Amount
	case tallyv1.ConfirmRow_MISMATCHED:
		f.Mismatched = p.Amount
	case tallyv1.ConfirmRow_UNMATCHED, tallyv1.ConfirmRow_UNKNOWN:
		f.Unmatched = p.Amount
	case tallyv1.ConfirmRow_RETURNED:
		f.Expired = p.Amount
	case tallyv1.ConfirmRow_LATE:
		f.Late = p.Amount
	case tallyv1.ConfirmRow_REVERSED:
		f.Reversed = p.Amount
	}
	return f
}
