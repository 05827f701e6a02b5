package lookup

import (
	"tallystick/processors/internal/cover"
	"tallystick/schemas/tallyv1"
)

// Known is what the order service knows of one order.
type Known = cover.Deal

// A Notice is all that is taken from a record: which one it is, and the order
// that it is about.
type Notice struct {
	OrderID   string
	Topic     string
	Partition int32
	Offset    int64
}

// Step returns the confirmation that n is to be answered by, or nil. Said is the
// notice on which the order was confirmed before, as far as that is remembered.
// If n is that very record, delivered once more, the answer is given again: it may
// not have got out.
func Step(n Notice, said *Notice, known Known) *tallyv1.ConfirmationEvent {
	if said != nil && *said != n {
		return nil
	}
	return known.Confirmation()
}
