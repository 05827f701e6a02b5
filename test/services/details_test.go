package services_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/details"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestDetailsOnce: every order is checked once, with what the compacted topics
// hold of its customer and its products, though workers die before and after their
// commits and those behind begin with empty disks. The topics have other numbers
// of partitions than that of orders. What is malformed there counts as not known,
// is named, and stops nobody. Nobody writes to these topics any more.
func TestDetailsOnce(t *testing.T) {
	each(t, func(w *world) {
		orders, checks := w.topic("orders", 4), w.topic("order-checks", 4)
		customers := w.topic("customers", 3, "cleanup.policy", "compact")
		products := w.topic("products", 2, "cleanup.policy", "compact")
		dead, group := w.topic("dead-letters", 1), w.prefix+"details"
		const known = 20
		for i := range known {
			w.send(3, customer(customers, fmt.Sprintf("c%d", i), i%4 == 0))
			w.send(2, product(products, fmt.Sprintf("p%d", i), i%5 == 0))
		}
		w.send(3, &kgo.Record{Topic: customers, Key: []byte("bad"), Value: []byte("{nonsense")},
			&kgo.Record{Topic: customers, Key: []byte("gone"), Value: []byte("{}")},
			&kgo.Record{Topic: customers, Key: []byte("gone")})
		var mu sync.Mutex
		named := map[string]bool{}
		define := func(e *engine.Engine) *goka.GroupGraph {
			return details.Rules{}.Define(details.Topics{
				Group: group, Orders: orders, Customers: customers, Products: products,
				OrderChecks: checks, Unreadable: func(topic, key string, err error) {
					mu.Lock()
					defer mu.Unlock()
					named[topic+" "+key+" "+err.Error()] = true
				},
			}, func(cb goka.ProcessCallback) goka.ProcessCallback { return e.Wrap(cb, schemas.CheckKey) })
		}
		const batch = known + 3 // each customer once per round, and those without a record
		w.dying(group, define, func(round int) {
			for i := range batch {
				who := fmt.Sprintf("c%d", i)
				switch i {
				case known:
					who = "bad"
				case known + 1:
					who = "gone"
				}
				w.send(4, order(orders, fmt.Sprintf("o%d", round*batch+i), who,
					fmt.Sprintf("p%d", i), "nobody-knows"))
			}
		}, func() bool { return len(w.committed(checks)) >= rounds*batch })
		seen := map[string]int{}
		for _, r := range w.committed(checks) {
			m, err := schemas.OrderChecks.Unmarshal(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(r.Key)]++
			found(t, string(r.Key), batch, known, m)
		}
		for i := range rounds * batch {
			if n := seen[fmt.Sprintf("o%d", i)]; n != 1 {
				t.Errorf("o%d was checked %d times", i, n)
			}
		}
		if n := len(w.committed(dead)); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(named) != 1 || !anyContains(named, customers+" bad malformed: bad JSON") {
			t.Errorf("named %v", named)
		}
	})
}

// found checks a verdict against what was written about the customer and the
// product of the order.
func found(t *testing.T, order string, batch, known int, m *tallyv1.OrderCheckEvent) {
	t.Helper()
	var i int
	if _, err := fmt.Sscanf(order, "o%d", &i); err != nil {
		t.Fatal(err)
	}
	i %= batch
	bad := i < known && (i%4 == 0 || i%5 == 0)
	if refused := m.GetDetailsRefused() != nil; refused != bad {
		t.Errorf("%s: %v", order, m)
	}
	email := ""
	if i < known {
		email = fmt.Sprintf("c%d@example.org", i)
	}
	if got := m.GetDetailsAccepted().GetContact().GetEmail(); !bad && got != email {
		t.Errorf("%s goes to %q, not to %q", order, got, email)
	}
}

func anyContains(texts map[string]bool, part string) bool {
	for text := range texts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func customer(topic, id string, closed bool) *kgo.Record {
	b, _ := schemas.Customers.Marshal(&tallyv1.CustomerEvent{
		Event: &tallyv1.CustomerEvent_CustomerUpdated{CustomerUpdated: &tallyv1.CustomerUpdated{
			CustomerId: id, Email: id + "@example.org", Closed: closed,
		}},
	})
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: b}
}

func product(topic, id string, discontinued bool) *kgo.Record {
	b, _ := schemas.Products.Marshal(&tallyv1.ProductEvent{
		Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
			ProductId: id, Discontinued: discontinued,
		}},
	})
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: b}
}

func order(topic, id, customer string, products ...string) *kgo.Record {
	placed := &tallyv1.OrderPlaced{
		OrderId: id, CustomerId: customer, Total: schemas.Money(0, "EUR"),
	}
	for _, p := range products {
		placed.Lines = append(placed.Lines, &tallyv1.Line{
			ProductId: p, Quantity: 1, Price: schemas.Money(0, "EUR"),
		})
	}
	b, _ := schemas.Orders.Marshal(&tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: placed},
	})
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: b}
}
