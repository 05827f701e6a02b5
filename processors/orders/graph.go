package orders

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
	Group    string
	Commands string
	Orders   string
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
		goka.Input(goka.Stream(t.Commands), schemas.OrderCommands, wrap(p.command)),
		goka.Output(p.orders, emit.Codec(p.form, schemas.Orders)),
		goka.Persist(schemas.OrderRows),
	)
}

type processor struct {
	rules  Rules
	orders goka.Stream
	form   emit.Form
}

// command is the callback of the topic of commands.
func (p processor) command(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderCommand)
	if !ok {
		ctx.Fail(fmt.Errorf("orders: %T is not an order command", msg))
		return
	}
	row, _ := ctx.Value().(*Row)
	next, said := Step(p.rules, row, OfCommand(m, ctx.Timestamp()))
	if next != row {
		ctx.SetValue(next)
	}
	if said != nil {
		p.form.Event(ctx, p.orders, said)
	}
}
