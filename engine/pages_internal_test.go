package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSegmentsFitARecord: long keys that fire together, of letters that JSON
// writes with six, make more segments and not larger ones.
func TestSegmentsFitARecord(t *testing.T) {
	t.Parallel()
	j, c := newPages(true), newClock()
	key := []byte(strings.Repeat("<", 1000))
	const n, most = 5000, 1 << 20
	fired := make([]*kgo.Record, n)
	for i := range fired {
		fired[i] = &kgo.Record{Key: key, Value: []byte(wallClock), Timestamp: time.UnixMicro(1)}
	}
	for range 2 { // a new transaction begins anew
		j.fired(1, c, fired, 1)
		got := 0
		for _, s := range j.take()[1] {
			got += len(s.Fired)
			b, err := s.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > most {
				t.Errorf("a segment has %d bytes, a record at most %d", len(b), most)
			}
		}
		if got != n {
			t.Errorf("%d timers, want %d", got, n)
		}
	}
}
