package fraud

import (
	"fmt"
	"time"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// RekeyTopics names what the processor fraud-rekey reads and writes. It has no
// table.
type RekeyTopics struct {
	Group  string
	Orders string
	// CustomerOrders is the inner topic.
	CustomerOrders string
}

// DefineRekey returns the graph of the processor that hands orders on to their
// customers. Every callback is put through wrap, which has to keep values away
// from it that are not messages of its topic: one that gets through makes the
// processor fail. Without anything to keep away, wrap can return what it is given.
func DefineRekey(
	t RekeyTopics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	to := goka.Stream(t.CustomerOrders)
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders,
			wrap(func(ctx goka.Context, msg any) {
				m, ok := msg.(*tallyv1.OrderEvent)
				if !ok {
					ctx.Fail(fmt.Errorf("fraud: %T is not an order event", msg))
					return
				}
				if key, order := Rekey(m, ctx.Timestamp()); order != nil {
					ctx.Emit(to, key, order)
				}
			})),
		goka.Output(to, schemas.CustomerOrders),
	)
}

// Topics names what the processor fraud reads and writes. Its table is the one of
// the group.
type Topics struct {
	Group string
	// CustomerOrders is the inner topic.
	CustomerOrders string
	OrderChecks    string
	// JSON writes order checks in their JSON form.
	JSON bool
}

// Define returns the graph of the processor fraud. It wraps callbacks as
// [DefineRekey] does.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{rules: r, checks: goka.Stream(t.OrderChecks)}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.CustomerOrders), schemas.CustomerOrders, wrap(p.order)),
		goka.Output(p.checks, emit.Codec(emit.Form{JSON: t.JSON}, schemas.OrderChecks)),
		goka.Persist(schemas.FraudRows),
	)
}

type processor struct {
	rules  Rules
	checks goka.Stream
}

func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.CustomerOrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("fraud: %T is not an order of a customer", msg))
		return
	}
	row, _ := ctx.Value().(*Row)
	next, check := Step(p.rules, row, Placed{
		ID:       m.GetMeta().GetId(),
		At:       schemas.MetaAt(m.GetMeta(), ctx.Timestamp()),
		Recorded: schemas.Micros(ctx.Timestamp()),
		Stream:   streamTime(ctx),
		Order:    m.GetOrderPlaced(),
	})
	if next != row {
		ctx.SetValue(next)
	}
	if check != nil {
		ctx.Emit(p.checks, schemas.OrderCheckOrderID(check), check)
	}
}

// streamTime is how far the time of all records has come, as the engine knows it;
// without an engine it is the time of the record.
func streamTime(ctx goka.Context) int64 {
	if c, ok := ctx.(interface{ StreamTime() time.Time }); ok {
		return schemas.Micros(c.StreamTime())
	}
	return schemas.Micros(ctx.Timestamp())
}
