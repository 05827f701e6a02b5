package schemas

import "time"

// The limits of what comes from outside. A record beyond one of them is
// [Malformed].
const (
	// MaxRecordBytes is the longest value of a record.
	MaxRecordBytes = 1 << 20
	// MaxIDBytes is the longest id of an order, a payment, a customer, an event.
	MaxIDBytes = 200
	// MaxMethodBytes is the longest name of a way to pay.
	MaxMethodBytes = 100
	// MaxReasonBytes is the longest reason of a cancel, a rejection, a reversal.
	MaxReasonBytes = 1000
	// MaxMinor is the largest amount, in minor units. A thousand amounts add up
	// to 10^18, which an int64 holds nine times.
	MaxMinor = 1_000_000_000_000_000
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
