package confirm

import (
	"slices"
	"strconv"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A settled row is cut down to hashes and amounts, from 116 bytes to 64 for a plain
// order with one payment (BenchmarkDigest), and no text that somebody wrote is left.
// What comes again is known by them. A new payment is mistaken for one of n in the
// digest with a probability of n/2^64. One that comes again with the same amount
// but another method passes for the same with 2^-32, an order with the same total
// but another customer or due time with 2^-64.

// isCut tells whether nothing of the row is whole any more.
func isCut(row *Row) bool {
	if row.Digest == nil || row.Placed || len(row.Payments) > 0 {
		return false
	}
	switch row.State {
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
		return row.Digest.Ended
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING,
		tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_ABANDONED:
	}
	return true
}

// cut returns the row with all that is whole put into its digest.
func cut(row *Row, deadline int64) Row {
	d := &schemas.RowDigest{}
	if row.Digest != nil {
		d.Placed, d.Order = row.Digest.Placed, row.Digest.Order
		d.Payments = row.Digest.Payments
	}
	if row.Placed {
		d.Placed, d.Order = true, orderDigest(&row.Order)
	}
	switch row.State {
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
		d.Ended = true
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING,
		tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_ABANDONED:
	}
	d.Payments = slices.Grow(slices.Clone(d.Payments), len(row.Payments))
	for i := range row.Payments {
		d.Payments = append(d.Payments, paymentDigest(&row.Payments[i]))
	}
	return Row{
		State: row.State, CancelRefused: row.CancelRefused, Digest: d, Deadline: deadline,
	}
}

func orderDigest(o *schemas.RowOrder) schemas.RowOrderDigest {
	return schemas.RowOrderDigest{
		Total: o.Total, Currency: o.Currency,
		Rest: schemas.RowHash("order", o.CustomerID, strconv.FormatInt(o.Due, 10)),
	}
}

func paymentDigest(p *schemas.RowPayment) schemas.RowPaymentDigest {
	return schemas.RowPaymentDigest{
		ID: paymentHash(p.PaymentID), Amount: p.Amount, Currency: p.Currency,
		Method: methodHash(p.Method), Disposition: p.Disposition, Confirmed: p.Confirmed,
		ReversedLate: p.ReversedLate,
	}
}

func paymentHash(id string) uint64 { return schemas.RowHash("payment", id) }

func methodHash(method string) uint32 {
	if method == "" {
		return 0
	}
	return max(uint32(schemas.RowHash("method", method)), 1)
}

// findCut returns the index of a payment in the digest, or -1.
func (s *step) findCut(paymentID string) int {
	if s.row.Digest == nil {
		return -1
	}
	return cutIndex(s.row.Digest, paymentID)
}

func cutIndex(d *schemas.RowDigest, paymentID string) int {
	id := paymentHash(paymentID)
	for k := range d.Payments {
		if d.Payments[k].ID == id {
			return k
		}
	}
	return -1
}

// receivedCut meets a payment that is in the digest at index k.
func (s *step) receivedCut(k int, p *schemas.RowPayment) {
	first, again := s.row.Digest.Payments[k], paymentDigest(p)
	switch {
	case first.Currency == "": // its reversal overtook it
		again.Disposition = tallyv1.ConfirmRow_REVERSED
		s.ownDigest().Payments[k] = again
	case first.Amount != again.Amount || first.Currency != again.Currency ||
		first.Method != again.Method:
		w := wholeAgain(p.PaymentID, &first)
		s.sayPaymentConflicted(&w, p, false)
	}
}

// reversedCut meets the reversal of a payment that is in the digest at index k.
func (s *step) reversedCut(k int, e Reversed) {
	p := s.row.Digest.Payments[k]
	if p.Disposition == tallyv1.ConfirmRow_REVERSED || p.ReversedLate && !s.rules.RepeatSpeech {
		return
	}
	w := wholeAgain(e.Payment.GetPaymentId(), &p)
	s.sayReversed(&w, e, false)
	if !p.ReversedLate {
		s.ownDigest().Payments[k].ReversedLate = true
	}
}

// wholeAgain is as much of a payment as its digest tells.
func wholeAgain(id string, d *schemas.RowPaymentDigest) schemas.RowPayment {
	return schemas.RowPayment{
		PaymentID: id, Amount: d.Amount, Currency: d.Currency,
		Disposition: d.Disposition, Confirmed: d.Confirmed, ReversedLate: d.ReversedLate,
	}
}

// ownDigest notes that the event changes the digest, and makes it free to be
// changed.
func (s *step) ownDigest() *schemas.RowDigest {
	s.taken = true
	if !s.ownedDigest {
		s.ownedDigest = true
		d := *s.row.Digest
		d.Payments = slices.Clone(d.Payments)
		s.row.Digest = &d
	}
	return s.row.Digest
}
