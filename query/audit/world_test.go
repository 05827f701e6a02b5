package audit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/query/audit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A world is one partition of every topic, as a worker without faults leaves
// it: the inputs are merged in the order in which they are sent.
type world struct {
	t                         testing.TB
	orders, payments          []*kgo.Record
	corrections               []*kgo.Record
	confirmations, exceptions []*kgo.Record
	table, dead               []*kgo.Record
	rows                      map[string]*confirm.Row
	rules                     confirm.Rules
	sequence                  []done // what came in, in its order
}

// A done is a record, or a timer under a key.
type done struct {
	record  *kgo.Record
	refused bool
	timer   string
	at      int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, rows: map[string]*confirm.Row{}}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func add(log *[]*kgo.Record, topic, key string, value []byte) *kgo.Record {
	r := &kgo.Record{
		Topic: topic, Key: []byte(key), Value: value, Offset: int64(len(*log)),
		Timestamp: time.Unix(int64(len(*log)), 0),
	}
	*log = append(*log, r)
	return r
}

// step does what the worker does with one event.
func (w *world) step(key string, e confirm.Event) {
	next, out := confirm.Step(w.rules, w.rows[key], e)
	if next == nil && w.rows[key] != nil {
		add(&w.table, "table", key, nil)
		delete(w.rows, key)
	} else if next != w.rows[key] {
		value, err := schemas.ConfirmRows.Marshal(next)
		w.must(err)
		add(&w.table, "table", key, value)
		w.rows[key] = next
	}
	if out.Confirmed != nil {
		value, err := schemas.Confirmations.Marshal(out.Confirmed)
		w.must(err)
		add(&w.confirmations, "confirmations", key, value)
	}
	for _, x := range out.Exceptions {
		value, err := schemas.Exceptions.Marshal(x)
		w.must(err)
		add(&w.exceptions, "exceptions", key, value)
	}
}

func (w *world) order(key string, e *tallyv1.OrderEvent) {
	value, err := schemas.Orders.Marshal(e)
	w.must(err)
	r := add(&w.orders, "orders", key, value)
	w.sequence = append(w.sequence, done{record: r})
	w.step(key, confirm.OfOrder(e, confirm.ClockOf(r.Timestamp, time.Time{})))
}

func (w *world) payment(key string, e *tallyv1.PaymentEvent) {
	value, err := schemas.Payments.Marshal(e)
	w.must(err)
	r := add(&w.payments, "payments", key, value)
	w.sequence = append(w.sequence, done{record: r})
	w.step(key, confirm.OfPayment(e, confirm.ClockOf(r.Timestamp, time.Time{})))
}

func (w *world) correction(key string, e *tallyv1.CorrectionEvent) {
	e.Meta = &tallyv1.Meta{Id: fmt.Sprintf("c%d", len(w.corrections))}
	value, err := schemas.Corrections.Marshal(e)
	w.must(err)
	r := add(&w.corrections, "corrections", key, value)
	w.sequence = append(w.sequence, done{record: r})
	w.step(key, confirm.OfCorrection(e, confirm.ClockOf(r.Timestamp, time.Time{})))
}

func (w *world) void(key, id string) {
	w.correction(key, &tallyv1.CorrectionEvent{Event: &tallyv1.CorrectionEvent_PaymentVoided{
		PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: id, OrderId: key, Reason: "wrong", By: "ann",
		},
	}})
}

func (w *world) adjust(key, id string, minor int64, currency string) {
	w.correction(key, &tallyv1.CorrectionEvent{Event: &tallyv1.CorrectionEvent_PaymentAdjusted{
		PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: id, OrderId: key, Amount: schemas.Money(minor, currency),
			Reason: "wrong", By: "ann",
		},
	}})
}

func (w *world) place(key string, minor int64) {
	w.order(key, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
		OrderPlaced: &tallyv1.OrderPlaced{OrderId: key, Total: schemas.Money(minor, "EUR")},
	}})
}

func (w *world) cancel(key string) {
	w.order(key, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
		OrderCancelled: &tallyv1.OrderCancelled{OrderId: key, Reason: "no"},
	}})
}

func (w *world) pay(key, id string, minor int64, currency string) {
	w.payment(key, &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: key, Amount: schemas.Money(minor, currency),
		},
	}})
}

func (w *world) reverse(key, id string) {
	w.payment(key, &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReversed{
		PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: key},
	}})
}

// bad sends a record that goes to the dead letters.
func (w *world) bad(key, value string) {
	r := add(&w.payments, "payments", key, []byte(value))
	w.sequence = append(w.sequence, done{record: r, refused: true})
	w.bury(r, "malformed")
}

// lapse lets the deadline of a row come.
func (w *world) lapse(key string) {
	at := w.rows[key].Deadline
	w.sequence = append(w.sequence, done{timer: key, at: at})
	w.step(key, confirm.Lapsed{OrderID: key, At: at})
}

func (w *world) bury(r *kgo.Record, class string) {
	d := add(&w.dead, "dead", string(r.Key), r.Value)
	for _, h := range [][2]string{
		{"topic", r.Topic},
		{"partition", "0"},
		{"offset", fmt.Sprint(r.Offset)},
		{"group", "g"},
		{"class", class},
		{"reason", "because"},
	} {
		d.Headers = append(d.Headers, kgo.RecordHeader{Key: "tally." + h[0], Value: []byte(h[1])})
	}
}

// inputs are the records that came in and are still in their topics.
func (w *world) inputs() []*kgo.Record {
	return slices.Concat(w.orders, w.payments, w.corrections)
}

// audit audits the world.
func (w *world) audit(repeats bool) *audit.Report {
	w.t.Helper()
	s := w.shard(repeats)
	for _, r := range w.confirmations {
		s.Confirmation(r)
	}
	for _, r := range w.exceptions {
		s.Exception(r)
	}
	for _, r := range w.table {
		s.Row(r)
	}
	return s.Whole()
}

// shard is an audit that has taken in what came in.
func (w *world) shard(repeats bool) *audit.Shard {
	w.t.Helper()
	letters := audit.DeadLetters{}
	for _, r := range w.dead {
		w.must(letters.Add(r, "g"))
	}
	rules := w.rules
	rules.RepeatSpeech = repeats
	s := audit.NewShard(topics, letters, rules)
	for _, d := range w.sequence {
		switch {
		case d.record == nil:
			s.Timer(d.timer, d.at, 0)
		case !slices.Contains(w.inputs(), d.record):
		case d.refused:
			s.Refused(d.record)
		default:
			s.Input(d.record, 0)
		}
	}
	return s
}
