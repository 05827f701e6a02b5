package replay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
	"tallystick/query/replay"
)

// TestLastTable looks for the last table in journals whose ends say nothing of it,
// as those of segments that are continued and of versions before do.
func TestLastTable(t *testing.T) {
	for _, c := range []struct {
		segments int
		tables   map[int]int64 // rows in the segment of that number
		want     string
	}{
		{0, nil, "no table"},
		{3, nil, "no table"},
		{3, map[int]int64{0: 1, 1: 2}, "2 rows"},
		{1000, map[int]int64{0: 1}, "1 rows"},
		{1000, map[int]int64{0: 1, 420: 7, 421: 8, 999: 9}, "9 rows"},
		{1000, map[int]int64{0: 1, 420: 7, 421: 8}, "8 rows"},
		{1000, nil, "no table"},
	} {
		cl, _ := cluster(t)
		var rs []*kgo.Record
		for n := range c.segments {
			s := &journal.Segment{Clock: &journal.Clock{}}
			if rows, ok := c.tables[n]; ok {
				s.Table = &journal.Table{Fingerprint: "f", Rows: rows}
			}
			value, err := s.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, &kgo.Record{Topic: "log", Value: value})
		}
		if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		log, err := replay.Open(t.Context(), cl, time.Minute, "log")
		if err != nil {
			t.Fatal(err)
		}
		table, err := log.LastTable(t.Context(), "log", 0)
		got := "no table"
		if table != nil {
			got = fmt.Sprintf("%d rows", table.Rows)
		}
		if err != nil || got != c.want {
			t.Errorf("%d segments with tables in %v: got %s, %v, want %s", c.segments, c.tables, got,
				err, c.want)
		}
	}
}
