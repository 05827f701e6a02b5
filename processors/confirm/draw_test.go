package confirm_test

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A record is an event with the message it came in.
type record struct {
	event confirm.Event
	text  string
}

func (r record) String() string { return r.text }

func orderRecord(m *tallyv1.OrderEvent, recorded time.Time) record {
	b, _ := schemas.Orders.JSON(m)
	return record{confirm.OfOrder(m, confirm.ClockOf(recorded, time.Time{})), string(b)}
}

func paymentRecord(m *tallyv1.PaymentEvent, recorded time.Time) record {
	b, _ := schemas.Payments.JSON(m)
	return record{confirm.OfPayment(m, confirm.ClockOf(recorded, time.Time{})), string(b)}
}

func correctionRecord(m *tallyv1.CorrectionEvent, recorded time.Time) record {
	b, _ := schemas.Corrections.JSON(m)
	return record{confirm.OfCorrection(m, confirm.ClockOf(recorded, time.Time{})), string(b)}
}

// drawMeta draws a meta with or without an id and a time.
func drawMeta(t *rapid.T) *tallyv1.Meta {
	m := &tallyv1.Meta{}
	if rapid.Bool().Draw(t, "with id") {
		m.Id = fmt.Sprintf("e%d", rapid.IntRange(1, 1000).Draw(t, "id"))
	}
	if rapid.Bool().Draw(t, "with time") {
		m.At = timestamppb.New(drawTime(t))
	}
	return m
}

func drawTime(t *rapid.T) time.Time {
	return time.UnixMicro(rapid.Int64Range(0, 5000).Draw(t, "µs"))
}

func drawMoney(t *rapid.T) *tallyv1.Money {
	return schemas.Money(rapid.Int64Range(0, 6).Draw(t, "minor"),
		rapid.SampledFrom([]string{"EUR", "EUR", "EUR", "USD"}).Draw(t, "currency"))
}

func drawPlaced(t *rapid.T) record {
	return orderRecord(&tallyv1.OrderEvent{
		Meta: drawMeta(t),
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", Total: drawMoney(t),
			CustomerId: rapid.SampledFrom([]string{"", "", "ann"}).Draw(t, "customer"),
		}},
	}, drawTime(t))
}

func drawEnded(t *rapid.T) record {
	m := &tallyv1.OrderEvent{Meta: drawMeta(t)}
	reason := rapid.SampledFrom([]string{"", "r"}).Draw(t, "reason")
	if rapid.Bool().Draw(t, "rejection") {
		m.Event = &tallyv1.OrderEvent_OrderRejected{
			OrderRejected: &tallyv1.OrderRejected{OrderId: "o1", Reason: reason},
		}
	} else {
		m.Event = &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1", Reason: reason},
		}
	}
	return orderRecord(m, drawTime(t))
}

func drawPaymentID(t *rapid.T) string {
	return fmt.Sprintf("p%d", rapid.IntRange(1, 6).Draw(t, "payment"))
}

func drawReceived(t *rapid.T) record {
	return paymentRecord(&tallyv1.PaymentEvent{
		Meta: drawMeta(t),
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: drawPaymentID(t), OrderId: "o1", Amount: drawMoney(t),
			Method: rapid.SampledFrom([]string{"", "", "card"}).Draw(t, "method"),
		}},
	}, drawTime(t))
}

func drawReversed(t *rapid.T) record {
	return paymentRecord(&tallyv1.PaymentEvent{
		Meta: drawMeta(t),
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: drawPaymentID(t), OrderId: "o1",
		}},
	}, drawTime(t))
}

// drawCorrection draws a correction, which always has an id.
func drawCorrection(t *rapid.T) *tallyv1.CorrectionEvent {
	m := drawMeta(t)
	m.Id = fmt.Sprintf("c%d", rapid.IntRange(1, 1000).Draw(t, "correction"))
	return &tallyv1.CorrectionEvent{Meta: m}
}

func drawVoided(t *rapid.T) record {
	m := drawCorrection(t)
	m.Event = &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
		PaymentId: drawPaymentID(t), OrderId: "o1", Reason: "r", By: "ann",
	}}
	return correctionRecord(m, drawTime(t))
}

// drawAdjusted draws money that is adjusted under an id that a payment may have too.
func drawAdjusted(t *rapid.T) record {
	m := drawCorrection(t)
	m.Event = &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
		PaymentId: drawPaymentID(t), OrderId: "o1", Amount: drawMoney(t), Reason: "r", By: "ann",
		Replaces: "p0",
	}}
	return correctionRecord(m, drawTime(t))
}

// drawLog draws up to n records, each by one of the kinds, some of them twice.
func drawLog(t *rapid.T, label string, n int, kinds ...func(*rapid.T) record) []record {
	var log []record
	for range rapid.IntRange(0, n).Draw(t, label) {
		if len(log) > 0 && rapid.IntRange(0, 5).Draw(t, "again") == 0 {
			log = append(log, rapid.SampledFrom(log).Draw(t, "record"))
			continue
		}
		log = append(log, rapid.SampledFrom(kinds).Draw(t, "kind")(t))
	}
	return log
}

// drawMerge draws an interleaving of two logs.
func drawMerge(t *rapid.T, a, b []record) []record {
	var log []record
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && rapid.Bool().Draw(t, "first") {
			log, a = append(log, a[0]), a[1:]
		} else {
			log, b = append(log, b[0]), b[1:]
		}
	}
	return log
}

// drawWhole draws a log of everything that can come.
func drawWhole(t *rapid.T) []record {
	return drawMerge(t, drawLog(t, "corrections", 3, drawVoided, drawAdjusted), drawMerge(t,
		drawLog(t, "orders", 4, drawPlaced, drawPlaced, drawEnded),
		drawLog(t, "payments", 10, drawReceived, drawReceived, drawReceived, drawReversed)))
}
