package notify

import (
	"errors"
	"fmt"
	"time"
)

// Rules are what a user can choose about the decision.
type Rules struct {
	// Mail tells customers whose address the confirmation carries.
	Mail bool
	// Webhook tells another system of every confirmation.
	Webhook bool
	// MaxAttempts is how many tries may be refused before a confirmation bounces.
	MaxAttempts int
	// Backoff is the pause after the first refusal. It doubles with each, up to
	// MaxBackoff; a receiver that asks for a longer one gets it, up to a day.
	Backoff    time.Duration
	MaxBackoff time.Duration
	// Gate is how long an attempt may be without a result. It has to be longer than
	// the sender takes, its queue included.
	Gate time.Duration
	// Grace is added to Gate once, for results that were written while the
	// processor was away and are still to be read.
	Grace time.Duration
	// Keep is how long a row is kept after all has ended; 0 is for ever. With it a
	// confirmation that is older when it comes is not sent but unresolved: its row
	// may have been there and gone. Unresolved rows are kept.
	Keep time.Duration
	// RepeatSpeech says again what was said about a result that comes again. It goes
	// with at-least-once delivery. Nothing is ever sent again for it.
	RepeatSpeech bool
}

// DefaultRules tell nobody: what is to be sent has to be turned on.
func DefaultRules() Rules {
	return Rules{
		MaxAttempts: 8, Backoff: 30 * time.Second, MaxBackoff: time.Hour,
		Gate: 15 * time.Minute, Grace: time.Minute,
	}
}

// Validate names every rule that is out of its bounds.
func (r Rules) Validate() error {
	return errors.Join(
		need(r.MaxAttempts >= 1 && r.MaxAttempts <= 100, "max-attempts: %d is not within 1 and 100",
			r.MaxAttempts),
		need(r.Backoff >= time.Millisecond && r.Backoff <= r.MaxBackoff,
			"backoff: %v is not within 1ms and max-backoff", r.Backoff),
		need(r.MaxBackoff <= longestPause, "max-backoff: %v is above %v", r.MaxBackoff, longestPause),
		need(r.Gate >= time.Millisecond, "gate: %v is below 1ms", r.Gate),
		need(r.Grace >= time.Millisecond, "grace: %v is below 1ms", r.Grace),
		need(r.Keep >= 0, "keep: %v is negative", r.Keep),
	)
}

func need(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("notify: "+format, args...)
}
