package views_test

import (
	"testing"

	"tallystick/query/views"
	"tallystick/schemas"
)

// BenchmarkRecord is what a record costs beside Goka and the table: the row is read,
// folded and written, and its index entries are computed before and after.
func BenchmarkRecord(b *testing.B) {
	log := []views.Event{
		asked(1_000_000), placed(1_000_000, 700), paid(800_000, 700, "payment-000123"),
		confirmed(700_000),
	}
	nothing := func([]byte) {}
	b.ReportAllocs()
	for i := 0; b.Loop(); {
		var row []byte
		for range log {
			was, err := schemas.OrderViews.Unmarshal(row)
			if err != nil {
				b.Fatal(err)
			}
			next, _ := views.Step(was, log[i%len(log)])
			now, err := schemas.OrderViews.Marshal(next)
			if err != nil {
				b.Fatal(err)
			}
			views.Entries("o", row, nothing)
			views.Entries("o", now, nothing)
			row = now
			i++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(log)), "ns/record")
}
