package confirm

import (
	"fmt"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes. Its table is the one of the
// group.
type Topics struct {
	Group    string
	Orders   string
	Payments string
	// Corrections may be empty: then there are none.
	Corrections   string
	Confirmations string
	Exceptions    string
	// Timers is where the engine delivers the rows that are due, each with its key
	// and with its deadline as the time of the record. It is no topic of Kafka. If
	// it is empty, a row lapses when a record about its order comes after the
	// deadline, and not by itself.
	Timers string
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
		form:          emit.Form{Source: t.Group, CloudEvents: t.CloudEvents, JSON: t.JSON},
	}
	edges := []goka.Edge{
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Input(goka.Stream(t.Payments), schemas.Payments, wrap(p.payment)),
		goka.Output(p.confirmations, emit.Codec(p.form, schemas.Confirmations)),
		goka.Output(p.exceptions, emit.Codec(p.form, schemas.Exceptions)),
		goka.Persist(schemas.ConfirmRows),
	}
	if t.Corrections != "" {
		edges = append(edges, goka.Input(goka.Stream(t.Corrections), schemas.Corrections,
			wrap(p.correction)))
	}
	if t.Timers != "" {
		edges = append(edges, goka.Input(goka.Stream(t.Timers), new(codec.String), wrap(p.due)))
	}
	return goka.DefineGroup(goka.Group(t.Group), edges...)
}

type processor struct {
	rules         Rules
	confirmations goka.Stream
	exceptions    goka.Stream
	form          emit.Form
}

// order is the callback of the topic of orders.
func (p processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("confirm: %T is not an order event", msg))
		return
	}
	p.step(ctx, OfOrder(m, clockOf(ctx)))
}

// payment is the callback of the topic of payments.
func (p processor) payment(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.PaymentEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("confirm: %T is not a payment event", msg))
		return
	}
	p.step(ctx, OfPayment(m, clockOf(ctx)))
}

// correction is the callback of the topic of corrections.
func (p processor) correction(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.CorrectionEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("confirm: %T is not a correction event", msg))
		return
	}
	p.step(ctx, OfCorrection(m, clockOf(ctx)))
}

// due is the callback of the timers. Which clock has fired, the value, makes no
// difference.
func (p processor) due(ctx goka.Context, _ any) {
	p.step(ctx, Lapsed{OrderID: ctx.Key(), At: schemas.Micros(ctx.Timestamp())})
}

// clockOf returns the clock of the record in hand. Outside of an engine that has
// one there is no stream time.
func clockOf(ctx goka.Context) Clock {
	var stream time.Time
	if s, ok := ctx.(interface{ StreamTime() time.Time }); ok {
		stream = s.StreamTime()
	}
	return ClockOf(ctx.Timestamp(), stream)
}

// step applies an event to the row of the record's key. What the processor has
// nothing to do with is no event.
func (p processor) step(ctx goka.Context, e Event) {
	if e == nil {
		return
	}
	row, _ := ctx.Value().(*Row)
	next, out := Step(p.rules, row, e)
	switch {
	case next == row:
	case next == nil:
		ctx.Delete()
	default:
		ctx.SetValue(next)
	}
	if c := out.Confirmed; c != nil {
		p.form.Event(ctx, p.confirmations, c)
	}
	for _, x := range out.Exceptions {
		p.form.Event(ctx, p.exceptions, x)
	}
}
