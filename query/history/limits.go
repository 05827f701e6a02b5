package history

import (
	"errors"
	"fmt"
)

// What is told of an order is held in memory as a whole, by whoever asks a worker in the
// worker's.
const (
	// MaxRecords is how many records an order may have to be told of. An order with a thousand
	// payments, which is as many as confirm counts, has some five thousand.
	MaxRecords = 20_000
	// MaxRecordBytes is how much the values of these records may come to.
	MaxRecordBytes = 32 << 20
	// MaxRowBytes is how much of rows before and after a story gives, as JSON: those
	// that come first. Beyond it they are left out.
	MaxRowBytes = 8 << 20
	// MaxValueBytes is the same for the values of records.
	MaxValueBytes = 8 << 20
)

// ErrLong means that an order has more records than are read to tell of it.
var ErrLong = errors.New("history: the order has more records than are read")

// bearable returns ErrLong if there is more than is read.
func bearable(records, bytes int) error {
	switch {
	case records > MaxRecords:
		return fmt.Errorf("%w: above %d", ErrLong, MaxRecords)
	case bytes > MaxRecordBytes:
		return fmt.Errorf("%w: above %d MiB", ErrLong, MaxRecordBytes>>20)
	}
	return nil
}

// An allowance is how many bytes may still be given. Once something was too much,
// all that comes is left out.
type allowance struct {
	bytes int
	out   int // how often something was left out
}

func (a *allowance) take(bytes int) bool {
	if a.out > 0 || bytes > a.bytes {
		a.out++
		return false
	}
	a.bytes -= bytes
	return true
}
