package audit

import (
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

// fingerprints holds the rows of a shard that is closed against what the journal had
// last when the audit began, if it tells of the table. The changelog was read after
// that: where something was done since then, its rows are those after it, or in the
// midst of it.
func (s *Shard) fingerprints(p int32, last *journal.Table, since bool) {
	f := Fingerprint{
		Partition: p, State: Unrecorded, Folded: s.folded.String(), Replayed: s.replayed.String(),
		Rows: s.folded.Rows(),
	}
	if last != nil {
		f.Recorded = last.Fingerprint
		f.State = Differences
		switch {
		case is(s.folded, *last) && is(s.replayed, *last):
			f.State = OK
		case since || s.report.InFlight > 0:
			f.State = Moving
		}
	}
	if f.State == Differences {
		s.differ(kindTable, "", "partition %d was recorded with %d rows of fingerprint %s, "+
			"the changelog has %d of %s, the rules give %d of %s", p, last.Rows, f.Recorded,
			s.folded.Rows(), f.Folded, s.replayed.Rows(), f.Replayed)
	}
	s.report.Fingerprints = append(s.report.Fingerprints, f)
}

func is(sum fingerprint.Sum, t journal.Table) bool {
	return sum.String() == t.Fingerprint && sum.Rows() == t.Rows
}
