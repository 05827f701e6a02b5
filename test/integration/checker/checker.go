package checker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/schemas/tallyv1"
)

// Topics are where to look.
type Topics struct{ Orders, Payments, Confirmations, Exceptions, DeadLetters string }

// A Result is what was counted.
type Result struct {
	Records  int // of orders and payments
	Orders   int // different ones
	Payments int // different ones
	Repeats  int // records of orders and payments that came again
	Covered  int // orders whose payments cover the total
	// Confirmed is how many confirmations there are.
	Confirmed int
	// Minor units, by currency.
	Received, ConfirmedMinor, Excess map[string]int64
	Dead                             []DeadLetter
	// Wrong is what is not as it must be, in words.
	Wrong []string
}

// A DeadLetter is one record that could not be processed.
type DeadLetter struct {
	Topic, Partition, Offset string // where it came from
	Reason, Class            string
	Key, Value               []byte
}

// Place is where the record came from.
func (d DeadLetter) Place() string { return d.Topic + "/" + d.Partition + "@" + d.Offset }

// maxWrong bounds what a result spells out.
const maxWrong = 20

type counter struct {
	Result
	topics Topics
	dead   map[string]int
	orders map[string]*order
	ids    map[string]int // of what was said
}

// order is all that came in and went out under one order's id.
type order struct {
	placed        *tallyv1.OrderPlaced
	partition     int32
	payments      map[string]*tallyv1.Money
	confirmations int
	shares        int64
	excess        int64
	mismatches    int
	refunds       map[string]int64 // by currency
}

// Check reads everything and counts.
func Check(ctx context.Context, brokers []string, topics Topics) (*Result, error) {
	c := &counter{
		Result: Result{
			Received: map[string]int64{}, ConfirmedMinor: map[string]int64{}, Excess: map[string]int64{},
		},
		topics: topics, dead: map[string]int{}, orders: map[string]*order{}, ids: map[string]int{},
	}
	for _, pass := range []struct {
		topic string
		note  func(*kgo.Record)
	}{
		{topics.DeadLetters, c.deadLetter},
		{topics.Orders, c.input},
		{topics.Payments, c.input},
		{topics.Confirmations, c.confirmation},
		{topics.Exceptions, c.exception},
	} {
		if err := read(ctx, brokers, pass.topic, pass.note); err != nil {
			return nil, err
		}
	}
	c.judge()
	return &c.Result, nil
}

func (c *counter) wrong(format string, args ...any) {
	if len(c.Wrong) < maxWrong {
		c.Wrong = append(c.Wrong, fmt.Sprintf(format, args...))
	}
}

func (c *counter) order(id string) *order {
	o := c.orders[id]
	if o == nil {
		o = &order{
			payments: map[string]*tallyv1.Money{}, partition: -1, refunds: map[string]int64{},
		}
		c.orders[id] = o
	}
	return o
}

func at(r *kgo.Record) string { return fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) }

func (c *counter) deadLetter(r *kgo.Record) {
	d := DeadLetter{
		Topic: header(r, "tally.topic"), Partition: header(r, "tally.partition"),
		Offset: header(r, "tally.offset"), Reason: header(r, "tally.reason"),
		Class: header(r, "tally.class"), Key: r.Key, Value: r.Value,
	}
	c.Dead = append(c.Dead, d)
	if c.dead[d.Place()]++; c.dead[d.Place()] == 2 {
		c.wrong("%s is in the dead letters more than once", d.Place())
	}
	if d.Reason == "" || d.Class == "" {
		c.wrong("dead letter %s gives no reason or no class", d.Place())
	}
}

func (c *counter) input(r *kgo.Record) {
	c.Records++
	if c.dead[at(r)] > 0 {
		return
	}
	if r.Topic == c.topics.Orders {
		var e tallyv1.OrderEvent
		if err := decode(r.Value, &e); err != nil || e.GetOrderPlaced() == nil {
			c.wrong("%s: no order, and not in the dead letters: %v", at(r), err)
			return
		}
		c.placed(r, e.GetOrderPlaced())
		return
	}
	var e tallyv1.PaymentEvent
	if err := decode(r.Value, &e); err != nil || e.GetPaymentReceived() == nil {
		c.wrong("%s: no payment, and not in the dead letters: %v", at(r), err)
		return
	}
	c.paid(r, e.GetPaymentReceived())
}

func (c *counter) placed(r *kgo.Record, p *tallyv1.OrderPlaced) {
	o := c.order(p.OrderId)
	if o.placed != nil {
		c.Repeats++
		if o.placed.Total.GetMinor() != p.Total.GetMinor() {
			c.wrong("%s: order %s came again with another total", at(r), p.OrderId)
		}
		return
	}
	o.placed, o.partition = p, r.Partition
	c.Orders++
}

func (c *counter) paid(r *kgo.Record, p *tallyv1.PaymentReceived) {
	o := c.order(p.OrderId)
	if o.payments[p.PaymentId] != nil {
		c.Repeats++
		if o.payments[p.PaymentId].GetMinor() != p.Amount.GetMinor() {
			c.wrong("%s: payment %s came again with another amount", at(r), p.PaymentId)
		}
		return
	}
	o.payments[p.PaymentId] = p.Amount
	c.Payments++
	c.Received[p.Amount.GetCurrency()] += p.Amount.GetMinor()
}

