package window

import (
	"fmt"
	"sync"
	"time"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes. It has no table.
type Topics struct {
	Group         string
	Orders        string
	Payments      string
	Confirmations string
	// JSON writes confirmations in their JSON form.
	JSON bool
	// Lost is told what is lost of which order, as far as the processor notices: what
	// a restart loses it does not know. It may be nil, and must be safe for
	// concurrent use.
	Lost func(orderID string, why Loss)
}

// Define returns the graph of the processor. Every callback is put through wrap,
// which has to keep values away from it that are not messages of its topic: one
// that gets through makes the processor fail. Each call of Define makes a
// processor with a memory of its own, which begins empty.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := &processor{
		rules: r, confirmations: goka.Stream(t.Confirmations), lost: t.Lost,
		form: emit.Form{Source: t.Group, JSON: t.JSON}, buffers: map[int32]*buffer{},
	}
	if p.lost == nil {
		p.lost = func(string, Loss) {}
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Input(goka.Stream(t.Payments), schemas.Payments, wrap(p.payment)),
		goka.Output(p.confirmations, emit.Codec(p.form, schemas.Confirmations)),
	)
}

type processor struct {
	rules         Rules
	confirmations goka.Stream
	form          emit.Form
	lost          func(string, Loss)

	mu      sync.Mutex
	buffers map[int32]*buffer // by partition
}

// order is the callback of the topic of orders.
func (p *processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("window: %T is not an order event", msg))
		return
	}
	p.take(ctx, Event{Order: m})
}

// payment is the callback of the topic of payments.
func (p *processor) payment(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.PaymentEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("window: %T is not a payment event", msg))
		return
	}
	p.take(ctx, Event{Payment: m})
}

func (p *processor) take(ctx goka.Context, e Event) {
	e.Cause = Cause{string(ctx.Topic()), ctx.Offset()}
	e.Recorded = schemas.Micros(ctx.Timestamp())
	e.Stream = streamTime(ctx)
	if out := p.buffer(ctx.Partition()).take(e, p.lost); out.Confirmed != nil {
		p.form.Event(ctx, p.confirmations, out.Confirmed)
	}
}

// buffer returns the memory of a partition, whose records come one by one.
func (p *processor) buffer(partition int32) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buffers[partition]
	if b == nil {
		b = newBuffer(p.rules)
		p.buffers[partition] = b
	}
	return b
}

// streamTime is how far the time of all records has come, as the engine knows it;
// without an engine it is the time of the record.
func streamTime(ctx goka.Context) int64 {
	if c, ok := ctx.(interface{ StreamTime() time.Time }); ok {
		return schemas.Micros(c.StreamTime())
	}
	return schemas.Micros(ctx.Timestamp())
}
