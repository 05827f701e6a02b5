package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/query/reading"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology/keyhash"
)

// A knownOrder is what the topics say of an order, as far as a correction of it has
// to know.
type knownOrder struct {
	id        string
	partition int32
	// total is nil as long as the order has not come.
	total *tallyv1.Money
	// over is how the order ended; empty for one that is open.
	over     string
	payments map[string]*knownPayment
	// corrections are those that are there, by their ids.
	corrections map[string]knownCorrection
}

// A knownCorrection is a correction that is there already.
type knownCorrection struct {
	*tallyv1.CorrectionEvent
	at spot
}

// A knownPayment is a payment, or money that was adjusted, as it came first. Without
// an amount only its reversal has come.
type knownPayment struct {
	id     string // of the event
	amount *tallyv1.Money
	at     spot
	// back is where it was taken back, nil if it was not.
	back *spot
}

// A spot is the place of a record.
type spot struct {
	topic     string
	partition int32
	offset    int64
}

func (s spot) String() string { return fmt.Sprintf("%s/%d@%d", s.topic, s.partition, s.offset) }

// lookAt reads the order's partition of every topic that is keyed by order.
func lookAt(ctx context.Context, cl *kgo.Client, w wiring, order string) (*knownOrder, error) {
	known := &knownOrder{
		id: order, payments: map[string]*knownPayment{}, corrections: map[string]knownCorrection{},
	}
	topics := reading.AboutOrders(w.names, w.chain)
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	log, err := replay.Open(ctx, cl, patience, names...)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		p := keyhash.Partition([]byte(order), log.Partitions(t.Name))
		if t.Name == w.names.Corrections {
			known.partition = p
		}
		for r, err := range log.Records(ctx, t.Name, p) {
			if err != nil {
				return nil, err
			}
			if string(r.Key) != order {
				continue
			}
			if e, err := t.Decode(r.Value); err == nil {
				known.take(e, spot{r.Topic, r.Partition, r.Offset})
			}
		}
	}
	return known, nil
}

func (k *knownOrder) take(e reading.Event, at spot) {
	switch m := e.Envelope.(type) {
	case *tallyv1.OrderEvent:
		if o := m.GetOrderPlaced(); o != nil && k.total == nil {
			k.total = o.GetTotal()
		}
	case *tallyv1.PaymentEvent:
		k.payment(schemas.PaymentID(m), m.GetPaymentReceived().GetAmount(), e.ID(), at)
	case *tallyv1.CorrectionEvent:
		k.payment(schemas.CorrectionPaymentID(m), m.GetPaymentAdjusted().GetAmount(), e.ID(), at)
		if _, twice := k.corrections[e.ID()]; !twice {
			k.corrections[e.ID()] = knownCorrection{m, at}
		}
	case *tallyv1.ConfirmationEvent:
		k.over = "confirmed"
	case *tallyv1.ExceptionEvent:
		switch {
		case m.GetOrderExpired() != nil:
			k.over = "expired"
		case m.GetOrderWithdrawn().GetRejection():
			k.over = "rejected"
		case m.GetOrderWithdrawn() != nil:
			k.over = "cancelled"
		}
	}
}

// payment notes that a payment came, or, without an amount, that it was taken back.
func (k *knownOrder) payment(id string, amount *tallyv1.Money, event string, at spot) {
	p := k.payments[id]
	if p == nil {
		p = &knownPayment{}
		k.payments[id] = p
	}
	switch {
	case amount == nil && p.back == nil:
		p.back = &at
	case amount != nil && p.amount == nil:
		p.id, p.amount, p.at = event, amount, at
	}
}

// there returns the place of a correction that is there already, nil of one that is not.
// It refuses another one of the same id, which would never be written.
func (k *knownOrder) there(e *tallyv1.CorrectionEvent) (*spot, error) {
	known, ok := k.corrections[e.GetMeta().GetId()]
	if !ok {
		return nil, nil
	}
	was := &tallyv1.CorrectionEvent{Event: known.GetEvent()}
	if !proto.Equal(was, &tallyv1.CorrectionEvent{Event: e.GetEvent()}) {
		return nil, hinted("give another one by --id", "id %s is that of another correction, at %v",
			e.GetMeta().GetId(), known.at)
	}
	return &known.at, nil
}

// sense refuses a correction that makes none, and names why.
func (k *knownOrder) sense(c *correcting, e *tallyv1.CorrectionEvent) error {
	if c.force {
		return nil
	}
	var err error
	switch v := e.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		err = k.voids(v.PaymentVoided.GetPaymentId())
		if err == nil && c.rebooks { // before anything is written
			err = k.rebooks(c)
		}
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		err = k.adjusts(v.PaymentAdjusted)
	}
	return err
}

// anyway is the hint for who knows better.
const anyway = "--force writes it all the same"

func (k *knownOrder) voids(id string) error {
	p := k.payments[id]
	switch {
	case p == nil:
		return hinted(k.names()+anyway, "order %s has no payment %s", k.id, id)
	case p.back != nil:
		return hinted(anyway, "payment %s was taken back already, at %v", id, *p.back)
	}
	return nil
}

func (k *knownOrder) rebooks(c *correcting) error {
	p := k.payments[c.payment].amount
	if p.GetMinor() == c.amount && (c.currency == "" || c.currency == p.GetCurrency()) {
		return hinted(anyway, "payment %s is of %s already", c.payment, moneyText(p))
	}
	return nil
}

func (k *knownOrder) adjusts(p *tallyv1.PaymentAdjusted) error {
	taken := k.payments[p.GetPaymentId()]
	switch {
	case taken != nil && taken.amount != nil:
		return hinted("give another one by --payment; "+anyway, "order %s has a payment %s already, "+
			"at %v", k.id, p.GetPaymentId(), taken.at)
	case taken != nil:
		return hinted("give another one by --payment; "+anyway, "payment %s was taken back before it "+
			"came, at %v", p.GetPaymentId(), *taken.back)
	case k.total == nil:
		return hinted("check the id, --prefix and --chain; "+anyway, "nothing says that order %s was "+
			"placed", k.id)
	case k.over != "":
		return hinted(anyway, "order %s is %s: what is booked for it now has to go back", k.id, k.over)
	case k.total.GetCurrency() != p.GetAmount().GetCurrency():
		return hinted(anyway, "order %s is in %s: %s does not count for it", k.id,
			k.total.GetCurrency(), moneyText(p.GetAmount()))
	}
	return nil
}

// names lists the payments of the order, for a hint.
func (k *knownOrder) names() string {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(k.payments)) {
		if p := k.payments[id]; p.amount != nil {
			list = append(list, fmt.Sprintf("%s of %s", id, moneyText(p.amount)))
		}
	}
	const few = 5
	if len(list) > few {
		list = append(list[:few], "…")
	}
	if list == nil {
		return "it has none so far; check the id, --prefix and --chain; "
	}
	return "it has " + strings.Join(list, ", ") + "; "
}