// said notes the id of an event that was written.
func (c *counter) said(r *kgo.Record, meta *tallyv1.Meta) {
	id := meta.GetId()
	if id == "" {
		c.wrong("%s: an event without id", at(r))
	} else {
		c.ids[id]++
	}
}

func (c *counter) confirmation(r *kgo.Record) {
	var e tallyv1.ConfirmationEvent
	if err := decode(r.Value, &e); err != nil || e.GetOrderConfirmed() == nil {
		c.wrong("%s: no confirmation: %v", at(r), err)
		return
	}
	c.said(r, e.Meta)
	c.Confirmed++
	said := e.GetOrderConfirmed()
	o := c.order(said.OrderId)
	o.confirmations++
	if string(r.Key) != said.OrderId || o.partition >= 0 && r.Partition != o.partition {
		c.wrong("%s: %s is confirmed under key %q, its order is in partition %d",
			at(r), said.OrderId, r.Key, o.partition)
	}
	if o.placed.GetTotal().GetMinor() != said.Total.GetMinor() ||
		o.placed.GetTotal().GetCurrency() != said.Total.GetCurrency() {
		c.wrong("%s: %s is confirmed over %v, its total is %v", at(r), said.OrderId, said.Total,
			o.placed.GetTotal())
	}
	c.ConfirmedMinor[said.Total.GetCurrency()] += said.Total.GetMinor()
	for _, share := range said.Payments {
		paid, ok := o.payments[share.PaymentId]
		if !ok || share.Minor > paid.GetMinor() || paid.GetCurrency() != said.Total.GetCurrency() {
			c.wrong("%s: %s counts %d of payment %s, which brought %v", at(r), said.OrderId,
				share.Minor, share.PaymentId, paid)
		}
		o.shares += share.Minor
	}
}

func (c *counter) exception(r *kgo.Record) {
	var e tallyv1.ExceptionEvent
	if err := decode(r.Value, &e); err != nil {
		c.wrong("%s: no exception: %v", at(r), err)
		return
	}
	c.said(r, e.Meta)
	switch v := e.Event.(type) {
	case *tallyv1.ExceptionEvent_PaymentExcess:
		o := c.order(v.PaymentExcess.OrderId)
		o.excess += v.PaymentExcess.Excess.GetMinor()
		c.Excess[v.PaymentExcess.Excess.GetCurrency()] += v.PaymentExcess.Excess.GetMinor()
	case *tallyv1.ExceptionEvent_PaymentMismatch:
		c.order(v.PaymentMismatch.OrderId).mismatches++
	case *tallyv1.ExceptionEvent_RefundOwed:
		owed := v.RefundOwed.GetAmount()
		c.order(v.RefundOwed.OrderId).refunds[owed.GetCurrency()] += owed.GetMinor()
	default:
		c.wrong("%s: %T of key %q is not to be expected", at(r), v, r.Key)
	}
}

// judge holds what was said against what came in, order by order.
func (c *counter) judge() {
	for _, id := range slices.Sorted(maps.Keys(c.orders)) {
		o := c.orders[id]
		total, paid, foreign, covered := o.sums()
		want := 0
		if covered {
			c.Covered++
			want = 1
		}
		if o.confirmations != want {
			c.wrong("order %s is confirmed %d times, want %d: total %d, paid %d", id, o.confirmations,
				want, total, paid)
		}
		if covered && o.confirmations == 1 && o.shares != total {
			c.wrong("order %s of %d is confirmed by shares of %d", id, total, o.shares)
		}
		if excess := paid - total; covered && o.excess != excess || !covered && o.excess != 0 {
			c.wrong("order %s has an excess of %d: total %d, paid %d", id, o.excess, total, paid)
		}
		if o.placed != nil && o.mismatches != foreign {
			c.wrong("order %s has %d mismatches, want %d", id, o.mismatches, foreign)
		}
		if owed := o.owed(); !maps.Equal(o.refunds, owed) {
			c.wrong("order %s has refunds of %v, want %v", id, o.refunds, owed)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.ids)) {
		if c.ids[id] > 1 {
			c.wrong("event %s was written %d times", id, c.ids[id])
		}
	}
}

// owed adds up, by currency, what has to go back.
func (o *order) owed() map[string]int64 {
	owed := map[string]int64{}
	if o.placed == nil {
		return owed
	}
	total := o.placed.GetTotal()
	for _, amount := range o.payments {
		owed[amount.GetCurrency()] += amount.GetMinor()
	}
	owed[total.GetCurrency()] = max(owed[total.GetCurrency()]-total.GetMinor(), 0)
	maps.DeleteFunc(owed, func(_ string, minor int64) bool { return minor == 0 })
	return owed
}

// sums adds up what was paid in the order's currency, and counts what was not.
func (o *order) sums() (total, paid int64, foreign int, covered bool) {
	total = o.placed.GetTotal().GetMinor()
	for _, amount := range o.payments {
		if amount.GetCurrency() == o.placed.GetTotal().GetCurrency() {
			paid += amount.GetMinor()
		} else {
			foreign++
		}
	}
	return total, paid, foreign, o.placed != nil && paid >= total
}
