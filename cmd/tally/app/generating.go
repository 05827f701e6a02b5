package app

import (
	"time"

	"github.com/spf13/pflag"

	"tallystick/cmd/tally/app/generate"
)

// generating is what the generator was asked for on the command line.
type generating struct {
	orders int
	seed   uint64
	start  string
	every  time.Duration
	mix    generate.Mix
}

// register adds the flags of the generator; the shares begin at the default mix.
func (g *generating) register(f *pflag.FlagSet, orders int) {
	g.mix = generate.DefaultMix()
	f.IntVar(&g.orders, "orders", orders, "how many orders are made up")
	f.Uint64Var(&g.seed, "seed", 1, "what is made up is the same for the same seed")
	f.StringVar(&g.start, "start", "2026-01-01T00:00:00Z", "when the first order is placed")
	f.DurationVar(&g.every, "every", 250*time.Millisecond, "time between two orders")
	for _, share := range shares(&g.mix) {
		f.Float64Var(share.value, share.name, *share.value, share.usage)
	}
}

// A share is one share of the mix, as the command line knows it.
type share struct {
	value       *float64
	name, usage string
}

func shares(mix *generate.Mix) []share {
	return []share{
		{&mix.Unpaid, "unpaid", "share of orders that are never paid"},
		{&mix.Partial, "partial", "share of orders that are paid in part"},
		{&mix.Split, "split", "share of orders that are paid by several payments"},
		{&mix.Excess, "excess", "share of orders that are paid too much"},
		{&mix.Duplicates, "duplicates", "share of orders of which a record comes twice"},
		{&mix.Orphans, "orphans", "share of orders beside which a payment without order comes"},
		{&mix.Mismatched, "mismatched", "share of orders with a payment in another currency"},
		{&mix.Cancelled, "cancelled", "share of orders that are cancelled"},
		{&mix.Reversed, "reversed", "share of orders of which a payment is reversed"},
		{&mix.Invalid, "invalid", "share of orders beside which an unreadable record comes"},
	}
}

// plain sets every share to zero that the command line leaves open.
func (g *generating) plain(f *pflag.FlagSet) {
	for _, share := range shares(&g.mix) {
		if !f.Changed(share.name) {
			*share.value = 0
		}
	}
}

// generator makes the generator that was asked for.
func (g *generating) generator() (*generate.Generator, error) {
	start, err := time.Parse(time.RFC3339, g.start)
	if err != nil {
		return nil, usageError("for example 2026-01-01T00:00:00Z", "--start is no time: %q", g.start)
	}
	if g.every <= 0 {
		return nil, usageError("for example 250ms", "--every must be above zero, it is %v", g.every)
	}
	made, err := generate.New(generate.Options{
		Orders: g.orders, Seed: g.seed, Start: start, Every: g.every, Mix: g.mix,
	})
	if err != nil {
		return nil, usageError("see --help", "%w", err)
	}
	return made, nil
}
