package schemas

import "time"

// The limits of what comes from outside. A record beyond one of them is
// [Malformed].
const (
	// MaxRecordBytes is the longest value of a record.
	MaxRecordBytes = 1 << 20
	// MaxIDBytes is the longest id of an order, a payment, a customer, a product,
	// an event.
	MaxIDBytes = 200
	// MaxMethodBytes is the longest name of a way to pay.
	MaxMethodBytes = 100
	// MaxReasonBytes is the longest reason of a cancel, a rejection, a reversal, a
	// correction, and the longest note.
	MaxReasonBytes = 1000
	// MaxNameBytes is the longest name of a customer, a product, or who corrects.
	MaxNameBytes = 500
	// MaxEmailBytes is the longest mail address, which is what mail itself takes.
	MaxEmailBytes = 254
	// MaxCommandBytes is the longest name of a kind of command.
	MaxCommandBytes = 100
	// MaxMinor is the largest amount, in minor units. A thousand amounts add up
	// to 10^18, which an int64 holds nine times.
	MaxMinor = 1_000_000_000_000_000
	// MaxLines is the most lines that an order can have. What a line costs, its
	// quantity times its price, is at most MaxMinor, so that the sum of all lines
	// fits an int64.
	MaxLines = 100
	// MaxQuantity is the most of one product that a line can ask for, or that can
	// come into the warehouse or be counted there at once.
	MaxQuantity = 1_000_000_000
	// MaxAttempts is the most attempts to tell somebody something.
	MaxAttempts = 10_000
	// MaxCauses is the most causes that an event can name.
	MaxCauses = 2000
	// MaxShares is the most payments that a confirmation can name.
	MaxShares = 1000
	// MaxDepth is how deep a JSON value can be nested, unknown fields included.
	MaxDepth = 32
)

// Times are between the year 1970 and the year 10000, as far as JSON can say
// them, and count microseconds; what is finer is cut off.
const (
	minSeconds = 0
	maxSeconds = 253402300799
)

// Micros returns t in microseconds since 1970, which is how rows keep times. A
// time before 1970 is 0, as is the zero time.
func Micros(t time.Time) int64 { return max(t.UnixMicro(), 0) }
