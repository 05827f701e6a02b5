package audit

import (
	"testing"

	"tallystick/engine/journal"
	"tallystick/processors/confirm"
	"tallystick/state/fingerprint"
)

// TestFingerprints tells what is made of a table that is as it was recorded, of one
// that is not, and of one that a worker was at.
func TestFingerprints(t *testing.T) {
	table := func(rows ...string) (sum fingerprint.Sum, recorded *journal.Table) {
		for _, row := range rows {
			sum.Add(row, []byte("value of "+row))
		}
		return sum, &journal.Table{Fingerprint: sum.String(), Rows: sum.Rows()}
	}
	two, was := table("a", "b")
	one, then := table("a")
	for _, c := range []struct {
		name             string
		folded, replayed fingerprint.Sum
		last             *journal.Table
		since            bool
		inFlight         int64
		want             string
	}{
		{"as recorded", two, two, was, false, 0, OK},
		{"a row lost", one, two, was, false, 0, Differences},
		{"a row that should not be", two, one, then, false, 0, Differences},
		{"other rules", two, one, was, false, 0, Differences},
		{"a worker goes on", two, one, then, true, 0, Moving},
		{"a worker is at a key", one, one, was, false, 1, Moving},
		{"of before fingerprints", two, two, nil, false, 0, Unrecorded},
	} {
		s := NewShard(Topics{}, nil, confirm.Rules{})
		s.folded, s.replayed, s.report.InFlight = c.folded, c.replayed, c.inFlight
		s.fingerprints(3, c.last, c.since)
		got, wrong := s.report.Fingerprints[0], s.report.DifferenceCount
		if got.State != c.want || got.Partition != 3 || (wrong > 0) != (c.want == Differences) {
			t.Errorf("%s: %+v, %d differences, want %s", c.name, got, wrong, c.want)
		}
	}
}
