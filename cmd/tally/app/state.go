package app

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tallystick/query/history"
)

func (m *Main) stateCommand(s *settings) *cobra.Command {
	l := &lookingBack{}
	var at string
	cmd := &cobra.Command{
		Use:   "state ORDER",
		Short: "Show an order as it was at a time, or after a record",
		Long: paragraph(`
			Applies the rules again to the records about the order up to that moment, in the
			order in which the workers merged them. A time takes in what has a timestamp up to
			it; a record, topic/partition/offset, what had been done when that was done. With
			-o json the row of confirm is printed too.

			The settings of rules must be those of the workers.`),
		Example: examples(`
			tally state o1-000042 --chain --at 2026-05-04T12:00:00Z
			tally state o1-000042 --at "2h ago"
			tally state o1-000042 --at payments/3/1702
			tally state o1-000042 --at 2026-05-04 -o json`),
		GroupID: groupLook,
		Args:    exactArgs("ORDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := m.when(at)
			if err != nil {
				return err
			}
			if err := l.rules.validate(); err != nil {
				return err
			}
			return m.showState(cmd.Context(), s, l, args[0], when)
		},
	}
	atFlag(cmd, &at)
	l.register(cmd)
	return cmd
}

func atFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "at", "",
		"the moment: a time, a while ago like -2h, or a record, topic/partition/offset "+
			"(default: as it is)")
}

func (m *Main) when(text string) (history.When, error) {
	if text == "" {
		return history.When{}, nil
	}
	when, err := history.ParseWhen(text, m.Now())
	if err != nil {
		return when, usageError("for example 2026-05-04T12:00:00Z, -2h or payments/0/17",
			"--at is no moment: %q", text)
	}
	return when, nil
}

// wasAt replays an order up to a moment, and says what it cost.
func (m *Main) wasAt(
	ctx context.Context, s *settings, l *lookingBack, order string, when history.When,
) (*history.Reader, *history.State, error) {
	began := m.Now()
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	past, err := m.pastOf(ctx, s, cl, l)
	if err != nil {
		return nil, nil, err
	}
	was, err := past.At(ctx, order, when)
	if err != nil {
		return nil, nil, unknown(err, order)
	}
	m.tellCost(was.Cost, m.Now().Sub(began).Milliseconds())
	return past, was, nil
}

// showState shows an order as it was.
func (m *Main) showState(
	ctx context.Context, s *settings, l *lookingBack, order string, when history.When,
) error {
	_, was, err := m.wasAt(ctx, s, l, order, when)
	if err != nil {
		return err
	}
	return m.show(s, was, func(w io.Writer) error { return writeState(w, was) })
}

// writeState writes a state for people.
func writeState(w io.Writer, s *history.State) error {
	var b strings.Builder
	fmt.Fprintf(&b, "order %s at %s: %s\n", s.Order, s.At, s.State)
	if s.Currency != "" {
		fmt.Fprintf(&b, "  %s of %s %s paid\n", thousands(s.Paid), s.Currency, thousands(s.Total))
	}
	if s.Customer != "" {
		fmt.Fprintf(&b, "  customer %s\n", s.Customer)
	}
	for i := range s.Payments {
		p := &s.Payments[i]
		fmt.Fprintf(&b, "  payment %sof %s %s: %s\n", strings.TrimLeft(p.ID+" ", " "), p.Currency,
			thousands(p.Amount), fates(p))
	}
	if s.Deadline != nil {
		fmt.Fprintf(&b, "  %s %s\n", untilWords(s.State), s.Deadline.Format(showTime))
	}
	if s.After != nil {
		fmt.Fprintf(&b, "  after %s, the last of %s; %s since\n", s.After,
			count(s.Taken, "thing")+" that confirm had done with it", thousands(s.Later))
	} else {
		fmt.Fprintf(&b, "  confirm had done nothing with it yet; %s since\n", thousands(s.Later))
	}
	writeNotes(&b, s.Horizon, s.Notes)
	_, err := io.WriteString(w, b.String())
	return err
}

// untilWords says what the deadline of an order in that state is.
func untilWords(state string) string {
	switch state {
	case "pending":
		return "to be paid by"
	case "awaiting its order":
		return "waits for its order until"
	}
	return "settled; its row is kept as it is until"
}

// fates says what had become of a payment's money.
func fates(p *history.Payment) string {
	var words []string
	for _, part := range []struct {
		minor int64
		name  string
	}{
		{p.Confirmed, "confirmed"},
		{p.Pending, "pending"},
		{p.Excess, "excess"},
		{p.Mismatched, "in another currency"},
		{p.Unmatched, "unmatched"},
		{p.Expired, "to go back, the order expired"},
		{p.Late, "late"},
		{p.Reversed, "reversed"},
	} {
		if part.minor > 0 {
			words = append(words, thousands(part.minor)+" "+part.name)
		}
	}
	if p.ReversedLate {
		words = append(words, "reversed too late")
	}
	if words == nil {
		return "nothing"
	}
	return strings.Join(words, ", ")
}
