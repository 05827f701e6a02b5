package details

import (
	"fmt"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes.
type Topics struct {
	Group  string
	Orders string
	// Customers and Products are compacted topics, which are looked up. They may
	// have other numbers of partitions than Orders.
	Customers   string
	Products    string
	OrderChecks string
	// CloudEvents puts ce_* headers on what is emitted.
	CloudEvents bool
	// JSON writes events in their JSON form.
	JSON bool
	// Unreadable is called for each look-up that meets a record that cannot be
	// used, with its topic, its key and what is wrong. It may be nil, and must be
	// safe for concurrent use.
	Unreadable func(topic, key string, err error)
}

// Define returns the graph of the processor. Every callback is put through wrap,
// which has to keep values away from it that are not messages of its topic: one
// that gets through makes the processor fail.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{
		rules: r, checks: goka.Stream(t.OrderChecks), unreadable: t.Unreadable,
		customers: goka.Table(t.Customers), products: goka.Table(t.Products),
		form: emit.Form{Source: t.Group, CloudEvents: t.CloudEvents, JSON: t.JSON},
	}
	if p.unreadable == nil {
		p.unreadable = func(string, string, error) {}
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Lookup(p.customers, schemas.Customers),
		goka.Lookup(p.products, schemas.Products),
		goka.Output(p.checks, emit.Codec(p.form, schemas.OrderChecks)),
	)
}

type processor struct {
	rules      Rules
	checks     goka.Stream
	customers  goka.Table
	products   goka.Table
	form       emit.Form
	unreadable func(topic, key string, err error)
}

// order is the callback of the topic of orders.
func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("details: %T is not an order event", msg))
		return
	}
	order, ok := OfOrder(m, ctx.Timestamp())
	if !ok {
		return
	}
	products := map[string]*tallyv1.ProductUpdated{}
	for _, l := range order.Placed.GetLines() {
		id := l.GetProductId()
		if _, done := products[id]; !done {
			products[id] = look(p, ctx, p.products, id, Product)
		}
	}
	customer := look(p, ctx, p.customers, order.Placed.GetCustomerId(), Customer)
	p.form.Event(ctx, p.checks, Step(p.rules, order, customer, products))
}

// look returns what the table holds under key as read understands it, or nil.
func look[T any](
	p processor, ctx goka.Context, table goka.Table, key string,
	read func(string, any) (*T, error),
) *T {
	if key == "" {
		return nil
	}
	v, err := read(key, ctx.Lookup(table, key))
	if err != nil {
		p.unreadable(string(table), key, err)
	}
	return v
}
