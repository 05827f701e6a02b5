package schemas

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// The two events that make up nearly all traffic are read by hand if their bytes
// are plain: every field at most once, in order, known, not empty. All messages
// of one record share one piece of memory, and its texts another one. What is
// not plain is left to the generated code, which alone decides whether it is
// wrong; that both read the same is held by a test.

// A placedRecord is an OrderEvent with an OrderPlaced in one piece of memory.
type placedRecord struct {
	envelope tallyv1.OrderEvent
	meta     metaRecord
	event    tallyv1.OrderEvent_OrderPlaced
	placed   tallyv1.OrderPlaced
	total    moneyRecord
	due      timestamppb.Timestamp
}

// A receivedRecord is a PaymentEvent with a PaymentReceived.
type receivedRecord struct {
	envelope tallyv1.PaymentEvent
	meta     metaRecord
	event    tallyv1.PaymentEvent_PaymentReceived
	received tallyv1.PaymentReceived
	amount   moneyRecord
}

type metaRecord struct {
	meta tallyv1.Meta
	at   timestamppb.Timestamp
}

type moneyRecord struct {
	money tallyv1.Money
	minor int64
}

// The numbers of the fields that the envelopes share.
const (
	fieldMeta = 2
	// fieldMain is the one event that is read by hand.
	fieldMain = 3

	tagMeta = fieldMeta<<3 | byte(protowire.BytesType)
	tagMain = fieldMain<<3 | byte(protowire.BytesType)
)

// plainOrder returns the OrderPlaced that b holds, or nil if it is not plain.
func plainOrder(b []byte) *tallyv1.OrderEvent {
	o := new(placedRecord)
	r := reader{rest: string(b)}
	for r.next() {
		switch r.field {
		case fieldMeta:
			o.envelope.Meta = &o.meta.meta
			r.fail(o.meta.read(r.text()))
		case fieldMain:
			o.event.OrderPlaced = &o.placed
			o.envelope.Event = &o.event
			r.fail(o.readPlaced(r.text()))
		default:
			return nil
		}
	}
	if r.err != nil || o.envelope.Event == nil {
		return nil
	}
	return &o.envelope
}

func (o *placedRecord) readPlaced(s string) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			o.placed.OrderId = r.utf8()
		case 2:
			o.placed.CustomerId = r.utf8()
		case 3:
			o.placed.Total = &o.total.money
			r.fail(o.total.read(r.text()))
		case 4:
			o.placed.Due = &o.due
			r.fail(readTime(r.text(), &o.due))
		default:
			r.unknown()
		}
	}
	return r.err
}

// plainPayment returns the PaymentReceived that b holds, or nil if it is not
// plain.
func plainPayment(b []byte) *tallyv1.PaymentEvent {
	p := new(receivedRecord)
	r := reader{rest: string(b)}
	for r.next() {
		switch r.field {
		case fieldMeta:
			p.envelope.Meta = &p.meta.meta
			r.fail(p.meta.read(r.text()))
		case fieldMain:
			p.event.PaymentReceived = &p.received
			p.envelope.Event = &p.event
			r.fail(p.readReceived(r.text()))
		default:
			return nil
		}
	}
	if r.err != nil || p.envelope.Event == nil {
		return nil
	}
	return &p.envelope
}

func (p *receivedRecord) readReceived(s string) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			p.received.PaymentId = r.utf8()
		case 2:
			p.received.OrderId = r.utf8()
		case 3:
			p.received.Amount = &p.amount.money
			r.fail(p.amount.read(r.text()))
		case 4:
			p.received.Method = r.utf8()
		default:
			r.unknown()
		}
	}
	return r.err
}

func (m *metaRecord) read(s string) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			m.meta.Id = r.utf8()
		case 2:
			m.meta.Causes = append(m.meta.Causes, r.utf8())
			r.repeat()
		case 3:
			m.meta.At = &m.at
			r.fail(readTime(r.text(), &m.at))
		default:
			r.unknown()
		}
	}
	return r.err
}

func (m *moneyRecord) read(s string) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			if r.wire != protowire.VarintType {
				r.fail(errNotOurs)
			}
			m.minor = int64(r.length())
			m.money.Minor = &m.minor
		case 2:
			m.money.Currency = r.utf8()
		default:
			r.unknown()
		}
	}
	return r.err
}

func readTime(s string, t *timestamppb.Timestamp) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			t.Seconds = r.int()
		case 2:
			nanos := r.varint()
			if nanos > math.MaxInt32 {
				r.fail(errNotOurs)
			}
			t.Nanos = int32(nanos)
		default:
			r.unknown()
		}
	}
	return r.err
}

// appendConfirmation writes a valid ConfirmationEvent as the generated code does.
func appendConfirmation(m *tallyv1.ConfirmationEvent) []byte {
	var meta, event int
	c := m.GetOrderConfirmed()
	if m.Meta != nil {
		meta = metaSize(m.Meta)
		event = nestedSize(meta)
	}
	confirmed := confirmedSize(c)
	b := make([]byte, 0, event+nestedSize(confirmed))
	if m.Meta != nil {
		b = appendHead(b, fieldMeta, meta)
		b = appendText(b, 1, m.Meta.Id)
		for _, id := range m.Meta.Causes {
			b = append(appendHead(b, 2, len(id)), id...)
		}
		if at := m.Meta.At; at != nil {
			b = appendHead(b, 3, timeSize(at))
			b = appendInt(b, 1, at.Seconds)
			b = appendInt(b, 2, int64(at.Nanos))
		}
	}
	b = appendHead(b, fieldMain, confirmed)
	b = appendText(b, 1, c.OrderId)
	b = appendText(b, 2, c.CustomerId)
	b = appendHead(b, 3, moneySize(c.Total))
	b = append(b, 1<<3)
	b = protowire.AppendVarint(b, uint64(*c.Total.Minor))
	b = appendText(b, 2, c.Total.Currency)
	for _, p := range c.Payments {
		b = appendHead(b, 4, textSize(p.PaymentId)+intSize(p.Minor))
		b = appendText(b, 1, p.PaymentId)
		b = appendInt(b, 2, p.Minor)
	}
	if c.Contact != nil {
		b = appendHead(b, 5, contactSize(c.Contact))
		b = appendText(b, 1, c.Contact.Name)
		b = appendText(b, 2, c.Contact.Email)
	}
	return b
}

func metaSize(m *tallyv1.Meta) int {
	n := textSize(m.Id)
	for _, id := range m.Causes {
		n += nestedSize(len(id))
	}
	if m.At != nil {
		n += nestedSize(timeSize(m.At))
	}
	return n
}

func timeSize(t *timestamppb.Timestamp) int {
	return intSize(t.Seconds) + intSize(int64(t.Nanos))
}

// moneySize is the size of money whose amount is there, even if it is 0.
func moneySize(m *tallyv1.Money) int {
	return 1 + protowire.SizeVarint(uint64(*m.Minor)) + textSize(m.Currency)
}

func confirmedSize(c *tallyv1.OrderConfirmed) int {
	n := textSize(c.OrderId) + textSize(c.CustomerId) + nestedSize(moneySize(c.Total))
	for _, p := range c.Payments {
		n += nestedSize(textSize(p.PaymentId) + intSize(p.Minor))
	}
	if c.Contact != nil {
		n += nestedSize(contactSize(c.Contact))
	}
	return n
}

func contactSize(c *tallyv1.Contact) int { return textSize(c.Name) + textSize(c.Email) }
