package history_test

import (
	"fmt"
	"testing"
	"time"

	"tallystick/processors/confirm"
	"tallystick/query/history"
)

// fill lets a worker do so many orders, each with a payment soon after it, some of
// them in a transaction, and returns the places of the payments.
func fill(w *world, orders, some int) []history.Place {
	var paid []history.Place
	at := noon
	for i := 0; i < orders; i += some {
		var took []history.Place
		for k := i; k < min(i+some, orders); k++ {
			at = at.Add(10 * time.Millisecond)
			key := fmt.Sprintf("o%06d", k)
			w.place(key, at, 500, time.Hour)
			took = append(took, w.pay(key, "p-"+key, at.Add(time.Millisecond), 500))
		}
		w.begin()
		w.waiting()
		w.commit()
		w.flush()
		paid = append(paid, took...)
	}
	return paid
}

// BenchmarkPast asks about an order in the middle of a partition of 100,000 orders
// and as many payments, by a scan and by an index.
func BenchmarkPast(b *testing.B) {
	const orders = 100_000
	w := newWorld(b.Context(), b, newBroker(b), confirm.Rules{KeepSettled: 24 * time.Hour})
	paid := fill(w, orders, 10)
	o := w.options()
	key := fmt.Sprintf("o%06d", orders/2)
	one := w.open()
	s := tell(w, one, key)
	index := places{}
	for _, e := range s.Events {
		index = append(index, e.Place)
	}
	for name, finder := range map[string]history.Finder{"Scan": nil, "Index": index} {
		o.Finder = finder
		open := func(b *testing.B) *history.Reader {
			r, err := history.Open(b.Context(), w.b.cl, o)
			w.must(err)
			return r
		}
		b.Run(name+"/Story", func(b *testing.B) {
			for b.Loop() {
				s := tell(w, open(b), key)
				b.ReportMetric(float64(s.Cost.Records), "records/op")
			}
		})
		b.Run(name+"/At", func(b *testing.B) {
			for b.Loop() {
				s, err := open(b).At(b.Context(), key, history.When{Place: paid[orders/2]})
				w.must(err)
				b.ReportMetric(float64(s.Cost.Records), "records/op")
			}
		})
	}
}
