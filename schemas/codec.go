package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// The codecs of the topics.
var (
	// Orders is the codec of the topic of orders.
	Orders = Codec[*tallyv1.OrderEvent]{
		kind:  "order event",
		fresh: func() *tallyv1.OrderEvent { return new(tallyv1.OrderEvent) },
		check: checkOrder,
		plain: plainOrder,
	}
	// Payments is the codec of the topic of payments.
	Payments = Codec[*tallyv1.PaymentEvent]{
		kind:  "payment event",
		fresh: func() *tallyv1.PaymentEvent { return new(tallyv1.PaymentEvent) },
		check: checkPayment,
		plain: plainPayment,
	}
	// Confirmations is the codec of the topic of confirmations.
	Confirmations = Codec[*tallyv1.ConfirmationEvent]{
		kind:  "confirmation event",
		fresh: func() *tallyv1.ConfirmationEvent { return new(tallyv1.ConfirmationEvent) },
		check: checkConfirmation,
		write: appendConfirmation,
	}
	// Exceptions is the codec of the topic of exceptions.
	Exceptions = Codec[*tallyv1.ExceptionEvent]{
		kind:  "exception event",
		fresh: func() *tallyv1.ExceptionEvent { return new(tallyv1.ExceptionEvent) },
		check: checkException,
	}
	// OrderCommands is the codec of the topic of commands about orders.
	OrderCommands = Codec[*tallyv1.OrderCommand]{
		kind:  "order command",
		fresh: func() *tallyv1.OrderCommand { return new(tallyv1.OrderCommand) },
		check: checkCommand,
	}
	// OrderChecks is the codec of the topic of what was found about new orders.
	OrderChecks = Codec[*tallyv1.OrderCheckEvent]{
		kind:  "order check event",
		fresh: func() *tallyv1.OrderCheckEvent { return new(tallyv1.OrderCheckEvent) },
		check: checkOrderCheck,
	}
	// Customers is the codec of the compacted topic of customers.
	Customers = Codec[*tallyv1.CustomerEvent]{
		kind:  "customer event",
		fresh: func() *tallyv1.CustomerEvent { return new(tallyv1.CustomerEvent) },
		check: checkCustomer,
	}
	// Products is the codec of the compacted topic of products.
	Products = Codec[*tallyv1.ProductEvent]{
		kind:  "product event",
		fresh: func() *tallyv1.ProductEvent { return new(tallyv1.ProductEvent) },
		check: checkProduct,
	}
	// Stock is the codec of the topic of what the warehouse says.
	Stock = Codec[*tallyv1.StockEvent]{
		kind:  "stock event",
		fresh: func() *tallyv1.StockEvent { return new(tallyv1.StockEvent) },
		check: checkStock,
	}
	// Corrections is the codec of the topic of what an operator corrects.
	Corrections = Codec[*tallyv1.CorrectionEvent]{
		kind:  "correction event",
		fresh: func() *tallyv1.CorrectionEvent { return new(tallyv1.CorrectionEvent) },
		check: checkCorrection,
	}
	// Notices is the codec of the topic of what became of telling customers.
	Notices = Codec[*tallyv1.NoticeEvent]{
		kind:  "notice event",
		fresh: func() *tallyv1.NoticeEvent { return new(tallyv1.NoticeEvent) },
		check: checkNotice,
	}
)

// A Codec turns the bytes of one topic's records into its envelope and back. It
// is a goka.Codec, and safe for concurrent use.
type Codec[T proto.Message] struct {
	kind  string
	fresh func() T
	check func(T) error
	// plain reads, and write writes, the binary form faster than the generated
	// code. Either may be nil, and plain returns nil for what it does not read.
	plain func([]byte) T
	write func(T) []byte
}

// Encode returns the binary form of value, which must be a T and valid.
func (c Codec[T]) Encode(value any) ([]byte, error) {
	m, ok := value.(T)
	if !ok {
		return nil, fmt.Errorf("schemas: %T is not a %s", value, c.kind)
	}
	return c.Marshal(m)
}

// Decode returns the T that b holds, in its binary or its JSON form, or else a
// [Malformed] with the reason. The error is always nil.
func (c Codec[T]) Decode(b []byte) (any, error) {
	m, err := c.parse(b)
	if err != nil {
		return Malformed{Reason: err.Error(), Bytes: b}, nil
	}
	return m, nil
}

// Marshal returns the binary form of m. It refuses what Unmarshal would refuse.
func (c Codec[T]) Marshal(m T) ([]byte, error) {
	if err := c.check(m); err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	if c.write != nil {
		return c.write(m), nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return b, nil
}

// Unmarshal returns what b holds, in its binary or its JSON form.
func (c Codec[T]) Unmarshal(b []byte) (T, error) {
	m, err := c.parse(b)
	if err != nil {
		var none T
		return none, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return m, nil
}

// JSON returns the JSON form of m in one line, with the field names of the
// .proto files.
func (c Codec[T]) JSON(m T) ([]byte, error) {
	b, err := compactJSON(m)
	if err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return b, nil
}

// Text is a codec that writes the JSON form instead of the binary one, for topics
// that people or tools without the schema read. It reads both.
type Text[T proto.Message] struct{ Codec[T] }

// Text returns c as a codec that writes JSON.
func (c Codec[T]) Text() Text[T] { return Text[T]{c} }

// Encode returns the JSON form of value, which must be a T and valid.
func (t Text[T]) Encode(value any) ([]byte, error) {
	m, ok := value.(T)
	if !ok {
		return nil, fmt.Errorf("schemas: %T is not a %s", value, t.kind)
	}
	if err := t.check(m); err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", t.kind, err)
	}
	return t.JSON(m)
}

// parse reads either form and checks what it has read.
func (c Codec[T]) parse(b []byte) (T, error) {
	var none T
	switch {
	case len(b) == 0:
		return none, errors.New("the value is empty")
	case len(b) > MaxRecordBytes:
		return none, fmt.Errorf("the value has %d bytes, the limit is %d",
			len(b), MaxRecordBytes)
	case c.plain != nil && (b[0] == tagMeta || b[0] == tagMain):
		if m := c.plain(b); any(m) != any(none) {
			return m, c.check(m)
		}
	}
	m := c.fresh()
	switch {
	case isBlank(b[0]) && !isJSON(b):
		return m, errors.New("neither JSON nor Protobuf: it begins with a blank")
	case isJSON(b):
		in := protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: MaxDepth}
		if err := in.Unmarshal(b, m); err != nil {
			return m, errors.New("bad JSON: " + plain(err))
		}
	default:
		in := proto.UnmarshalOptions{DiscardUnknown: true}
		if err := in.Unmarshal(b, m); err != nil {
			return m, errors.New("neither JSON nor Protobuf: " + plain(err))
		}
	}
	return m, c.check(m)
}

// isJSON reports whether the first byte that is not blank is '{'. The binary
// form of an envelope begins with none of these bytes.
func isJSON(b []byte) bool {
	for _, c := range b {
		if !isBlank(c) {
			return c == '{'
		}
	}
	return false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// compactJSON is protojson without its random blanks, so that the same message
// is always the same bytes.
func compactJSON(m proto.Message) ([]byte, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// plain is the text of an error of the protobuf module without the prefix and
// the no-break blanks that it strews in.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimSpace(strings.TrimPrefix(text, "proto:"))
}
