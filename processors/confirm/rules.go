package confirm

import (
	"errors"
	"fmt"
	"time"
)

// Rules are what a user can choose about the decision. Without any of them
// nothing ever lapses.
type Rules struct {
	// RepeatSpeech makes Step say again, under the same ids, what it has said
	// about a record that comes again. It goes with at-least-once delivery: there
	// the row may have been stored and what was said be lost, and the record that
	// is delivered again is all there is to make up for it. Under exactly-once
	// delivery the two are never apart, and repeats are left unanswered.
	RepeatSpeech bool
	// RequireValidation opens orders with OrderValidated; OrderPlaced is ignored
	// then. Without it, it is the other way round.
	RequireValidation bool
	// PayWithin is how long an order that names no due time has to be paid, from
	// the time of its record on. 0 means for ever.
	PayWithin time.Duration
	// OrderWithin is how long payments wait for their order, from the time of the
	// record of the first of them on. 0 means for ever.
	OrderWithin time.Duration
	// KeepSettled is how long a row stays whole after the last thing that it took
	// in, once it is settled. Then it is cut down to a digest. 0 means for ever.
	KeepSettled time.Duration
	// KeepDigest is how long the digest stays before the row is deleted. 0 means
	// for ever.
	KeepDigest time.Duration
}

const day = 24 * time.Hour

// The limits of the times in [Rules], where they are not 0.
const (
	MinWait = time.Second
	MaxWait = 100 * 365 * day
)

// DefaultRules returns the rules for a user who has not chosen any.
func DefaultRules() Rules {
	return Rules{
		PayWithin: 14 * day, OrderWithin: 14 * day, KeepSettled: 7 * day, KeepDigest: 90 * day,
	}
}

// Validate returns what is wrong with the rules.
func (r Rules) Validate() error {
	return errors.Join(
		checkWait("pay-within", r.PayWithin), checkWait("order-within", r.OrderWithin),
		checkWait("keep-settled", r.KeepSettled), checkWait("keep-digest", r.KeepDigest),
	)
}

func checkWait(name string, d time.Duration) error {
	if d != 0 && (d < MinWait || d > MaxWait) {
		return fmt.Errorf("%s: %v is neither 0 nor between %v and %v", name, d, MinWait, MaxWait)
	}
	return nil
}

// after returns the time so long after at, in microseconds, or 0 for never.
func after(at int64, wait time.Duration) int64 {
	if wait == 0 {
		return 0
	}
	return at + wait.Microseconds()
}
