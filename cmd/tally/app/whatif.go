package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/query/history"
	"tallystick/query/whatif"
	"tallystick/topology"
)

// How many orders are spelled out where nobody says.
const (
	whatifLines = 20
	whatifJSON  = 10_000
)

// A supposition is what is asked of whatif.
type supposition struct {
	rules           rules
	guarantee       string
	from, to, until string
	expect          string
	partitions      []int32
	limit           int
	park            bool
	due             time.Duration
}

func (m *Main) whatifCommand(s *settings) *cobra.Command {
	var q supposition
	cmd := &cobra.Command{
		Use:   "whatif",
		Short: "Replay the topics under other settings, and show what would be different",
		Long: paragraph(`
			Puts all that confirm has read through its rules again, in the order and by the
			clocks that the journal has, into rows of its own, and compares what they say with
			what came out. It only reads: no group, no offset, no topic is touched.

			Under the settings of the workers nothing differs. That is the rehearsal of an
			upgrade: run it with the new program, before it is deployed, with --expect none.`),
		Example: examples(`
			tally whatif --pay-within 48h
			tally whatif --due-within 10m
			tally whatif --pay-within 48h --from 2026-01-01T00:00:00Z --until now
			tally whatif --expect none`),
		GroupID: groupLook,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("limit") {
				q.limit = whatifLines
				if s.Output == outputJSON {
					q.limit = whatifJSON
				}
			}
			o, err := m.whatifOptions(s, &q)
			if err != nil {
				return err
			}
			return m.whatif(cmd.Context(), s, &q, o)
		},
	}
	q.rules.waits(cmd)
	f := cmd.Flags()
	f.StringVar(&q.guarantee, "guarantee", engine.ExactlyOnce.String(),
		"what the workers ran with; at-least-once may have said things twice")
	f.BoolVar(&q.park, "park", true, "what the workers ran with")
	f.DurationVar(&q.due, "due-within", 0,
		"make orders due so long after their record, if they name a later time or none")
	f.StringVar(&q.from, "from", "",
		"only orders whose first record is of that time or later; a time, or so long ago")
	f.StringVar(&q.to, "to", "", "only orders whose first record is before that time")
	f.StringVar(&q.until, "until", "",
		"let time go on after the last record, for deadlines that no record has passed: a time, or now")
	f.Int32SliceVar(&q.partitions, "partition", nil,
		"only these `PARTITIONS`, as in 0,3 (default: all)")
	f.Lookup("partition").DefValue = "" // which is not shown; "[]" would be
	f.IntVar(&q.limit, "limit", 0, fmt.Sprintf(
		"spell out so many orders, 0 for all (default %d, or %d with -o json)", whatifLines, whatifJSON))
	f.StringVar(&q.expect, "expect", "", "none: exit with 1 if anything differs")
	return cmd
}

// whatifOptions are what the flags ask for.
func (m *Main) whatifOptions(s *settings, q *supposition) (whatif.Options, error) {
	g, err := engine.ParseGuarantee(q.guarantee)
	switch {
	case err != nil:
		return whatif.Options{}, usageError("use exactly-once or at-least-once",
			"--guarantee has no %q", q.guarantee)
	case q.expect != "" && q.expect != "none":
		return whatif.Options{}, usageError("use none", "--expect has no %q", q.expect)
	case q.due != 0 && (q.due < confirm.MinWait || q.due > confirm.MaxWait):
		return whatif.Options{}, usageError("for example 2h", "--due-within: %v is neither 0 nor "+
			"between %v and %v", q.due, confirm.MinWait, confirm.MaxWait)
	case q.limit < 0:
		return whatif.Options{}, usageError("0 spells them all out", "--limit must not be below zero")
	}
	if err := q.rules.validate(); err != nil {
		return whatif.Options{}, err
	}
	names := s.names()
	o := whatif.Options{
		Topics: whatif.Topics{
			Orders: names.Orders, Payments: s.wiring().joined(), Confirmations: names.Confirmations,
			Corrections: names.Corrections, Exceptions: names.Exceptions, Table: names.ConfirmTable,
			Journal: names.Journal(topology.Confirm), Retries: names.Retry(topology.Confirm),
		},
		Rules: q.rules.confirming(s.wiring(), g), DueWithin: q.due,
		Parking: q.park, Retried: retried, Partitions: q.partitions, Patience: patience,
		Limit: cmp.Or(q.limit, math.MaxInt),
	}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"from", q.from, &o.From}, {"to", q.to, &o.To}, {"until", q.until, &o.Until}} {
		if *t.to, err = pastTime(t.name, t.text, m.Now()); err != nil {
			return o, err
		}
	}
	if !o.To.IsZero() && !o.From.Before(o.To) {
		return o, usageError("give a --from that is before --to", "no order is from %s on and before %s",
			o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
	}
	return o, nil
}

