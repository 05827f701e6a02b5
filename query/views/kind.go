package views

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas/tallyv1"
)

// envelope returns what the records of a topic are, or nil.
func envelope(topic tallyv1.OrderView_Topic) proto.Message {
	switch topic {
	case tallyv1.OrderView_ORDER_COMMANDS:
		return (*tallyv1.OrderCommand)(nil)
	case tallyv1.OrderView_ORDERS:
		return (*tallyv1.OrderEvent)(nil)
	case tallyv1.OrderView_ORDER_CHECKS:
		return (*tallyv1.OrderCheckEvent)(nil)
	case tallyv1.OrderView_PAYMENTS:
		return (*tallyv1.PaymentEvent)(nil)
	case tallyv1.OrderView_CONFIRMATIONS:
		return (*tallyv1.ConfirmationEvent)(nil)
	case tallyv1.OrderView_EXCEPTIONS:
		return (*tallyv1.ExceptionEvent)(nil)
	case tallyv1.OrderView_NOTICES:
		return (*tallyv1.NoticeEvent)(nil)
	case tallyv1.OrderView_CORRECTIONS:
		return (*tallyv1.CorrectionEvent)(nil)
	}
	return nil
}

// KindOf names an event or a command by its field number in its topic's envelope,
// or returns nothing if there is no such.
func KindOf(topic tallyv1.OrderView_Topic, number uint32) string {
	m := envelope(topic)
	if m == nil {
		return ""
	}
	f := m.ProtoReflect().Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number))
	if f == nil || f.Message() == nil {
		return ""
	}
	return string(f.Message().Name())
}

// numberOf is the inverse of [KindOf] for what an envelope holds.
func numberOf(m proto.Message) uint32 {
	r := m.ProtoReflect()
	if f := r.WhichOneof(r.Descriptor().Oneofs().Get(0)); f != nil {
		return uint32(f.Number())
	}
	return 0
}
