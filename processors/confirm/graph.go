package confirm

import (
	"fmt"

	"github.com/lovoo/goka"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes. Its table is the one of the
// group.
type Topics struct {
	Group         string
	Orders        string
	Payments      string
	Confirmations string
	Exceptions    string
	// CloudEvents puts ce_* headers on what is emitted. It costs as much as the
	// decision itself.
	CloudEvents bool
	// JSON writes confirmations and exceptions in their JSON form.
	JSON bool
}

// Define returns the graph of the processor. Every callback is put through wrap,
// which has to keep values away from it that are not messages of its topic: one
// that gets through makes the processor fail. Without anything to keep away, wrap
// can return what it is given.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{
		rules:         r,
		confirmations: goka.Stream(t.Confirmations),
		exceptions:    goka.Stream(t.Exceptions),
		source:        t.Group,
		headers:       t.CloudEvents,
		json:          t.JSON,
	}
	var confirmations, exceptions goka.Codec = schemas.Confirmations, schemas.Exceptions
	if t.JSON {
		confirmations, exceptions = schemas.Confirmations.Text(), schemas.Exceptions.Text()
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Input(goka.Stream(t.Payments), schemas.Payments, wrap(p.payment)),
		goka.Output(p.confirmations, confirmations),
		goka.Output(p.exceptions, exceptions),
		goka.Persist(schemas.ConfirmRows),
	)
}

type processor struct {
	rules         Rules
	confirmations goka.Stream
	exceptions    goka.Stream
	source        string
	headers       bool
	json          bool
}

// order is the callback of the topic of orders.
func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("confirm: %T is not an order event", msg))
		return
	}
	p.step(ctx, OfOrder(m, ctx.Timestamp()))
}

// payment is the callback of the topic of payments.
func (p processor) payment(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.PaymentEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("confirm: %T is not a payment event", msg))
		return
	}
	p.step(ctx, OfPayment(m, ctx.Timestamp()))
}

// step applies an event to the row of the record's key.
func (p processor) step(ctx goka.Context, e Event) {
	row, _ := ctx.Value().(*Row)
	next, out := Step(p.rules, row, e)
	if next != row {
		ctx.SetValue(next)
	}
	if c := out.Confirmed; c != nil {
		p.emit(ctx, p.confirmations, c.GetMeta(), c)
	}
	for _, x := range out.Exceptions {
		p.emit(ctx, p.exceptions, x.GetMeta(), x)
	}
}

func (p processor) emit(ctx goka.Context, to goka.Stream, m *tallyv1.Meta, e proto.Message) {
	if p.headers {
		ctx.Emit(to, ctx.Key(), e, p.cloudEvent(m, kind(e)))
		return
	}
	ctx.Emit(to, ctx.Key(), e)
}
