package generate

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/cmd/tally/app/source"
	"tallystick/schemas/tallyv1"
)

// chainOrder sends everything that has to do with the nth order.
func (c *Chain) chainOrder(n int, placed time.Time) {
	f := c.draw(n)
	c.counts.tally(f)
	last := n >= c.co.Orders-c.tail()
	id := fmt.Sprintf("o%d-%06d", c.co.Seed, n+1)
	place := c.place(id, f, placed)
	placeRecord := c.command(id, placed, &tallyv1.OrderCommand{
		Meta:    &tallyv1.Meta{At: stamp(placed)},
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: place},
	})
	due := placed.Add(c.co.Due)
	payments := c.payFor(n, f, place, placed, due)
	if f == fateCancelled {
		c.cancel(id, placed)
	}
	if last {
		return
	}
	c.chainMishaps(n, place, placeRecord, payments, placed)
}

// command sends a command.
func (c *Chain) command(id string, at time.Time, m *tallyv1.OrderCommand) source.Record {
	c.counts.Commands++
	return c.sendMessage(source.Command, id, at, m, spreadUsual)
}

// place is what is asked for, as the fate wants it.
func (c *Chain) place(id string, f fate, placed time.Time) *tallyv1.PlaceOrder {
	currency := c.currency()
	place := &tallyv1.PlaceOrder{
		OrderId: id, CustomerId: c.customer(f == fateClosed), Due: stamp(placed.Add(c.co.Due)),
	}
	var total int64
	first := rareProducts + discontinuedProducts
	taken := map[int]bool{}
	for range 1 + c.random.IntN(4) {
		i := first + c.random.IntN(len(c.products)-first)
		if taken[i] {
			continue
		}
		taken[i] = true
		total += c.line(place, c.products[i], 1+c.random.Int64N(3), currency)
	}
	switch f {
	case fateDiscontinued:
		i := rareProducts + c.random.IntN(discontinuedProducts)
		total += c.line(place, c.products[i], 1, currency)
	case fateShort:
		total += c.line(place, c.products[c.random.IntN(rareProducts)], 5, currency)
	case fateSuspicious:
		p := c.products[first]
		p.price = suspiciousMinor
		p.id = c.products[len(c.products)-1].id
		total += c.line(place, p, 1, currency)
	case fateRefused:
		total++
	case fatePending:
		place.Due = stamp(placed.Add(7 * 24 * time.Hour))
	}
	place.Total = &tallyv1.Money{Minor: proto.Int64(total), Currency: currency}
	return place
}

// suspiciousMinor is a price that no honest customer of these shops pays.
const suspiciousMinor = 50_000_000

// line adds a line to an order and returns what it costs.
func (c *Chain) line(o *tallyv1.PlaceOrder, p product, quantity int64, currency string) int64 {
	o.Lines = append(o.Lines, &tallyv1.Line{
		ProductId: p.id, Quantity: quantity,
		Price: &tallyv1.Money{Minor: proto.Int64(p.price), Currency: currency},
	})
	return p.price * quantity
}

// customer picks a customer, one with a closed account if asked for.
func (c *Chain) customer(closed bool) string {
	for {
		if who := c.customers[c.random.IntN(len(c.customers))]; who.closed == closed {
			return who.id
		}
	}
}

// payFor sends the payments that come for an order.
func (c *Chain) payFor(
	n int, f fate, o *tallyv1.PlaceOrder, placed, due time.Time,
) []source.Record {
	total := o.GetTotal().GetMinor()
	var amounts []int64
	switch f {
	case fateUnpaid, fatePending:
	case fatePartial:
		amounts = []int64{max(1, total/3)}
	case fateClosed, fateDiscontinued, fateShort, fateSuspicious, fateRefused:
		if c.chance(0.3) { // who pays at once does not know that the order is rejected
			amounts = []int64{total}
		}
	case fatePaid:
		amounts = c.chainAmounts(total)
	default:
		amounts = []int64{total}
	}
	var payments []source.Record
	for k, amount := range amounts {
		at := placed.Add(2*time.Second + time.Duration(c.random.Int64N(int64(paidWithin))))
		if f == fateLate {
			at = due.Add(5*time.Second + time.Duration(c.random.Int64N(int64(meanwhile/2))))
		}
		id := fmt.Sprintf("p%d-%06d-%d", c.co.Seed, n+1, k+1)
		payments = append(payments, c.pay(id, o.GetOrderId(), amount, o.GetTotal().GetCurrency(), at))
	}
	return payments
}

// chainAmounts are the payments of an order that is paid.
func (c *Chain) chainAmounts(total int64) []int64 {
	amounts := []int64{total}
	if total > 10 && c.chance(c.co.Mix.Split) {
		amounts = c.split(total, 2+c.random.IntN(3))
	}
	if c.chance(c.co.Mix.Excess) {
		amounts[len(amounts)-1] += 1 + c.random.Int64N(2000)
	}
	return amounts
}

