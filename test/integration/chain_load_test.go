package integration_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

const (
	chainProducts = 200
	// scarce is the product of which there is not enough, gone the one that is not
	// sold any more.
	scarce, gone = "scarce", "gone"
	// closed is a customer whose account is closed, greedy those who order too much,
	// twenty times each.
	closed, greedy  = "c-closed", "c-greedy-%d"
	ordersPerGreedy = 20 * 100
	// fraudLimit is what a customer may order within an hour, in minor units.
	fraudLimit = 1_000_000
	// unpaidFor is how long orders are open that nobody pays.
	unpaidFor = 15 * time.Second
)

// furnish sends what is there before the first order.
func (c *chain) furnish() {
	c.t.Helper()
	now := time.Now()
	customer := func(id string, shut bool) *kgo.Record {
		return c.record(c.prefix+"customers", id, now, &tallyv1.CustomerEvent{
			Event: &tallyv1.CustomerEvent_CustomerUpdated{CustomerUpdated: &tallyv1.CustomerUpdated{
				CustomerId: id, Name: "Customer " + id, Email: id + "@shop.example", Closed: shut,
			}},
		})
	}
	product := func(id string, over bool) *kgo.Record {
		return c.record(c.prefix+"products", id, now, &tallyv1.ProductEvent{
			Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
				ProductId: id, Name: "Product " + id, Discontinued: over,
			}},
		})
	}
	stock := func(id string, n int64) *kgo.Record {
		return c.record(c.prefix+"stock", id, now, &tallyv1.StockEvent{
			Event: &tallyv1.StockEvent_StockAdded{StockAdded: &tallyv1.StockAdded{
				ProductId: id, Quantity: n,
			}},
		})
	}
	records := []*kgo.Record{
		customer(closed, true), product(gone, true), stock(gone, 1_000_000),
		product(scarce, false), stock(scarce, max(1, int64(c.plan.orders/400))),
	}
	for i := range c.plan.orders/ordersPerGreedy + 1 {
		records = append(records, customer(fmt.Sprintf(greedy, i), false))
	}
	for i := range c.plan.orders / 10 {
		records = append(records, customer(fmt.Sprintf("c-%d", i), false))
	}
	for i := range chainProducts {
		id := fmt.Sprintf("product-%d", i)
		records = append(records, product(id, false), stock(id, 1_000_000_000))
	}
	c.put(records...)
}

// load sends the orders and their payments, never much ahead of what has ended and
// who was told, and takes payments back when their orders have ended.
func (c *chain) load() error {
	random := rand.New(rand.NewPCG(5, 5))
	var once sync.Once
	var failed error
	send := func(records []*kgo.Record) {
		for _, r := range records {
			c.client.Produce(c.t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					once.Do(func() { failed = err })
				}
			})
		}
	}
	var later []afterwards
	for i := range c.plan.orders {
		for (i-c.ended() > c.plan.window || c.untold() > c.plan.window) &&
			c.t.Context().Err() == nil {
			time.Sleep(pause)
		}
		d := c.deal(random, i)
		records := slices.Concat(d.commands, d.payments, d.corrections)
		if random.IntN(2) == 0 {
			records = slices.Concat(d.corrections, d.payments, d.commands)
		}
		send(records)
		if later = append(later, d.later...); i%100 == 99 {
			later = c.afterwards(later, send)
		}
	}
	for len(later) > 0 && c.t.Context().Err() == nil {
		time.Sleep(pause)
		later = c.afterwards(later, send)
	}
	if err := c.client.Flush(c.t.Context()); err != nil {
		return err
	}
	return failed
}

// An afterwards is a record that takes a payment back, or brings one, when its order
// has ended.
type afterwards struct {
	order string
	// payment is the one that is taken back, empty if one is brought.
	payment string
	record  *kgo.Record
}

// afterwards sends those whose orders have ended, and returns the others.
func (c *chain) afterwards(list []afterwards, send func([]*kgo.Record)) []afterwards {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(list, func(a afterwards) bool {
		if !c.ends[a.order] {
			return false
		}
		a.record.Timestamp = time.Now()
		send([]*kgo.Record{a.record})
		if a.payment != "" {
			c.after = append(c.after, a.payment)
		}
		return true
	})
}

