package generate

import (
	"fmt"
	"time"

	"tallystick/cmd/tally/app/source"
	"tallystick/schemas/tallyv1"
)

// Spreads of the arrival of records after their time. An order in a hundred is
// so late that its payment overtakes it even when the customer took a minute.
const (
	spreadUsual = 3 * time.Second
	spreadLate  = 3 * time.Minute
	paidWithin  = 90 * time.Second
)

// order sends everything that has to do with the nth order.
func (g *Generator) order(n int, placed time.Time) {
	id := fmt.Sprintf("o%d-%06d", g.o.Seed, n+1)
	minor, currency := 100+g.random.Int64N(50_000), g.currency()
	total := &tallyv1.Money{Minor: new(minor), Currency: currency}
	order := source.Record{Kind: source.Order, Key: []byte(id), At: placed, Order: &tallyv1.OrderEvent{
		Meta: &tallyv1.Meta{At: stamp(placed)},
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId:    id,
			CustomerId: fmt.Sprintf("c-%04d", g.random.IntN(5000)),
			Total:      total,
			Due:        stamp(placed.Add(14 * 24 * time.Hour)),
		}},
	}}
	spread := spreadUsual
	if g.chance(0.25) {
		spread = spreadLate
	}
	g.send(order, spread)
	g.made.Orders++

	amounts := g.amounts(minor)
	payments := make([]source.Record, 0, len(amounts))
	var paid int64
	for k, amount := range amounts {
		at := placed.Add(time.Second + time.Duration(g.random.Int64N(int64(paidWithin))))
		p := g.payment(fmt.Sprintf("p%d-%06d-%d", g.o.Seed, n+1, k+1), id, amount, currency, at)
		payments = append(payments, p)
		paid += amount
	}
	g.made.tell(paid, minor)
	g.mishaps(n, id, total, order, payments, placed)
}

// tell counts an order of which paid was paid.
func (c *Counts) tell(paid, total int64) {
	if paid >= total {
		c.Covered++
	}
	if paid > total {
		c.Excess++
	}
}

// amounts are the payments that come for an order of the given total.
func (g *Generator) amounts(total int64) []int64 {
	mix := g.o.Mix
	switch dice := g.random.Float64(); {
	case dice < mix.Unpaid:
		return nil
	case dice < mix.Unpaid+mix.Partial:
		return []int64{1 + g.random.Int64N(total-1)}
	}
	amounts := []int64{total}
	if g.chance(mix.Split) {
		amounts = g.split(total, 2+g.random.IntN(3))
	}
	if g.chance(mix.Excess) {
		amounts[len(amounts)-1] += 1 + g.random.Int64N(2000)
	}
	return amounts
}

// split cuts total into parts, each above zero.
func (g *Generator) split(total int64, parts int) []int64 {
	var amounts []int64
	for left := parts - 1; left > 0; left-- {
		part := 1 + g.random.Int64N(max(1, (total-int64(left))/int64(left+1)*2))
		part = min(part, total-int64(left))
		amounts = append(amounts, part)
		total -= part
	}
	return append(amounts, total)
}

// payment sends one payment.
func (g *Generator) payment(
	id, order string, minor int64, currency string, at time.Time,
) source.Record {
	r := source.Record{Kind: source.Payment, Key: []byte(order), At: at}
	r.Payment = &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{At: stamp(at)},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id,
			OrderId:   order,
			Amount:    &tallyv1.Money{Minor: new(minor), Currency: currency},
			Method:    g.method(),
		}},
	}
	g.send(r, spreadUsual)
	g.made.Payments++
	g.made.Minor[currency] += minor
	return r
}

// mishaps sends what goes wrong around an order.
func (g *Generator) mishaps(n int, id string, total *tallyv1.Money, order source.Record,
	payments []source.Record, placed time.Time,
) {
	mix := g.o.Mix
	if g.chance(mix.Duplicates) {
		again := order
		if pick := g.random.IntN(len(payments) + 1); pick > 0 {
			again = payments[pick-1]
		}
		g.send(again, spreadLate)
		g.made.Duplicates++
	}
	later := placed.Add(time.Minute)
	if g.chance(mix.Orphans) {
		g.payment(fmt.Sprintf("p%d-%06d-x", g.o.Seed, n+1), fmt.Sprintf("o%d-x%06d", g.o.Seed, n+1),
			total.GetMinor(), total.Currency, later)
	}
	if g.chance(mix.Mismatched) {
		g.payment(fmt.Sprintf("p%d-%06d-m", g.o.Seed, n+1), id, total.GetMinor(), "CHF", later)
	}
	if g.chance(mix.Cancelled) {
		g.send(source.Record{Kind: source.Order, Key: []byte(id), At: later, Order: &tallyv1.OrderEvent{
			Meta: &tallyv1.Meta{At: stamp(later)},
			Event: &tallyv1.OrderEvent_OrderCancelled{
				OrderCancelled: &tallyv1.OrderCancelled{OrderId: id, Reason: "changed their mind"},
			},
		}}, spreadLate)
		g.made.Cancelled++
	}
	if g.chance(mix.Reversed) && len(payments) > 0 {
		paid := payments[g.random.IntN(len(payments))].Payment.GetPaymentReceived()
		back := source.Record{Kind: source.Payment, Key: []byte(id), At: later}
		back.Payment = &tallyv1.PaymentEvent{
			Meta: &tallyv1.Meta{At: stamp(later)},
			Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
				PaymentId: paid.PaymentId, OrderId: id, Reason: "chargeback",
			}},
		}
		g.send(back, spreadLate)
		g.made.Reversed++
	}
	if g.chance(mix.Invalid) {
		g.invalid(id, placed)
	}
}

// invalid sends a record that no codec accepts, or that lies about its key.
func (g *Generator) invalid(id string, at time.Time) {
	r := source.Record{Kind: source.Payment, Key: []byte(id), At: at}
	body := func(order, minor, currency string) []byte {
		return fmt.Appendf(nil, `{"paymentReceived":{"paymentId":"bad-%s","orderId":%q,`+
			`"amount":{"minor":%s,"currency":%q}}}`, id, order, minor, currency)
	}
	switch g.random.IntN(8) {
	case 0:
		r.Raw = []byte(`{"paymentReceived":{"paymentId":`)
	case 1:
		r.Raw = []byte{}
	case 2:
		r.Raw = body("somebody-else", `"100"`, "EUR")
	case 3:
		r.Raw = body(id, `"-100"`, "EUR")
	case 4:
		r.Raw = body(id, `"100"`, "XXZ")
	case 5:
		r.Raw = body(id, `"99999999999999999999"`, "EUR")
	case 6:
		r.Raw = []byte(`{"orderPlaced":{"orderId":"` + id + `"}}`)
		r.Kind = source.Order
	default:
		r.Raw = make([]byte, 1+g.random.IntN(64))
		for i := range r.Raw {
			r.Raw[i] = byte(0xf0 | g.random.IntN(16))
		}
	}
	g.send(r, spreadUsual)
	g.made.Invalid++
}
