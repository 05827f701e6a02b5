package app

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
	"tallystick/query/replay"
	"tallystick/state"
)

// What a fingerprint can agree with.
const (
	agreesRows      = "rows"
	agreesChangelog = "changelog"
	agreesJournal   = "journal"
)

// journalOf returns the journal of the processor's group, empty if it has none.
func (s *settings) journalOf(
	ctx context.Context, cl *kgo.Client, processor string,
) (string, error) {
	p, ok := s.topology(shape{}).Processor(processor)
	if !ok || p.Journal == "" {
		return "", nil
	}
	found, err := kadm.NewClient(cl).ListTopics(ctx, p.Journal)
	if err != nil {
		return "", fmt.Errorf("topic %s: %w", p.Journal, err)
	}
	if !found.Has(p.Journal) {
		return "", nil
	}
	return p.Journal, nil
}

// fingerprint compares what a worker keeps beside the rows with what follows from
// them, from the changelog up to the same offset, and with what the journal says.
func (c *comparison) fingerprint(
	ctx context.Context, v *verifiedPartition, at standing, log *replay.Log,
	rows, want map[string][]byte,
) error {
	if at.Fingerprint == "" {
		return nil // of a worker of a version before fingerprints
	}
	is := func(what, says string, sum state.Fingerprint) {
		if sum.String() == at.Fingerprint && sum.Rows() == at.Rows {
			v.Agreed = append(v.Agreed, what)
			return
		}
		c.differ(v, "the fingerprint is %s of %s, %s %s of %s", at.Fingerprint,
			count(at.Rows, "row"), says, sum, count(sum.Rows(), "row"))
	}
	is(agreesRows, "the rows have", sumOf(rows))
	if v.Moved == 0 {
		is(agreesChangelog, fmt.Sprintf("the changelog up to offset %d has", at.Offset), sumOf(want))
	}
	if c.journal == "" {
		return nil
	}
	found, due, err := journalled(ctx, log, c.journal, v.Partition, at)
	switch {
	case err != nil:
		return err
	case found:
		v.Agreed = append(v.Agreed, agreesJournal)
	case due:
		c.differ(v, "the fingerprint is %s of %s, which the journal %s does not have",
			at.Fingerprint, count(at.Rows, "row"), c.journal)
	}
	return nil
}

// sumOf is the fingerprint of rows; nil is one that was deleted.
func sumOf(rows map[string][]byte) state.Fingerprint {
	var sum state.Fingerprint
	for key, value := range rows {
		if value != nil {
			sum.Add(key, value)
		}
	}
	return sum
}

// journalTail is how much of a journal is read first. A worker that runs is found
// there.
const journalTail = 5_000

// journalled looks for a fingerprint in a partition of a journal, its end first. It
// also tells whether it had to be there: not in a journal whose beginning is gone or
// was written before there were fingerprints, and not before the first commit.
func journalled(
	ctx context.Context, log *replay.Log, topic string, p int32, at standing,
) (found, due bool, err error) {
	span := log.Span(topic, p)
	due = span.Start == 0 && at.Offset >= 0
	from, to := max(span.Start, span.End-journalTail), span.End
	for from < to && !found {
		first := true
		for r, err := range log.Range(ctx, topic, p, from, to) {
			if err != nil {
				return false, false, err
			}
			s, err := journal.Parse(r.Value)
			if err != nil {
				return false, false, fmt.Errorf("%s/%d at offset %d: %w", topic, p, r.Offset, err)
			}
			if first && from == span.Start {
				due = due && s.Table != nil
			}
			first = false
			found = found || s.Table != nil && s.Table.Fingerprint == at.Fingerprint &&
				s.Table.Rows == at.Rows
		}
		from, to = span.Start, from
	}
	return found, due, nil
}
