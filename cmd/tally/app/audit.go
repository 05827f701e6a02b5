package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/audit"
	"tallystick/query/audit/causes"
	"tallystick/topology"
)

func (m *Main) auditCommand(s *settings) *cobra.Command {
	var (
		guarantee string
		r         rules
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove from the topics that every record has one disposition and the sums balance",
		Long: paragraph(`
			Reads orders, payments, corrections, confirmations, exceptions, dead letters and the
			table's changelog, applies the rules again in the order that the journal has, and
			adds up: each record in exactly one disposition, each coin with one fate, each
			confirmation once, nothing else said. Exit 1 and the differences otherwise. The settings
			of rules must be those of the workers.

			Beside running workers it judges what they had finished when it began.`),
		Example: examples(`
			tally audit
			tally audit -o json`),
		GroupID: groupLook,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := engine.ParseGuarantee(guarantee)
			if err != nil {
				return usageError("use exactly-once or at-least-once", "--guarantee has no %q", guarantee)
			}
			if err := r.validate(); err != nil {
				return err
			}
			return m.audit(cmd.Context(), s, g, r)
		},
	}
	cmd.Flags().StringVar(&guarantee, "guarantee", engine.ExactlyOnce.String(),
		"what the workers ran with; at-least-once may have said things twice")
	r.waits(cmd)
	return cmd
}

func (m *Main) audit(ctx context.Context, s *settings, g engine.Guarantee, r rules) error {
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	report, err := m.auditCluster(ctx, s, cl, g, r)
	if err != nil {
		return err
	}
	err = m.show(s, report, func(w io.Writer) error { return writeReport(w, report) })
	if err != nil {
		return err
	}
	return differences(report)
}

// differences is the error of an audit that found some.
func differences(report *audit.Report) error {
	if report.Audit == audit.OK {
		return nil
	}
	return hinted("the report lists them", "the audit found %s",
		count(report.DifferenceCount, "difference"))
}

// auditCluster audits and shows how far it is.
func (m *Main) auditCluster(
	ctx context.Context, s *settings, cl *kgo.Client, g engine.Guarantee, r rules,
) (*audit.Report, error) {
	var read atomic.Int64
	p := m.ticker(s, func() string { return "auditing: " + count(read.Load(), "record") })
	defer p.stop()
	return audit.Cluster(ctx, cl, auditOptions(s.wiring(), g, r, func(n int64) { read.Add(n) }))
}

// auditOptions say how to audit what workers of these settings do.
func auditOptions(
	w wiring, g engine.Guarantee, r rules, progress func(records int64),
) audit.Options {
	names := w.names
	return audit.Options{
		Topics: audit.Topics{
			Orders: names.Orders, Payments: w.joined(), Corrections: names.Corrections,
			Confirmations: names.Confirmations, Exceptions: names.Exceptions,
			Table: names.ConfirmTable, DeadLetters: names.DeadLetters,
			Group: names.ConfirmGroup, Journal: names.Journal(topology.Confirm),
		},
		Causes:   &causes.Options{Map: w.topology, Names: names, Chain: w.chain},
		Rules:    r.confirming(w, g),
		Retries:  names.Retry(topology.Confirm),
		Retried:  retried,
		Patience: patience,
		Progress: progress,
	}
}

