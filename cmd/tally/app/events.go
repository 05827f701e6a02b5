package app

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A reading is a topic of events and how its values are read.
type reading struct {
	topic  string
	decode func([]byte) (spoken, error)
}

// A spoken is one event or command of any topic.
type spoken struct {
	kind     string
	envelope proto.Message
	event    protoreflect.Message
	meta     *tallyv1.Meta
	json     func() (json.RawMessage, error)
}

// tells makes the reader of a codec's topic.
func tells[T proto.Message](codec schemas.Codec[T]) func([]byte) (spoken, error) {
	return func(b []byte) (spoken, error) {
		m, err := codec.Unmarshal(b)
		if err != nil {
			return spoken{}, err
		}
		t := spoken{envelope: m, json: func() (json.RawMessage, error) { return codec.JSON(m) }}
		if e, ok := any(m).(interface{ GetMeta() *tallyv1.Meta }); ok {
			t.meta = e.GetMeta()
		}
		envelope := m.ProtoReflect()
		if field := envelope.WhichOneof(envelope.Descriptor().Oneofs().Get(0)); field != nil {
			t.event = envelope.Get(field).Message()
			t.kind = string(t.event.Descriptor().Name())
		}
		return t, nil
	}
}

// aboutOrders are the topics that are keyed by order, in the order in which an
// order goes through them.
func (w wiring) aboutOrders() []reading {
	orders := reading{w.names.Orders, tells(schemas.Orders)}
	payments := reading{w.joined(), tells(schemas.Payments)}
	confirmed := reading{w.names.Confirmations, tells(schemas.Confirmations)}
	exceptions := reading{w.names.Exceptions, tells(schemas.Exceptions)}
	if !w.chain {
		return []reading{orders, payments, confirmed, exceptions}
	}
	return []reading{
		{w.names.OrderCommands, tells(schemas.OrderCommands)},
		orders,
		{w.names.OrderChecks, tells(schemas.OrderChecks)},
		payments, confirmed, exceptions,
		{w.names.Notices, tells(schemas.Notices)},
	}
}

// decoders read the values of every topic of events.
func (w wiring) decoders() map[string]func([]byte) (spoken, error) {
	readings := map[string]func([]byte) (spoken, error){}
	for _, r := range w.aboutOrders() {
		readings[r.topic] = r.decode
	}
	readings[w.names.Payments] = tells(schemas.Payments)
	readings[w.names.Customers] = tells(schemas.Customers)
	readings[w.names.Products] = tells(schemas.Products)
	readings[w.names.Stock] = tells(schemas.Stock)
	return readings
}
