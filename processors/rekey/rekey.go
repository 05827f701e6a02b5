// Package rekey writes payments, which come keyed by payment id, once more under
// the id of their order, so that they can be joined with it. It keeps no rows.
//
// What is said stays the same: the event with its id and its times, the record's
// timestamp, and its headers. The bytes are written anew, in the form that is
// asked for; fields that are not known here are left out, and of headers with one
// name the last is kept. All payments of one payment id stay in their order.
package rekey

import (
	"fmt"

	"github.com/lovoo/goka"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes.
type Topics struct {
	Group string
	// Payments are keyed by payment.
	Payments string
	// PaymentsByOrder is keyed by order. It may have another number of partitions.
	PaymentsByOrder string
	// JSON writes payments in their JSON form.
	JSON bool
}

// Define returns the graph of the processor. Its callback is put through wrap,
// which has to keep values away from it that are not payments, and those whose
// key is not their payment id: see [schemas.CheckPaymentKey].
func Define(t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback) *goka.GroupGraph {
	p := processor{to: goka.Stream(t.PaymentsByOrder), form: emit.Form{JSON: t.JSON}}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Payments), schemas.Payments, wrap(p.payment)),
		goka.Output(p.to, emit.Codec(p.form, schemas.Payments)),
	)
}

type processor struct {
	to   goka.Stream
	form emit.Form
}

// payment is the callback of the topic of payments.
func (p processor) payment(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.PaymentEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("rekey: %T is not a payment event", msg))
		return
	}
	headers := Headers(ctx.Headers(), p.form.ContentType())
	if len(headers) == 0 {
		ctx.Emit(p.to, schemas.PaymentOrderID(m), m)
		return
	}
	ctx.Emit(p.to, schemas.PaymentOrderID(m), m, goka.WithCtxEmitHeaders(headers))
}