// A deal is one order and what goes with it.
type deal struct {
	commands, payments, corrections []*kgo.Record
	later                           []afterwards
}

// deal deals one order. Its number says what becomes of it.
func (c *chain) deal(random *rand.Rand, i int) (d deal) {
	now := time.Now()
	id := fmt.Sprintf("order-%06d", i)
	place, parts, percent, paid := c.order(random, i, now)
	d.commands = append(d.commands, c.record(c.prefix+"order-commands", id, now, &tallyv1.OrderCommand{
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: place},
	}))
	left := place.GetTotal().GetMinor() * percent / 100
	for n := range parts {
		amount := left / int64(parts-n)
		if left -= amount; amount > 0 {
			d.payments = append(d.payments, c.pays(payID(i, n), id, amount, paid))
		}
	}
	switch i % 100 {
	case 15: // taken back; whether before it is confirmed, nobody knows
		d.commands = append(d.commands, c.record(c.prefix+"order-commands", id, now,
			&tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_CancelOrder{
				CancelOrder: &tallyv1.CancelOrder{OrderId: id, Reason: "changed their mind"},
			}}))
	case 16: // all of it twice
		d.commands, d.payments = twice(d.commands), twice(d.payments)
	}
	c.correct(&d, i, id, place.GetTotal().GetMinor(), now)
	return d
}

func payID(i, n int) string { return fmt.Sprintf("pay-%06d-%d", i, n) }

func twice(records []*kgo.Record) []*kgo.Record {
	for _, r := range records {
		twin := *r
		records = append(records, &twin)
	}
	return records
}

// order is what is ordered, and how it is paid: in how many parts, how much of it
// and when.
func (c *chain) order(random *rand.Rand, i int, now time.Time) (
	place *tallyv1.PlaceOrder, parts int, percent int64, paid time.Time,
) {
	id := fmt.Sprintf("order-%06d", i)
	place = &tallyv1.PlaceOrder{
		OrderId: id, CustomerId: fmt.Sprintf("c-%d", random.IntN(max(1, c.plan.orders/10))),
	}
	line := func(product string, price int64) {
		n := 1 + random.Int64N(3)
		place.Lines = append(place.Lines, &tallyv1.Line{
			ProductId: product, Quantity: n, Price: euros(price),
		})
		place.Total = euros(place.GetTotal().GetMinor() + n*price)
	}
	for range 1 + random.IntN(3) {
		line(fmt.Sprintf("product-%d", random.IntN(chainProducts)), 1+random.Int64N(2000))
	}
	parts, percent, paid = 1, 100, now
	switch kind := i % 100; {
	case kind < 3: // never paid
		place.Due, percent = timestamppb.New(now.Add(unpaidFor)), 0
	case kind == 3: // in part
		place.Due, percent = timestamppb.New(now.Add(unpaidFor)), 50
	case kind == 4: // too late
		place.Due, paid = timestamppb.New(now.Add(2*time.Second)), now.Add(3*time.Second)
	case kind == 5:
		place.CustomerId = closed
	case kind == 6:
		line(gone, 5)
	case kind == 7:
		line(scarce, 5)
	case kind == 8:
		place.CustomerId = fmt.Sprintf(greedy, i/ordersPerGreedy)
		line("product-0", 200_000)
	case kind == 9:
		percent = 150
	case kind < 15:
		parts = 2
	case kind == 21: // the first of them was taken back before it came
		parts, percent = 2, 200
	case kind == 22, kind == 20:
		place.Due = timestamppb.New(now.Add(unpaidFor))
	case kind == 24:
		percent = 150
	case kind == 25: // a digit was lost
		percent = 10
	case kind == 26: // in cash, which an operator books
		percent = 0
	}
	return place, parts, percent, paid
}

func (c *chain) pays(id, order string, minor int64, at time.Time) *kgo.Record {
	return c.record(c.topics.Payments, id, at, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: order, Amount: euros(minor),
		}},
	})
}

func euros(minor int64) *tallyv1.Money { return &tallyv1.Money{Minor: &minor, Currency: "EUR"} }