// writeReport writes a report for people.
func writeReport(w io.Writer, r *audit.Report) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, n int64, note string) {
		if note != "" {
			note = "  " + note
		}
		fmt.Fprintf(out, "  %s\t%s\t%s\n", name, thousands(n), note)
	}
	fmt.Fprintln(w, "orders and payments")
	line("orders", r.Orders, "")
	line("confirmed", r.Confirmed, "paid in full")
	line("pending", r.Pending, "not paid in full yet")
	if r.Expired > 0 {
		line("expired", r.Expired, "not paid in full in time")
	}
	if r.Cancelled > 0 {
		line("cancelled", r.Cancelled, "cancelled or rejected before they were paid")
	}
	line("payments", r.Payments, "")
	for _, some := range []struct {
		name string
		n    int64
		note string
	}{
		{"excess", r.Excess, "payments that were, in part or in whole, too much"},
		{"waiting", r.Waiting, "payments for orders that are not paid in full, or not there yet"},
		{"mismatched", r.Mismatched, "payments in another currency than their order"},
		{"unmatched", r.Unmatched, "payments for orders that were cancelled, or that take no more"},
		{"late", r.Late, "payments that came when their order had expired"},
		{"reversed", r.Reversed, "payments that were taken back in time"},
		{"adjusted", r.Adjusted, "payments that came by a correction"},
		{"voided", r.Voided, "payments that a correction took back"},
		{"duplicates", r.Duplicates, "records that came again"},
		{"conflicted", r.Conflicted, "records that came again with another content"},
		{"invalid", r.Invalid, "records in the dead letters"},
		{"in flight", r.InFlight, "orders that a worker was at"},
		{"unprocessed", r.Unprocessed, "records that no worker has come to yet"},
	} {
		if some.n > 0 {
			line(some.name, some.n, some.note)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	writeMoney(w, r)
	writeCauses(w, r.Causes)
	return writeVerdict(w, r)
}

// writeMoney writes what became of the money, one line a currency.
func writeMoney(w io.Writer, r *audit.Report) {
	if len(r.Money) == 0 {
		return
	}
	columns := []struct {
		name string
		of   func(*audit.Money) int64
	}{
		{"received", func(m *audit.Money) int64 { return m.Received }},
		{"confirmed", func(m *audit.Money) int64 { return m.Confirmed }},
		{"pending", func(m *audit.Money) int64 { return m.Pending }},
		{"excess", func(m *audit.Money) int64 { return m.Excess }},
		{"mismatched", func(m *audit.Money) int64 { return m.Mismatched }},
		{"unmatched", func(m *audit.Money) int64 { return m.Unmatched }},
		{"expired", func(m *audit.Money) int64 { return m.Expired }},
		{"late", func(m *audit.Money) int64 { return m.Late }},
		{"reversed", func(m *audit.Money) int64 { return m.Reversed }},
	}
	fmt.Fprintln(w, "money, in minor units")
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{""}
	for i, c := range columns {
		var sum int64
		for _, m := range r.Money {
			sum += c.of(m)
		}
		if i > 3 && sum == 0 { // rare fates take no room where there are none
			columns[i].of = nil
			continue
		}
		head = append(head, c.name)
	}
	fmt.Fprintln(out, strings.Join(head, "\t")+"\t")
	for _, currency := range r.Currencies() {
		cells := []string{"  " + currency}
		for _, c := range columns {
			if c.of != nil {
				cells = append(cells, thousands(c.of(r.Money[currency])))
			}
		}
		fmt.Fprintln(out, strings.Join(cells, "\t")+"\t")
	}
	out.Flush()
	for _, currency := range r.Currencies() {
		if m := r.Money[currency]; m.Adjusted > 0 || m.Voided > 0 {
			fmt.Fprintf(w, "  by corrections: %s %s of what was received, %s of what was reversed\n",
				currency, thousands(m.Adjusted), thousands(m.Voided))
		}
	}
}

// writeVerdict writes the result and what it stands on.
func writeVerdict(w io.Writer, r *audit.Report) error {
	for _, d := range r.Differences {
		fmt.Fprintln(w, "  difference: "+d.String())
	}
	if more := r.DifferenceCount - int64(len(r.Differences)); more > 0 {
		fmt.Fprintf(w, "  and %s more\n", thousands(more))
	}
	kinds := slices.Sorted(maps.Keys(r.Dispositions))
	_, err := fmt.Fprintf(w, "audit: %s (%s in %s; %s recomputed; fingerprints %s)\n", r.Audit,
		count(r.Records, "record"), count(len(kinds), "disposition"), count(r.Compared, "order"),
		fingerprintsText(r.Fingerprints))
	return err
}

// retried is the record that a record of a retry topic asks to process again.
func retried(r *kgo.Record) (*kgo.Record, bool) {
	ask, err := engine.ReadRetry(r)
	if err != nil || ask.Drop {
		return nil, false
	}
	return &kgo.Record{
		Topic: ask.Topic, Partition: ask.Partition, Offset: ask.Offset, Timestamp: ask.Timestamp,
		Key: ask.Key, Value: ask.Value, Headers: ask.Headers,
	}, true
}
