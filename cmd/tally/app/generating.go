package app

import (
	"cmp"
	"time"

	"github.com/spf13/pflag"

	"tallystick/cmd/tally/app/generate"
)

// generating is what the generators were asked for on the command line.
type generating struct {
	orders     int
	seed       uint64
	start      string
	every, due time.Duration
	plain      bool
	flags      *pflag.FlagSet
	asked      map[string]*float64 // shares, by name
}

// register adds the flags of the generators. The shares that are shown as the
// defaults are those of the chain or of the main job.
func (g *generating) register(f *pflag.FlagSet, orders int, chain bool) {
	g.flags, g.asked = f, map[string]*float64{}
	f.IntVar(&g.orders, "orders", orders, "how many orders are made up")
	f.Uint64Var(&g.seed, "seed", 1, "what is made up is the same for the same seed")
	f.StringVar(&g.start, "start", "", "when the first order is placed (default: "+mainStart+
		", with the chain and in a demo so that the last one is placed now)")
	f.DurationVar(&g.every, "every", 250*time.Millisecond, "time between two orders")
	f.DurationVar(&g.due, "due", 0, "with the chain: how long an order may take to be paid "+
		"(default: 24h, or longer if there are very many orders)")
	main, whole := generate.DefaultMix(), generate.DefaultChainMix()
	for _, share := range shares(&main, &whole) {
		value := share.main
		if chain || value == nil {
			value = share.chain
		}
		g.asked[share.name] = f.Float64(share.name, *value, "share of "+share.usage)
	}
}

// A share is one share of the mixes, as the command line knows it; main is nil
// where only the chain has it.
type share struct {
	main, chain *float64
	name, usage string
}

func shares(m *generate.Mix, c *generate.ChainMix) []share {
	return []share{
		{&m.Unpaid, &c.Unpaid, "unpaid", "orders that are never paid"},
		{&m.Partial, &c.Partial, "partial", "orders that are paid in part"},
		{&m.Split, &c.Split, "split", "orders that are paid by several payments"},
		{&m.Excess, &c.Excess, "excess", "orders that are paid too much"},
		{&m.Duplicates, &c.Duplicates, "duplicates", "orders of which a record comes twice"},
		{&m.Orphans, &c.Orphans, "orphans", "orders beside which a payment without order comes"},
		{&m.Mismatched, &c.Mismatched, "mismatched", "orders with a payment in another currency"},
		{&m.Cancelled, &c.Cancelled, "cancelled", "orders that are cancelled"},
		{&m.Reversed, &c.Reversed, "reversed", "orders of which a payment is reversed"},
		{&m.Invalid, &c.Invalid, "invalid", "orders beside which an unreadable record comes"},
		{nil, &c.Late, "late", "orders that are paid when they have expired (chain)"},
		{nil, &c.Refused, "refused", "orders that contradict themselves (chain)"},
		{nil, &c.Closed, "closed", "orders of closed accounts (chain)"},
		{nil, &c.Discontinued, "discontinued", "orders of what is no longer sold (chain)"},
		{nil, &c.Short, "short", "orders of more than there is (chain)"},
		{nil, &c.Suspicious, "suspicious", "orders that are far too much for one customer (chain)"},
		{nil, &c.Unreachable, "unreachable", "customers whom no mail reaches (chain)"},
	}
}

// settle sets a share to what was asked for, or to 0 where nothing but what was
// asked for is wanted.
func (g *generating) settle(name string, value *float64) {
	switch {
	case g.flags.Changed(name):
		*value = *g.asked[name]
	case g.plain:
		*value = 0
	}
}

// mainStart is when the first order of the main job is placed.
const mainStart = "2026-01-01T00:00:00Z"

// begins checks and returns when the first order is placed.
func (g *generating) begins() (time.Time, error) {
	start, err := time.Parse(time.RFC3339, cmp.Or(g.start, mainStart))
	if err != nil {
		return start, usageError("for example 2026-01-01T00:00:00Z", "--start is no time: %q", g.start)
	}
	if g.every <= 0 {
		return start, usageError("for example 250ms", "--every must be above zero, it is %v", g.every)
	}
	return start, nil
}

// untilNow has the last order placed a moment ago, unless it is said when the first
// one is: rows of orders that are settled for long go by the time of day.
func (g *generating) untilNow(now time.Time) {
	if g.start == "" {
		span := time.Duration(g.orders)*g.every + 2*time.Minute // until it is paid
		g.start = now.Add(-span).UTC().Format(time.RFC3339)
	}
}

// generator makes the generator of the main job that was asked for.
func (g *generating) generator() (*generate.Generator, error) {
	start, err := g.begins()
	if err != nil {
		return nil, err
	}
	mix, unused := generate.DefaultMix(), generate.ChainMix{}
	for _, share := range shares(&mix, &unused) {
		if share.main != nil {
			g.settle(share.name, share.main)
		} else if g.flags.Changed(share.name) {
			return nil, usageError("add --chain", "--%s is for the chain only", share.name)
		}
	}
	made, err := generate.New(generate.Options{
		Orders: g.orders, Seed: g.seed, Start: start, Every: g.every, Mix: mix,
	})
	if err != nil {
		return nil, usageError(seeHelp, "%w", err)
	}
	return made, nil
}

// chain makes the generator of the chain that was asked for, with a tail or without
// one. Unless it is said when it begins, it ends now, so that the time of day and
// the time of the records agree.
func (g *generating) chain(now time.Time, tail bool) (*generate.Chain, error) {
	start, err := g.begins()
	if err != nil {
		return nil, err
	}
	unused, mix := generate.Mix{}, generate.DefaultChainMix()
	for _, share := range shares(&unused, &mix) {
		g.settle(share.name, share.chain)
	}
	o := generate.ChainOptions{
		Orders: g.orders, Seed: g.seed, Start: start, Every: g.every, Due: g.due,
		Tail: tail, Mix: mix,
	}
	made, err := generate.NewChain(o)
	if err == nil && g.start == "" {
		o.Start = now.Add(-made.Span()).Truncate(time.Second).UTC()
		made, err = generate.NewChain(o)
	}
	if err != nil {
		return nil, usageError(seeHelp, "%w", err)
	}
	return made, nil
}
