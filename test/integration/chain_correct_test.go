package integration_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/schemas/tallyv1"
)

// correct adds what is taken back of an order's payments, and what an operator says
// of them. The order's number says what; the oracle knows what must become of it.
func (c *chain) correct(d *deal, i int, id string, total int64, now time.Time) {
	pay := payID(i, 0)
	later := func(payment string, r *kgo.Record) {
		d.later = append(d.later, afterwards{order: id, payment: payment, record: r})
	}
	switch i % 100 {
	case 3, 4, 5: // what came for an order that expired or was rejected
		later(pay, c.reverses(pay, id, now))
	case 17: // twice, and by both
		d.payments = append(d.payments, twice([]*kgo.Record{c.reverses(pay, id, now)})...)
		d.corrections = append(d.corrections, c.voids(pay, id, now))
		d.corrections = append(d.corrections, c.adjusts(pay+"-new", id, total, pay, now))
	case 20: // at once; whether before it is confirmed, nobody knows
		d.payments = append(d.payments, c.reverses(pay, id, now))
	case 21, 22: // before it came
		d.payments = slices.Insert(d.payments, 0, c.reverses(pay, id, now))
	case 23: // after the confirmation
		later(pay, c.reverses(pay, id, now))
	case 24:
		later(pay, c.voids(pay, id, now))
	case 25:
		d.corrections = append(d.corrections, c.voids(pay, id, now),
			c.adjusts(pay+"-new", id, total, pay, now))
	case 26:
		d.corrections = twice([]*kgo.Record{c.adjusts(pay+"-cash", id, total, "", now)})
	case 27: // in cash, too late: it is too much, and is taken out again
		later("", c.adjusts(pay+"-cash", id, total, "", now))
		later(pay+"-cash", c.voids(pay+"-cash", id, now))
	case 28: // a payment that never comes
		d.corrections = append(d.corrections, c.voids(pay+"-never", id, now))
	case 29: // for an order that never comes
		ghost := fmt.Sprintf("ghost-%06d", i)
		d.corrections = append(d.corrections, c.voids(pay+"-never", ghost, now),
			c.adjusts(pay+"-ghost", ghost, total, "", now))
	case 30: // the same, and nothing is left
		ghost := fmt.Sprintf("ghost-%06d", i)
		d.corrections = append(d.corrections, c.adjusts(pay+"-ghost", ghost, total, "", now),
			c.voids(pay+"-ghost", ghost, now))
	}
}

func (c *chain) reverses(id, order string, at time.Time) *kgo.Record {
	return c.record(c.topics.Payments, id, at, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: id, OrderId: order, Reason: "chargeback of " + id,
		}},
	})
}

func (c *chain) voids(id, order string, at time.Time) *kgo.Record {
	return c.record(c.prefix+"corrections", order, at, &tallyv1.CorrectionEvent{
		Meta: &tallyv1.Meta{Id: "void-" + id},
		Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: id, OrderId: order, Reason: id + " was booked wrongly", By: "olga",
		}},
	})
}

func (c *chain) adjusts(id, order string, minor int64, of string, at time.Time) *kgo.Record {
	return c.record(c.prefix+"corrections", order, at, &tallyv1.CorrectionEvent{
		Meta: &tallyv1.Meta{Id: "adjust-" + id},
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: id, OrderId: order, Amount: euros(minor), Replaces: of,
			Reason: "paid otherwise", By: "olga",
		}},
	})
}
