package inventory

import (
	"fmt"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// ExactlyOnce says why the service must not run with at-least-once delivery. A
// graph cannot know how its records are delivered, so whoever runs it has to
// refuse, and can say this.
const ExactlyOnce = "a reservation that was delivered twice would be counted twice"

// Topics names what the processor by order reads and writes. Its table is the one
// of the group.
type Topics struct {
	Group         string
	Orders        string
	Exceptions    string
	Confirmations string
	// Replies and Requests are the inner topics.
	Replies     string
	Requests    string
	OrderChecks string
	// JSON writes order checks in their JSON form. The inner topics are always
	// binary.
	JSON bool
}

// Define returns the graph of the processor by order. Every callback is put
// through wrap, which has to keep values away from it that are not messages of
// its topic: one that gets through makes the processor fail. Without anything to
// keep away, wrap can return what it is given. Its records have to be delivered
// exactly once: see [ExactlyOnce].
func Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{checks: goka.Stream(t.OrderChecks), requests: goka.Stream(t.Requests)}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Input(goka.Stream(t.Exceptions), schemas.Exceptions, wrap(p.exception)),
		goka.Input(goka.Stream(t.Confirmations), schemas.Confirmations, wrap(p.confirmation)),
		goka.Input(goka.Stream(t.Replies), schemas.StockReplies, wrap(p.reply)),
		goka.Output(p.checks, emit.Codec(emit.Form{JSON: t.JSON}, schemas.OrderChecks)),
		goka.Output(p.requests, schemas.StockCommands),
		goka.Persist(schemas.InventoryRows),
	)
}

type processor struct {
	checks   goka.Stream
	requests goka.Stream
}

func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not an order event", msg))
		return
	}
	p.step(ctx, OfOrder(m, ctx.Timestamp()))
}

func (p processor) exception(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.ExceptionEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not an exception event", msg))
		return
	}
	p.step(ctx, OfException(m, ctx.Timestamp()))
}

func (p processor) confirmation(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.ConfirmationEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not a confirmation event", msg))
		return
	}
	p.step(ctx, OfConfirmation(m, ctx.Timestamp()))
}

func (p processor) reply(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.StockReplyEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not a stock reply event", msg))
		return
	}
	p.step(ctx, OfReply(m, ctx.Timestamp()))
}

// step applies an event to the row of the record's key. Nil is an event that does
// not concern the stock.
func (p processor) step(ctx goka.Context, e Event) {
	if e == nil {
		return
	}
	row, _ := ctx.Value().(*Row)
	next, out := Step(row, e)
	if next != row {
		ctx.SetValue(next)
	}
	if out.Check != nil {
		ctx.Emit(p.checks, ctx.Key(), out.Check)
	}
	for _, c := range out.Commands {
		ctx.Emit(p.requests, schemas.StockCommandProductID(c), c)
	}
}

// StockTopics names what the processor by product reads and writes. Its table is
// the one of the group.
type StockTopics struct {
	Group string
	Stock string
	// Requests and Replies are the inner topics.
	Requests string
	Replies  string
}

// DefineStock returns the graph of the processor by product. It wraps callbacks
// as [Define] does, and its records have to be delivered exactly once as well.
func DefineStock(
	t StockTopics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := stockProcessor{replies: goka.Stream(t.Replies)}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Stock), schemas.Stock, wrap(p.stock)),
		goka.Input(goka.Stream(t.Requests), schemas.StockCommands, wrap(p.command)),
		goka.Output(p.replies, schemas.StockReplies),
		goka.Persist(schemas.StockRows),
	)
}

type stockProcessor struct{ replies goka.Stream }

func (p stockProcessor) stock(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.StockEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not a stock event", msg))
		return
	}
	p.step(ctx, OfStock(m))
}

func (p stockProcessor) command(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.StockCommand)
	if !ok {
		ctx.Fail(fmt.Errorf("inventory: %T is not a stock command", msg))
		return
	}
	p.step(ctx, OfCommand(m, ctx.Timestamp()))
}

// step applies an event to the row of the record's key. The key and the product
// that the event names are the same.
func (p stockProcessor) step(ctx goka.Context, e StockEvent) {
	row, _ := ctx.Value().(*StockRow)
	next, reply, err := StepStock(row, e)
	if err != nil {
		ctx.Fail(err)
		return
	}
	if next != row {
		ctx.SetValue(next)
	}
	if reply != nil {
		ctx.Emit(p.replies, schemas.StockReplyOrderID(reply), reply)
	}
}
