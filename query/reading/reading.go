// Package reading reads the values of every topic of events, whichever it is, as
// an [Event]: for whoever shows, counts or follows events and does not decide by
// what is in them.
package reading

import (
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// A Decoder reads one value of a topic. It keeps nothing of the bytes. Its error
// says what is wrong with them.
type Decoder func(value []byte) (Event, error)

// A Topic is a topic of events and how its values are read.
type Topic struct {
	Name   string
	Decode Decoder
}

// An Event is one event or command of any topic. Its messages belong to it and
// must not be changed.
type Event struct {
	// Kind is the name of the message, such as OrderPlaced.
	Kind string
	// Envelope is the whole value, Body the one event or command that is in it.
	Envelope proto.Message
	Body     protoreflect.Message
	// Meta is nil if the envelope has none.
	Meta *tallyv1.Meta

	json func() ([]byte, error)
}

// Of returns the decoder of a codec's topic.
func Of[T proto.Message](codec schemas.Codec[T]) Decoder {
	return func(b []byte) (Event, error) {
		m, err := codec.Unmarshal(b)
		if err != nil {
			return Event{}, err
		}
		e := Event{Envelope: m, json: func() ([]byte, error) { return codec.JSON(m) }}
		if with, ok := any(m).(interface{ GetMeta() *tallyv1.Meta }); ok {
			e.Meta = with.GetMeta()
		}
		envelope := m.ProtoReflect()
		if field := envelope.WhichOneof(envelope.Descriptor().Oneofs().Get(0)); field != nil {
			e.Body = envelope.Get(field).Message()
			e.Kind = string(e.Body.Descriptor().Name())
		}
		return e, nil
	}
}

// JSON returns the envelope in its JSON form, in one line.
func (e Event) JSON() (json.RawMessage, error) { return e.json() }

// ID returns the id by which others name the event as their cause: its own, or
// the one that follows from what it says.
func (e Event) ID() string { return schemas.IDOf(e.Envelope) }

// Order returns the id of the order that the event is about; empty if it is about
// none.
func (e Event) Order() string {
	if e.Body == nil {
		return ""
	}
	return orderOf(e.Body)
}

func orderOf(m protoreflect.Message) string {
	fields := m.Descriptor().Fields()
	if f := fields.ByName("order_id"); f != nil {
		return m.Get(f).String()
	}
	for _, name := range []protoreflect.Name{"order", "first"} {
		if f := fields.ByName(name); f != nil && f.Kind() == protoreflect.MessageKind {
			return orderOf(m.Get(f).Message())
		}
	}
	return ""
}

// AboutOrders returns the topics that anybody may read and that are keyed by
// order, in the order in which an order goes through them. Corrections are left out
// if they have no name.
func AboutOrders(n topology.Names, chain bool) []Topic {
	orders := Topic{n.Orders, Of(schemas.Orders)}
	payments := Topic{n.Payments, Of(schemas.Payments)}
	corrections := Topic{n.Corrections, Of(schemas.Corrections)}
	confirmations := Topic{n.Confirmations, Of(schemas.Confirmations)}
	exceptions := Topic{n.Exceptions, Of(schemas.Exceptions)}
	topics := []Topic{orders, payments, corrections, confirmations, exceptions}
	if chain {
		payments.Name = n.PaymentsByOrder
		topics = []Topic{
			{n.OrderCommands, Of(schemas.OrderCommands)},
			orders,
			{n.OrderChecks, Of(schemas.OrderChecks)},
			payments, corrections, confirmations, exceptions,
			{n.Notices, Of(schemas.Notices)},
		}
	}
	return slices.DeleteFunc(topics, func(t Topic) bool { return t.Name == "" })
}

// Inner returns the topics that services of the chain keep to themselves.
func Inner(n topology.Names) []Topic {
	return []Topic{
		{n.InventoryRequests, Of(schemas.StockCommands)},
		{n.InventoryReplies, Of(schemas.StockReplies)},
		{n.FraudOrders, Of(schemas.CustomerOrders)},
		{n.NotifyResults, Of(schemas.NotifyResults)},
	}
}

// Decoders returns the decoders of all topics of events, by name, those of the
// chain's inner topics with them.
func Decoders(n topology.Names, chain bool) map[string]Decoder {
	decoders := map[string]Decoder{
		n.Payments:  Of(schemas.Payments),
		n.Customers: Of(schemas.Customers),
		n.Products:  Of(schemas.Products),
		n.Stock:     Of(schemas.Stock),
	}
	for _, t := range AboutOrders(n, chain) {
		decoders[t.Name] = t.Decode
	}
	if !chain {
		return decoders
	}
	for _, t := range Inner(n) {
		decoders[t.Name] = t.Decode
	}
	return decoders
}