// pay sends one payment, keyed by its own id.
func (c *Chain) pay(
	id, order string, minor int64, currency string, at time.Time,
) source.Record {
	r := source.Record{Kind: source.Payment, Key: []byte(id), At: at}
	r.Payment = &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{At: stamp(at)},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: order,
			Amount: &tallyv1.Money{Minor: proto.Int64(minor), Currency: currency}, Method: c.method(),
		}},
	}
	c.send(r, spreadUsual)
	c.made.Payments++
	c.made.Minor[currency] += minor
	return r
}

// cancel sends the customer's second thoughts: before the payment or after it.
func (c *Chain) cancel(id string, placed time.Time) {
	at := placed.Add(spreadUsual + 500*time.Millisecond)
	if c.chance(0.5) {
		at = placed.Add(meanwhile / 2)
	}
	c.command(id, at, &tallyv1.OrderCommand{
		Meta: &tallyv1.Meta{At: stamp(at)},
		Command: &tallyv1.OrderCommand_CancelOrder{
			CancelOrder: &tallyv1.CancelOrder{OrderId: id, Reason: "changed their mind"},
		},
	})
}

// chainMishaps sends what goes wrong around an order.
func (c *Chain) chainMishaps(n int, o *tallyv1.PlaceOrder, place source.Record,
	payments []source.Record, placed time.Time,
) {
	mix, total := c.co.Mix, o.GetTotal()
	if c.chance(mix.Duplicates) {
		again := place
		if pick := c.random.IntN(len(payments) + 1); pick > 0 {
			again = payments[pick-1]
		} else {
			c.counts.Commands++
		}
		c.send(again, meanwhile/2)
		c.made.Duplicates++
	}
	later := placed.Add(meanwhile / 2)
	id := func(suffix string) string { return fmt.Sprintf("p%d-%06d-%s", c.co.Seed, n+1, suffix) }
	if c.chance(mix.Orphans) {
		c.pay(id("x"), fmt.Sprintf("o%d-x%06d", c.co.Seed, n+1), total.GetMinor(),
			total.GetCurrency(), later)
	}
	if c.chance(mix.Mismatched) {
		c.pay(id("m"), o.GetOrderId(), total.GetMinor(), "CHF", later)
	}
	if c.chance(mix.Reversed) && len(payments) > 0 {
		c.reverse(payments[c.random.IntN(len(payments))])
	}
	if c.chance(mix.Reversed) { // one that goes back before anything is decided by it
		early := c.pay(id("r"), o.GetOrderId(), 1, total.GetCurrency(), placed.Add(time.Second))
		c.reverse(early)
	}
	if c.chance(mix.Invalid) {
		c.chainInvalid(o.GetOrderId(), id("bad"), placed)
	}
}

// reverse takes a payment back, soon or late.
func (c *Chain) reverse(payment source.Record) {
	paid := payment.Payment.GetPaymentReceived()
	at := payment.At.Add(time.Second + time.Duration(c.random.Int64N(int64(meanwhile/2))))
	r := source.Record{Kind: source.Payment, Key: payment.Key, At: at}
	r.Payment = &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{At: stamp(at)},
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: paid.GetPaymentId(), OrderId: paid.GetOrderId(), Reason: "chargeback",
		}},
	}
	c.send(r, spreadUsual)
	c.made.Reversed++
}

// chainInvalid sends a record that no codec accepts, or that lies about its key.
func (c *Chain) chainInvalid(order, payment string, at time.Time) {
	r := source.Record{Kind: source.Payment, Key: []byte(payment), At: at}
	body := func(id, minor, currency string) []byte {
		return fmt.Appendf(nil, `{"paymentReceived":{"paymentId":%q,"orderId":%q,`+
			`"amount":{"minor":%s,"currency":%q}}}`, id, order, minor, currency)
	}
	switch c.random.IntN(6) {
	case 0:
		r.Raw = []byte(`{"paymentReceived":{"paymentId":`)
	case 1:
		r.Raw = body("somebody-else", `"100"`, "EUR")
	case 2:
		r.Raw = body(payment, `"-100"`, "EUR")
	case 3:
		r.Raw = body(payment, `"100"`, "XXZ")
	case 4:
		r.Kind, r.Key = source.Command, []byte(order+"-bad")
		r.Raw = []byte(`{"placeOrder":{"orderId":"` + order + `-bad"}}`)
	default:
		r.Raw = make([]byte, 1+c.random.IntN(64))
		for i := range r.Raw {
			r.Raw[i] = byte(0xf0 | c.random.IntN(16))
		}
	}
	c.send(r, spreadUsual)
	c.made.Invalid++
}
