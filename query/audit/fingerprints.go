package audit

import (
	"context"
	"fmt"

	"tallystick/engine/journal"
	"tallystick/state/fingerprint"
)

// A Fingerprint is what the rows of one partition of the table sum up to, as it was
// recorded, as the table's changelog gives it, and as the rules do.
type Fingerprint struct {
	Partition int32 `json:"partition"`
	// State is OK, Differences, or why nothing can be told.
	State string `json:"state"`
	// Recorded is what the journal has last, Folded the sum of the rows that are left
	// of the changelog, Replayed that of the rows by the rules.
	Recorded string `json:"recorded,omitempty"`
	Folded   string `json:"folded"`
	Replayed string `json:"replayed"`
	// Rows is how many there are in the changelog.
	Rows int64 `json:"rows"`
}

// Why nothing can be told by a fingerprint.
const (
	// Unrecorded is a journal without one.
	Unrecorded = "not recorded"
	// Moving is a table that a worker was at.
	Moving = "in flight"
)

// A recorded is what a journal tells about a table: the fingerprint before the
// audit began, and those of what was done since then.
type recorded struct {
	last  *journal.Table
	since []journal.Table
}

// recorded reads the end of the journal of a partition.
func (r *reader) recorded(ctx context.Context, p int32) (recorded, error) {
	var rec recorded
	topic := r.Topics.Journal
	span, settled := r.came.Span(topic, p), r.before.Span(topic, p).End
	for back := int64(64); rec.last == nil; back *= 8 {
		rec = recorded{}
		from := max(span.Start, settled-back)
		for record, err := range r.came.Range(ctx, topic, p, from, span.End) {
			if err != nil {
				return rec, err
			}
			s, err := journal.Parse(record.Value)
			switch {
			case err != nil:
				return rec, fmt.Errorf("audit: %s/%d@%d: %w", topic, p, record.Offset, err)
			case s.Table == nil:
			case record.Offset < settled:
				rec.last = s.Table
			default:
				rec.since = append(rec.since, *s.Table)
			}
		}
		if from == span.Start {
			break
		}
	}
	return rec, nil
}

// fingerprints holds the rows of a shard that is closed against what was recorded.
// The changelog was read after the first look at the journal and before the second:
// its rows are those after one of the transactions in between, or in the midst of
// one.
func (s *Shard) fingerprints(p int32, rec recorded) {
	f := Fingerprint{
		Partition: p, State: Unrecorded, Folded: s.folded.String(), Replayed: s.replayed.String(),
		Rows: s.folded.Rows(),
	}
	moving := s.report.InFlight > 0 || len(rec.since) > 0
	if rec.last != nil {
		f.Recorded = rec.last.Fingerprint
		f.State = Differences
		switch {
		case is(s.folded, *rec.last) && is(s.replayed, *rec.last):
			f.State = OK
		case moving:
			f.State = Moving
		}
	}
	if f.State == Differences {
		s.differ(kindTable, "", "partition %d was recorded with %d rows of fingerprint %s, "+
			"the changelog has %d of %s, the rules give %d of %s", p, rec.last.Rows, f.Recorded,
			s.folded.Rows(), f.Folded, s.replayed.Rows(), f.Replayed)
	}
	s.report.Fingerprints = append(s.report.Fingerprints, f)
}

func is(sum fingerprint.Sum, t journal.Table) bool {
	return sum.String() == t.Fingerprint && sum.Rows() == t.Rows
}
