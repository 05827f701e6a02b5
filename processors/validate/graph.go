package validate

import (
	"fmt"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes. Its table is the one of the
// group.
type Topics struct {
	Group string
	// Orders is read and written.
	Orders      string
	OrderChecks string
	// CloudEvents puts ce_* headers on what is emitted.
	CloudEvents bool
	// JSON writes events in their JSON form.
	JSON bool
}

// Define returns the graph of the processor. Every callback is put through wrap,
// which has to keep values away from it that are not messages of its topic: one
// that gets through makes the processor fail.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{
		rules: r, orders: goka.Stream(t.Orders),
		form: emit.Form{Source: t.Group, CloudEvents: t.CloudEvents, JSON: t.JSON},
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(p.orders, emit.Codec(p.form, schemas.Orders), wrap(p.order)),
		goka.Input(goka.Stream(t.OrderChecks), schemas.OrderChecks, wrap(p.check)),
		goka.Output(p.orders, emit.Codec(p.form, schemas.Orders)),
		goka.Persist(schemas.ValidateRows),
	)
}

type processor struct {
	rules  Rules
	orders goka.Stream
	form   emit.Form
}

// order is the callback of the topic of orders.
func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("validate: %T is not an order event", msg))
		return
	}
	p.step(ctx, OfOrder(m, ctx.Timestamp()))
}

// check is the callback of the topic of what was found.
func (p processor) check(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderCheckEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("validate: %T is not an order check event", msg))
		return
	}
	p.step(ctx, OfCheck(m, ctx.Timestamp()))
}

// step applies an event, if it is one, to the row of the record's key.
func (p processor) step(ctx goka.Context, e Event) {
	if e == nil {
		return
	}
	row, _ := ctx.Value().(*Row)
	next, said := Step(p.rules, row, e)
	if next != row {
		ctx.SetValue(next)
	}
	if said != nil {
		p.form.Event(ctx, p.orders, said)
	}
}
