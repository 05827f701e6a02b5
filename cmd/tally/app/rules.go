package app

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/processors/fraud"
	"tallystick/processors/notify"
)

// rules are the settings of what processors decide.
type rules struct {
	confirm confirm.Rules
	fraud   fraud.Rules
	notify  notify.Rules
}

// defaultRules are those of a user who has not chosen any.
func defaultRules() rules {
	return rules{
		confirm: confirm.DefaultRules(),
		fraud:   fraud.Rules{Window: fraud.DefaultWindow, Limit: fraud.DefaultLimit},
		notify:  notify.DefaultRules(),
	}
}

// register adds the flags of the rules.
func (r *rules) register(cmd *cobra.Command) {
	r.waits(cmd)
	f := cmd.Flags()
	f.DurationVar(&r.fraud.Window, "fraud-window", r.fraud.Window,
		"time over which the orders of a customer are added up")
	amountFlag(f, &r.fraud.Limit, "fraud-limit",
		"what they may come to in that time, in minor units of one currency")
	f.IntVar(&r.notify.MaxAttempts, "notify-attempts", r.notify.MaxAttempts,
		"how often a confirmation may be refused before it bounces")
	f.DurationVar(&r.notify.Backoff, "notify-backoff", r.notify.Backoff,
		"pause after the first refusal, doubled with each")
	f.DurationVar(&r.notify.Gate, "notify-gate", r.notify.Gate,
		"how long the outcome of an attempt may be missing until it is unresolved")
}

// waits adds the flags of the rules of confirm.
func (r *rules) waits(cmd *cobra.Command) {
	*r = defaultRules()
	c := &r.confirm
	add := func(to *time.Duration, name, usage string) {
		cmd.Flags().DurationVar(to, name, *to, usage+"; 0 for ever")
	}
	add(&c.PayWithin, "pay-within", "how long an order without a due time has to be paid")
	add(&c.OrderWithin, "order-within", "how long payments wait for their order")
	add(&c.KeepSettled, "keep-settled", "how long the row of a settled order stays whole")
	add(&c.KeepDigest, "keep-digest", "how long it is known after that, to recognize duplicates")
}

// confirming are the rules of confirm under a wiring.
func (r rules) confirming(w wiring, g engine.Guarantee) confirm.Rules {
	c := r.confirm
	c.RepeatSpeech, c.RequireValidation = g == engine.AtLeastOnce, w.chain
	return c
}

// validate names what is wrong with the rules.
func (r *rules) validate() error {
	if err := errors.Join(r.confirm.Validate(), r.fraud.Validate(), r.notify.Validate()); err != nil {
		return usageError(seeHelp, "%w", err)
	}
	return nil
}
