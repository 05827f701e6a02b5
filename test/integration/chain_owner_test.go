package integration_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
	"tallystick/test/kafkatest"
)

// ownerOrders are sent in each half of TestCustomersOwnerGone.
const ownerOrders = 40

// TestCustomersOwnerGone stops who writes customers and products after half of
// the orders, and wipes the disk of the worker that keeps replicas of them. What
// comes out is what comes out of a run in which nothing happens.
func TestCustomersOwnerGone(t *testing.T) {
	if testing.Short() {
		t.Parallel()
	}
	b := kafkatest.Start(t)
	began := time.Now()
	undisturbed := newOwned(t, b, began).play(false)
	disturbed := newOwned(t, b, began).play(true)
	for topic, values := range undisturbed {
		if len(values) < 2*ownerOrders*8/10 {
			t.Errorf("%s has only %d records", topic, len(values))
		}
		if !slices.Equal(values, disturbed[topic]) {
			t.Errorf("%s: %d records undisturbed, %d without the owner, and they differ", topic,
				len(values), len(disturbed[topic]))
		}
	}
}

// An owned stage has a chain whose customers and products somebody owns.
type owned struct {
	*stage
	began time.Time
}

func newOwned(t *testing.T, b *kafkatest.Broker, began time.Time) *owned {
	t.Helper()
	s := newStage(t, b)
	s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(t)
	return &owned{s, began}
}

// play sends both halves, and returns the sorted values of what came out.
func (o *owned) play(disturb bool) map[string][]string {
	o.t.Helper()
	first, second := o.t.TempDir(), o.t.TempDir()
	args := []string{"--chain", "--interval", "20ms"}
	rest := o.run("rest", first, nil, append(args,
		"rekey", "orders", "inventory", "fraud", "validate", "confirm")...)
	o.own()
	worker := o.run("details", second, nil, append(args, "details")...)
	o.put(o.record(o.prefix+"stock", "tea", o.began, &tallyv1.StockEvent{
		Event: &tallyv1.StockEvent_StockAdded{StockAdded: &tallyv1.StockAdded{
			ProductId: "tea", Quantity: 10_000,
		}},
	}))
	o.until("there is stock", func() bool {
		return len(o.values(o.app+"-inventory-stock-table")) == 1
	})
	o.order(0)
	if disturb {
		worker.end()
		if err := os.RemoveAll(second); err != nil {
			o.t.Fatal(err)
		}
		worker = o.run("details", second, nil, append(args, "details")...)
	} else {
		o.own() // the owner goes on to say how it is
	}
	o.order(ownerOrders)
	worker.end()
	rest.end()
	values := map[string][]string{}
	for _, name := range []string{"order-checks", "orders", "confirmations"} {
		values[name] = o.values(o.prefix + name)
		slices.Sort(values[name])
	}
	return values
}

// own says what customers and products there are.
func (o *owned) own() {
	o.t.Helper()
	var records []*kgo.Record
	for i := range 10 {
		id := fmt.Sprintf("c-%d", i)
		records = append(records, o.record(o.prefix+"customers", id, o.began, &tallyv1.CustomerEvent{
			Event: &tallyv1.CustomerEvent_CustomerUpdated{CustomerUpdated: &tallyv1.CustomerUpdated{
				CustomerId: id, Name: "Customer " + id, Email: id + "@shop.example", Closed: i == 9,
			}},
		}))
	}
	for _, id := range []string{"tea", "gone"} {
		records = append(records, o.record(o.prefix+"products", id, o.began, &tallyv1.ProductEvent{
			Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
				ProductId: id, Name: "Product " + id, Discontinued: id == "gone",
			}},
		}))
	}
	o.put(records...)
}

// order sends as many orders, with their payments, and waits until each has ended.
func (o *owned) order(from int) {
	o.t.Helper()
	total := &tallyv1.Money{Minor: proto.Int64(900), Currency: "EUR"}
	var records []*kgo.Record
	for i := from; i < from+ownerOrders; i++ {
		id, at := fmt.Sprintf("o-%03d", i), o.began.Add(time.Duration(i)*time.Millisecond)
		line := &tallyv1.Line{
			ProductId: "tea", Quantity: 2, Price: &tallyv1.Money{Minor: proto.Int64(450), Currency: "EUR"},
		}
		if i%13 == 12 {
			line.ProductId = "gone"
		}
		records = append(records,
			o.record(o.prefix+"order-commands", id, at, &tallyv1.OrderCommand{
				Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: &tallyv1.PlaceOrder{
					OrderId: id, CustomerId: fmt.Sprintf("c-%d", i%10), Total: total,
					Lines: []*tallyv1.Line{line},
				}},
			}),
			o.record(o.topics.Payments, "p-"+id, at, &tallyv1.PaymentEvent{
				Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
					PaymentId: "p-" + id, OrderId: id, Amount: total,
				}},
			}))
	}
	o.put(records...)
	o.until(fmt.Sprintf("%d orders end", from+ownerOrders), func() bool {
		ends := len(o.values(o.topics.Confirmations))
		for _, value := range o.values(o.topics.Exceptions) {
			var e tallyv1.ExceptionEvent
			if proto.Unmarshal([]byte(value), &e) == nil && e.GetOrderWithdrawn() != nil {
				ends++
			}
		}
		return ends == from+ownerOrders
	})
}
