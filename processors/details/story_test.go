package details_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/processors/details"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. What others say about customers and
// products comes first, then orders, o1 each:
//
//	customer C [name=T] [email=T] [closed]        product P [discontinued]
//	order [customer=C] [products=(P,…)] [id=T]
//
// "rules [known-customers] [known-products]" sets the rules.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{
			customers: map[string]*tallyv1.CustomerUpdated{},
			products:  map[string]*tallyv1.ProductUpdated{},
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	rules     details.Rules
	customers map[string]*tallyv1.CustomerUpdated
	products  map[string]*tallyv1.ProductUpdated
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	text := func(key string) (value string) {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &value)
		}
		return value
	}
	switch d.Cmd {
	case "rules":
		s.rules = details.Rules{
			KnownCustomersOnly: d.HasArg("known-customers"),
			KnownProductsOnly:  d.HasArg("known-products"),
		}
		return fmt.Sprintf("%+v\n", s.rules)
	case "customer":
		id := d.CmdArgs[0].Key
		s.customers[id] = &tallyv1.CustomerUpdated{
			CustomerId: id, Name: text("name"), Email: text("email"), Closed: d.HasArg("closed"),
		}
		return ""
	case "product":
		id := d.CmdArgs[0].Key
		s.products[id] = &tallyv1.ProductUpdated{
			ProductId: id, Discontinued: d.HasArg("discontinued"),
		}
		return ""
	case "order":
		var products []string
		for _, arg := range d.CmdArgs {
			if arg.Key == "products" {
				products = arg.Vals
			}
		}
		if d.HasArg("many") {
			for i := range schemas.MaxLines {
				products = append(products, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 100)))
			}
		}
		m := order(text("customer"), products...)
		m.Meta = &tallyv1.Meta{Id: text("id")}
		return s.say(t, m)
	}
	d.Fatalf(t, "no such command: %s", d.Cmd)
	return ""
}

func (s *story) say(t *testing.T, m *tallyv1.OrderEvent) string {
	t.Helper()
	o, ok := details.OfOrder(m, time.Unix(7, 0))
	if !ok {
		t.Fatal("an order is not one")
	}
	said := details.Step(s.rules, o, s.customers[o.Placed.GetCustomerId()], s.products)
	if _, err := schemas.OrderChecks.Marshal(said); err != nil {
		t.Fatal(err)
	}
	b, err := schemas.OrderChecks.JSON(said)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// order is one of a customer, with a line for each product.
func order(customer string, products ...string) *tallyv1.OrderEvent {
	placed := &tallyv1.OrderPlaced{
		OrderId: "o1", CustomerId: customer, Total: schemas.Money(0, "EUR"),
	}
	for _, id := range products {
		placed.Lines = append(placed.Lines, &tallyv1.Line{
			ProductId: id, Quantity: 1, Price: schemas.Money(0, "EUR"),
		})
	}
	return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: placed}}
}
