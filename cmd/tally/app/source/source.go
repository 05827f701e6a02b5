// Package source reads orders and payments from files, CSV with a mapping or
// JSON lines, and says by file, line and column what it cannot read.
package source

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// Kind says which topic a record is meant for.
type Kind int

// The topics that records are meant for. Those behind Payment are of the chain
// of services only.
const (
	Order Kind = iota
	Payment
	Command
	Customer
	Product
	Stock
)

// kinds are the names of the kinds, an empty envelope of each, and the field of
// its events that is the key.
var kinds = [...]struct {
	name, key string
	envelope  proto.Message
}{
	Order:    {"order", "order_id", &tallyv1.OrderEvent{}},
	Payment:  {"payment", "order_id", &tallyv1.PaymentEvent{}},
	Command:  {"command", "order_id", &tallyv1.OrderCommand{}},
	Customer: {"customer", "customer_id", &tallyv1.CustomerEvent{}},
	Product:  {"product", "product_id", &tallyv1.ProductEvent{}},
	Stock:    {"stock", "product_id", &tallyv1.StockEvent{}},
}

// String returns the kind as a mapping writes it.
func (k Kind) String() string { return kinds[k].name }

// UnmarshalText is the inverse of [Kind.String].
func (k *Kind) UnmarshalText(text []byte) error {
	switch string(text) {
	case "order":
		*k = Order
	case "payment":
		*k = Payment
	default:
		return fmt.Errorf("kind %q is neither order nor payment", text)
	}
	return nil
}

// A Record is one record to produce: an order event, a payment event, one of the
// chain's other envelopes, or bytes that are none of them.
type Record struct {
	Kind Kind
	// Key is nil for a record that comes without one.
	Key     []byte
	Order   *tallyv1.OrderEvent
	Payment *tallyv1.PaymentEvent
	// Message is the envelope of a record of another kind.
	Message proto.Message
	// Raw is the value of a record that cannot be read; Order, Payment and Message
	// are nil then.
	Raw []byte
	// At is when the event happened, zero when nobody knows.
	At time.Time
	// Place is where the record was read, zero for one that was not.
	Place Place
}

// A Place is a place in a file.
type Place struct {
	File string
	// Line and Column count from 1; Column counts bytes.
	Line, Column int
}

// A PlaceError is what is wrong at one place of a file.
type PlaceError struct {
	Place
	Err error
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *PlaceError) Unwrap() error { return e.Err }

// at puts a place before err.
func at(file string, line, column int, err error) error {
	return &PlaceError{Place: Place{file, line, column}, Err: err}
}
