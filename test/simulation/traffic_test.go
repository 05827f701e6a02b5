package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// The size of the traffic of one run.
const (
	span       = time.Hour
	orderCount = 600
	burstCount = 30
)

// What a fact can be.
const (
	placed    = "placed"
	cancelled = "cancelled"
	rejected  = "rejected"
	received  = "received"
	reversed  = "reversed"
	poison    = "poison"
)

// A fact is one input record: what it says in plain values, which is all that
// the oracle knows of it, and the record itself. Its place is known once it has
// been sent.
type fact struct {
	kind     string
	order    string
	payment  string
	customer string
	minor    int64
	currency string
	reason   string

	at         time.Duration
	topic      string
	key, value []byte

	partition int32
	offset    int64
}

// A script is the traffic of one seed in the making.
type script struct {
	rng    *rand.Rand
	names  topology.Names
	bursts []time.Duration
	facts  []*fact
}

// traffic returns the facts of a seed in the order of their sending.
func traffic(seed int64, names topology.Names) []*fact {
	s := &script{rng: newChance(seed).draw("traffic"), names: names}
	for range burstCount {
		s.bursts = append(s.bursts, s.within(0, span))
	}
	for i := range orderCount {
		s.tell(fmt.Sprintf("order-%d-%d", seed, i))
	}
	s.poison()
	slices.SortStableFunc(s.facts, func(a, b *fact) int { return int(a.at - b.at) })
	return s.facts
}

