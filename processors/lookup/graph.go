package lookup

import (
	"fmt"

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
	// GivenUp is told which order a notice that got no answer was about, and why.
	// It may be nil, and must be safe for concurrent use.
	GivenUp func(orderID string, err error)
}

// Remembered is how many confirmed orders a worker remembers.
const Remembered = 1_000_000

// Define returns the graph of the processor, which asks by client. Every callback
// is put through wrap, which has to keep values away from it that are not messages
// of its topic: one that gets through makes the processor fail. Each call of
// Define makes a processor with a memory of its own.
func Define(
	t Topics, client *Client, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := &processor{
		client: client, memory: newMemory(Remembered),
		confirmations: goka.Stream(t.Confirmations), givenUp: t.GivenUp,
		form: emit.Form{Source: t.Group, JSON: t.JSON},
	}
	if p.givenUp == nil {
		p.givenUp = func(string, error) {}
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Orders), schemas.Orders, wrap(p.order)),
		goka.Input(goka.Stream(t.Payments), schemas.Payments, wrap(p.payment)),
		goka.Output(p.confirmations, emit.Codec(p.form, schemas.Confirmations)),
	)
}

type processor struct {
	client        *Client
	memory        *memory
	confirmations goka.Stream
	form          emit.Form
	givenUp       func(string, error)
}

// order is the callback of the topic of orders.
func (p *processor) order(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.OrderEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("lookup: %T is not an order event", msg))
		return
	}
	p.noticed(ctx, schemas.OrderID(m))
}

// payment is the callback of the topic of payments.
func (p *processor) payment(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.PaymentEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("lookup: %T is not a payment event", msg))
		return
	}
	p.noticed(ctx, schemas.PaymentOrderID(m))
}

// noticed looks the order up. The partition waits for the answer.
func (p *processor) noticed(ctx goka.Context, orderID string) {
	known, err := p.client.Ask(ctx.Context(), orderID)
	if err != nil {
		p.givenUp(orderID, err)
		return
	}
	n := Notice{
		OrderID: orderID, Topic: string(ctx.Topic()), Partition: ctx.Partition(),
		Offset: ctx.Offset(),
	}
	c := Step(n, p.memory.of(orderID), known)
	if c == nil {
		return
	}
	p.memory.keep(n)
	p.form.Event(ctx, p.confirmations, c)
}