// pastTime reads a time, or how long ago it was; empty is the zero time.
func pastTime(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	when, err := history.ParseWhen(text, now)
	if err != nil {
		when, err = history.ParseWhen("-"+text, now) // so long ago
	}
	if err != nil || when.Time.IsZero() {
		return time.Time{}, usageError("for example 2026-01-31T12:00:00Z, or 48h for so long ago",
			"--%s is no time: %q", name, text)
	}
	return when.Time, nil
}

func (m *Main) whatif(
	ctx context.Context, s *settings, q *supposition, o whatif.Options,
) error {
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	var read atomic.Int64
	p := m.ticker(s, func() string { return "replaying: " + count(read.Load(), "record") })
	o.Progress = func(n int64) { read.Add(n) }
	began := m.Now()
	report, err := whatif.Cluster(ctx, cl, o)
	p.stop()
	switch {
	case errors.Is(err, whatif.ErrPartition):
		return usageError("leave --partition out for all of them", "%w", err)
	case err != nil:
		return err
	}
	took := m.Now().Sub(began)
	err = m.show(s, report, func(w io.Writer) error { return writeWhatif(w, report, took) })
	if err == nil && q.expect == "none" && report.Whatif != whatif.Same {
		err = hinted("the report lists them", "%s, and none was expected to",
			differing(report))
	}
	return err
}

// writeWhatif writes a report for people.
func writeWhatif(w io.Writer, r *whatif.Report, took time.Duration) error {
	err := columns(w, tabwriter.AlignRight, func(out io.Writer) { writeSums(out, r) })
	if err != nil {
		return err
	}
	return writeDiffering(w, r, took)
}

// writeSums writes how many events, and how much money, came and would have come.
func writeSums(out io.Writer, r *whatif.Report) {
	if len(r.Kinds) > 0 {
		fmt.Fprintln(out, "  events\tcame\twould\tmissing\textra\tchanged\t")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Kinds)) {
		k := r.Kinds[name]
		fmt.Fprintf(out, "  %s\t%s\t%s\t%s\t%s\t%s\t\n", name, thousands(k.Came), thousands(k.Would),
			thousands(k.Missing), thousands(k.Extra), thousands(k.Changed))
	}
	if len(r.Money) > 0 {
		fmt.Fprintln(out, "\t\t\t\t\t\t")
		fmt.Fprintln(out, "  money, minor units\tcame\twould\tdifference\t")
	}
	for _, currency := range slices.Sorted(maps.Keys(r.Money)) {
		m := r.Money[currency]
		for _, of := range []struct {
			name string
			sums whatif.Sums
		}{{"confirmed", m.Confirmed}, {"expired", m.Expired}, {"owed back", m.Owed}} {
			if of.sums != (whatif.Sums{}) {
				fmt.Fprintf(out, "  %s %s\t%s\t%s\t%s\t\n", of.name, currency, thousands(of.sums.Came),
					thousands(of.sums.Would), signed(of.sums.Would-of.sums.Came))
			}
		}
	}
}

// signed is n with its sign.
func signed(n int64) string {
	if n > 0 {
		return "+" + thousands(n)
	}
	return thousands(n)
}

// differing says how many orders differ.
func differing(r *whatif.Report) string {
	if r.OrderCount == 1 {
		return "1 order differs"
	}
	return count(r.OrderCount, "order") + " differ"
}

// writeDiffering writes the orders that differ, and the result.
func writeDiffering(w io.Writer, r *whatif.Report, took time.Duration) error {
	for _, o := range r.Orders {
		parts := make([]string, len(o.Changes))
		for i, c := range o.Changes {
			parts[i] = changeText(c)
		}
		fmt.Fprintf(w, "  order %s: %s\n", o.Order, strings.Join(parts, "; "))
	}
	if more := r.OrderCount - int64(len(r.Orders)); more > 0 {
		fmt.Fprintf(w, "  and %s more\n", thousands(more))
	}
	for _, text := range r.Unreadable {
		fmt.Fprintln(w, "  processed, and now refused: "+text)
	}
	for _, of := range []struct {
		n    int64
		text string
	}{
		{r.InFlight, "in flight: orders that a worker was at, or has yet to come to"},
		{r.Unprocessed, "unprocessed: records that no worker has come to yet"},
		{r.UnreadableCount, "processed, and now refused"},
	} {
		if of.n > 0 {
			fmt.Fprintf(w, "  %s %s\n", thousands(of.n), of.text)
		}
	}
	verdict := "the same"
	if r.Whatif != whatif.Same {
		verdict = differing(r)
	}
	_, err := fmt.Fprintf(w, "what if: %s (%s and %s replayed in %s ms)\n", verdict,
		count(r.Records, "record"), count(r.Fired, "deadline"), thousands(took.Milliseconds()))
	return err
}

// changeText is one change in words.
func changeText(c whatif.Change) string {
	text := c.What + " " + c.Kind
	if c.Money != nil {
		text += " of " + c.Money.Currency + " " + thousands(c.Money.Minor)
	}
	if c.Place != "" {
		text += " at " + c.Place
	}
	return text
}