func (s *script) within(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// percent is true n times in a hundred.
func (s *script) percent(n int) bool { return s.rng.IntN(100) < n }

// when draws a moment: half of the traffic comes in bursts.
func (s *script) when() time.Duration {
	if s.percent(50) {
		return s.within(0, span)
	}
	return s.bursts[s.rng.IntN(len(s.bursts))] + s.within(0, 300*time.Millisecond)
}

// near draws a moment not far from another, before or after it.
func (s *script) near(at time.Duration) time.Duration {
	switch {
	case s.percent(40):
		return at + s.within(-50*time.Millisecond, 300*time.Millisecond)
	case s.percent(50):
		return at + s.within(-time.Minute, 5*time.Minute)
	}
	return s.when()
}

// tell adds all that happens to one order.
func (s *script) tell(id string) {
	total := int64(1 + s.rng.IntN(20_000))
	if s.percent(3) {
		total = 0
	}
	at := s.when()
	order := fact{
		kind: placed, order: id, customer: fmt.Sprintf("customer-%d", s.rng.IntN(50)),
		minor: total, currency: "EUR", at: at,
	}
	if !s.percent(2) { // else a payment without an order
		s.add(order)
	}
	if s.percent(3) {
		order.at = s.near(at)
		if s.percent(30) {
			order.minor++ // another order under the same id
		}
		s.add(order)
	}
	for i, minor := range s.amounts(total) {
		s.pay(id, i, minor, at)
	}
	if s.percent(4) {
		end := fact{kind: cancelled, order: id, reason: "changed my mind", at: s.near(at)}
		if s.percent(30) {
			end.kind = rejected
		}
		s.add(end)
	}
}

// amounts are the payments for an order, not always what it asks for.
func (s *script) amounts(total int64) []int64 {
	var out []int64
	switch draw := s.rng.IntN(100); {
	case draw < 5: // unpaid
		return nil
	case draw < 12: // too little
		return []int64{total / 2}
	case draw < 18: // too much at once
		return []int64{total + int64(s.rng.IntN(500))}
	case draw < 22: // one payment too many
		out = []int64{total, int64(s.rng.IntN(500))}
	case draw < 40: // in parts
		rest := total
		for range 1 + s.rng.IntN(3) {
			part := s.rng.Int64N(rest + 1)
			out, rest = append(out, part), rest-part
		}
		out = append(out, rest)
	default:
		out = []int64{total}
	}
	return out
}

// pay adds a payment and what may become of it.
func (s *script) pay(id string, i int, minor int64, at time.Duration) {
	p := fact{
		kind: received, order: id, payment: fmt.Sprintf("%s/p%d", id, i),
		minor: minor, currency: "EUR", at: s.near(at),
	}
	if s.percent(4) {
		p.currency = "USD"
	}
	s.add(p)
	if s.percent(4) {
		again := p
		again.at = s.near(p.at)
		if s.percent(20) {
			again.minor++ // another payment under the same id
		}
		s.add(again)
	}
	if s.percent(4) {
		s.add(fact{
			kind: reversed, order: id, payment: p.payment, reason: "charged back", at: s.near(p.at),
		})
	}
}

// add encodes a fact, as Protobuf or as JSON.
func (s *script) add(f fact) {
	f.at = min(max(f.at, 0), span)
	f.key = []byte(f.order)
	meta := &tallyv1.Meta{}
	var m proto.Message
	switch f.kind {
	case placed:
		f.topic = s.names.Orders
		m = &tallyv1.OrderEvent{Meta: meta, Event: &tallyv1.OrderEvent_OrderPlaced{
			OrderPlaced: &tallyv1.OrderPlaced{
				OrderId: f.order, CustomerId: f.customer, Total: schemas.Money(f.minor, f.currency),
			},
		}}
	case cancelled:
		f.topic = s.names.Orders
		m = &tallyv1.OrderEvent{Meta: meta, Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: f.order, Reason: f.reason},
		}}
	case rejected:
		f.topic = s.names.Orders
		m = &tallyv1.OrderEvent{Meta: meta, Event: &tallyv1.OrderEvent_OrderRejected{
			OrderRejected: &tallyv1.OrderRejected{OrderId: f.order, Reason: f.reason},
		}}
	case received:
		f.topic = s.names.Payments
		m = &tallyv1.PaymentEvent{Meta: meta, Event: &tallyv1.PaymentEvent_PaymentReceived{
			PaymentReceived: &tallyv1.PaymentReceived{
				PaymentId: f.payment, OrderId: f.order, Amount: schemas.Money(f.minor, f.currency),
			},
		}}
	case reversed:
		f.topic = s.names.Payments
		m = &tallyv1.PaymentEvent{Meta: meta, Event: &tallyv1.PaymentEvent_PaymentReversed{
			PaymentReversed: &tallyv1.PaymentReversed{
				PaymentId: f.payment, OrderId: f.order, Reason: f.reason,
			},
		}}
	}
	if s.percent(50) {
		meta.Id = fmt.Sprintf("event-%d", len(s.facts))
	}
	var err error
	if s.percent(30) {
		f.value, err = protojson.Marshal(m)
	} else {
		f.value, err = proto.Marshal(m)
	}
	if err != nil {
		panic(err) // the messages above can be written
	}
	s.facts = append(s.facts, &f)
}

// poison adds records that can't be processed.
func (s *script) poison() {
	json := func(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }
	const payment = `{"payment_received":{"payment_id":"bad","order_id":"bad","amount":` +
		`{"minor":%s,"currency":%q}}}`
	for _, p := range []struct {
		topic      string
		key, value []byte
	}{
		{s.names.Orders, []byte("bad"), json(`{"order_placed":`)},
		{s.names.Orders, []byte("bad"), []byte{}},
		{s.names.Orders, []byte("bad"), nil},
		{s.names.Orders, nil, json(`{"order_placed":{"order_id":"bad"}}`)},
		{s.names.Orders, []byte("worse"), json(`{"order_cancelled":{"order_id":"bad"}}`)},
		{s.names.Orders, []byte("bad"), []byte{0xff, 0x00, 0x17, 0x80}},
		{s.names.Payments, []byte("bad"), json(payment, `"-1"`, "EUR")},
		{s.names.Payments, []byte("bad"), json(payment, `"99999999999999999"`, "EUR")},
		{s.names.Payments, []byte("bad"), json(payment, `"1"`, "XYZ")},
		{s.names.Payments, []byte("bad"), json(`{}`)},
	} {
		s.facts = append(s.facts, &fact{
			kind: poison, at: s.when(), topic: p.topic, key: p.key, value: p.value,
		})
	}
}
