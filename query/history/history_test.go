package history_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/query/history"
	"tallystick/topology"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// TestEveryMoment: after each record about an order, and after each deadline, the
// state is what the row of the worker was; by the time of the last, or of any, what
// came until then in its order; at the end the table.
func TestEveryMoment(t *testing.T) {
	b := newBroker(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t.Context(), rt, b, confirm.Rules{
			PayWithin: 10 * time.Second, OrderWithin: 20 * time.Second, KeepSettled: 15 * time.Second,
			KeepDigest: time.Minute,
		})
		keys := drawTraffic(rt, w)
		r := w.open()
		for _, key := range keys {
			steps := w.was[key]
			for i, s := range steps {
				if i+1 < len(steps) && steps[i+1].place == s.place {
					continue // the other one of two deadlines of one page counts
				}
				got, err := r.At(t.Context(), key, history.When{Place: s.place})
				w.must(err)
				if want := rowJSON(w, s.row); string(got.Row) != want {
					rt.Fatalf("%s after %s, moment %d:\ngot  %s\nwant %s", key, s.place, i, got.Row, want)
				}
				if got.Taken+got.Later != len(steps) || got.After == nil || *got.After != s.place {
					rt.Fatalf("%s after %s: %d taken, %d later, after %v", key, s.place, got.Taken, got.Later,
						got.After)
				}
			}
			if len(steps) == 0 {
				continue
			}
			for _, end := range []history.When{{}, {Time: noon.AddDate(200, 0, 0)}} {
				got, err := r.At(t.Context(), key, end)
				w.must(err)
				if want := rowJSON(w, w.rows[key]); string(got.Row) != want {
					rt.Fatalf("%s at %s:\ngot  %s\nwant %s", key, end, got.Row, want)
				}
			}
			orderedByCause(rt, tell(w, r, key))
		}
	})
}

// drawTraffic lets a worker do something, and returns the keys.
func drawTraffic(rt *rapid.T, w *world) []string {
	start := noon
	if rapid.Bool().Draw(rt, "ahead") { // of the time at which the journal is written
		start = start.AddDate(100, 0, 0)
	}
	keys := []string{"a", "b", `"<c>é`}
	log := map[string][]*kgo.Record{}
	at := start
	draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, name) }
	for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
		for range draw("records", 6) {
			at = at.Add(time.Duration(draw("seconds", 8)) * time.Second)
			key := keys[draw("key", len(keys))]
			n := len(w.queue)
			when := at.Add(-time.Duration(draw("late", 15)) * time.Second)
			switch id := fmt.Sprint("p", draw("payment", 4)); draw("what", 10) {
			case 0, 1:
				w.place(key, when, 500, time.Duration(draw("due", 10))*time.Second)
			case 2:
				w.cancel(key, when)
			case 3:
				w.reverse(key, id, when)
			case 4:
				w.void(key, id, when)
			case 5:
				w.adjust(key, "a"+id, when, int64(100+100*draw("minor", 5)))
			default:
				w.pay(key, id, when, int64(100*draw("minor", 6)))
			}
			r := w.queue[n]
			log[r.Topic] = append(log[r.Topic], r)
		}
		w.begin()
		for {
			var open []string
			for _, topic := range []string{
				w.names.Orders, w.names.Payments, w.names.Corrections, w.names.Retry(topology.Confirm),
			} {
				if w.waits(topic) > 0 {
					open = append(open, topic)
				}
			}
			if open == nil {
				break
			}
			topic := open[draw("topic", len(open))]
			r, retry := log[topic][w.done[topic]], topic == w.names.Retry(topology.Confirm)
			refuse := !retry && draw("refuse", 10) == 0
			if w.take(topic, r, refuse); refuse && rapid.Bool().Draw(rt, "again") {
				n := len(w.queue)
				w.again(r)
				again := w.queue[n]
				log[again.Topic] = append(log[again.Topic], again)
			}
			if draw("page", 5) == 0 {
				w.more()
			}
		}
		if rapid.Bool().Draw(rt, "timers") {
			w.due()
		}
		w.commit()
	}
	return keys
}

func tell(w *world, r *history.Reader, key string) *history.Story {
	w.t.Helper()
	s, err := r.Story(w.ctx, key)
	w.must(err)
	return s
}

// orderedByCause holds that no event stands above one that it follows from, and
// that the rows of confirm are those of its moments, one after the other.
func orderedByCause(t failer, s *history.Story) {
	t.Helper()
	for i := range s.Events {
		e := &s.Events[i]
		if e.No != i+1 || len(e.Missing) > 0 {
			t.Fatal(fmt.Sprintf("event %d: number %d, missing %v", i, e.No, e.Missing))
		}
		for _, cause := range e.Because {
			if cause >= e.No {
				t.Fatal(fmt.Sprintf("%s at %s stands above %d", e.Type, e.Place, cause))
			}
		}
		if len(e.Causes) > 0 && len(e.Because) == 0 {
			t.Fatal(fmt.Sprintf("%s at %s has no causes in the story", e.Type, e.Place))
		}
	}
	last := "null"
	for i := range s.Events {
		if row := s.Events[i].Row; row != nil {
			if string(row.Before) != last {
				t.Fatal("before", s.Events[i].Place, "the row is", string(row.Before), "it was", last)
			}
			last = string(row.After)
		}
	}
	if string(s.Row) != last || len(s.Notes) > 0 {
		t.Fatal("the row is", string(s.Row), "the last was", last, s.Notes)
	}
}

// all does all that waits in one transaction, and what is due then.
func (w *world) all() {
	w.begin()
	w.waiting()
	w.due()
	w.commit()
}

// waiting does all that waits.
func (w *world) waiting() {
	for _, r := range slices.Clone(w.queue) {
		if (r.Topic == w.names.Orders || r.Topic == w.names.Payments) && w.waits(r.Topic) > 0 {
			w.take(r.Topic, r, false)
		}
	}
}

// TestStory: a payment that comes before its order, and confirms it.
func TestStory(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{KeepSettled: time.Hour})
	paid := w.pay("o", "p", noon, 700)
	placed := w.place("o", noon.Add(time.Second), 500, 0)
	w.pay("other", "p", noon, 1)
	w.all()
	s := tell(w, w.open(), "o")
	var got strings.Builder
	for _, e := range s.Events {
		fmt.Fprintf(&got, "%d %d %s %v", e.No, e.Depth, e.Type, e.Because)
		if e.Row != nil {
			got.WriteString(" " + e.Row.Words)
		}
		got.WriteByte('\n')
	}
	want := `1 0 PaymentReceived [] → awaiting its order, p EUR 700 waiting
2 0 OrderPlaced [] awaiting its order, p EUR 700 waiting → confirmed, 500 of EUR 500 paid, p 200 ...
3 1 OrderConfirmed [1 2]
4 1 PaymentExcess [1 2]
5 2 RefundOwed [4]
`
	if strings.Replace(got.String(), "p 200 excess", "p 200 ...", 1) != want {
		t.Errorf("got\n%swant\n%s", &got, want)
	}
	if s.State != "confirmed" || !strings.Contains(s.Why, "OrderConfirmed at ") {
		t.Errorf("it is %s because of %s", s.State, s.Why)
	}
	var chart strings.Builder
	if err := s.Mermaid(&chart); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"flowchart TD\n", "  e1 --> e3\n", "  e2 --> e3\n", paid.String()} {
		if !strings.Contains(chart.String(), want) {
			t.Errorf("no %q in\n%s", want, &chart)
		}
	}
	r := w.open()
	for place, state := range map[history.Place]string{
		paid: "awaiting its order", placed: "confirmed",
	} {
		was, err := r.At(t.Context(), "o", history.When{Place: place})
		if err != nil || was.State != state {
			t.Errorf("after %s it was %s: %v", place, was.State, err)
		}
	}
	// The excess was said at the order.
	was, err := r.At(t.Context(), "o", history.When{Place: history.Place{Topic: w.names.Exceptions}})
	if err != nil || was.State != "confirmed" || was.Paid != 500 || was.Payments[0].Excess != 200 {
		t.Errorf("after what was said: %+v, %v", was, err)
	}
	was, err = r.At(t.Context(), "o", history.When{Time: noon})
	if err != nil || was.Taken != 1 || was.Later != 1 {
		t.Errorf("at the time of the payment: %+v, %v", was, err)
	}
	was, err = r.At(t.Context(), "o", history.When{Time: noon.Add(-time.Second)})
	if err != nil || was.State != "unknown" || was.Taken != 0 || string(was.Row) != "null" {
		t.Errorf("before everything: %+v, %v", was, err)
	}
}

// TestNoMoment: what there is no state after is said, with what to ask instead.
func TestNoMoment(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	w.place("o", noon, 500, 0)
	other := w.place("other", noon, 500, 0)
	w.all()
	open := w.pay("o", "p", noon, 100)
	r := w.open()
	at := func(order string, p history.Place) error {
		_, err := r.At(t.Context(), order, history.When{Place: p})
		return err
	}
	if err := at("o", open); !errors.Is(err, history.ErrUnprocessed) {
		t.Errorf("not processed: %v", err)
	}
	var place *history.PlaceError
	if err := at("o", other); !errors.As(err, &place) || place.Hint() == "" {
		t.Errorf("of another order: %v", err)
	}
	if err := at("nobody", other); !errors.Is(err, history.ErrUnknown) {
		t.Errorf("an order of which nothing is known: %v", err)
	}
	if _, err := r.Story(t.Context(), "nobody"); !errors.Is(err, history.ErrUnknown) {
		t.Errorf("the story of nobody: %v", err)
	}
	if s := tell(w, r, "o"); len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "no worker") {
		t.Errorf("notes: %v", s.Notes)
	}
}

// TestOtherRules: a story by other rules than the workers' says that it does not
// fit.
func TestOtherRules(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{PayWithin: time.Minute})
	w.place("o", noon, 500, 0)
	w.place("later", noon.Add(time.Hour), 500, 0)
	w.pay("later", "p", noon.Add(time.Hour), 500)
	w.all()
	w.rules = confirm.Rules{}
	s := tell(w, w.open(), "o")
	if s.State != "expired" || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "OrderExpired") {
		t.Errorf("it is %s, notes: %v", s.State, s.Notes)
	}
}

// TestForgotten: an order whose row is deleted is still what its events say.
func TestForgotten(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{
		KeepSettled: time.Second, KeepDigest: time.Second,
	})
	w.place("o", noon, 500, 0)
	w.pay("o", "p", noon, 500)
	w.place("later", noon.Add(time.Hour), 500, 0)
	w.pay("later", "p", noon.Add(time.Hour), 500)
	w.all()
	was, err := w.open().At(t.Context(), "o", history.When{})
	if err != nil || was.State != "confirmed" || string(was.Row) != "null" || was.Taken != 4 ||
		len(was.Notes) != 1 || !strings.Contains(was.Notes[0], "deleted") {
		t.Errorf("it is %+v, %v", was, err)
	}
}

// TestHorizon: what retention took is named, and what stood on it is not made up.
func TestHorizon(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	paid := fill(w, 20, 4)
	w.flush()
	journal := w.names.Journal(topology.Confirm)
	gone := kadm.Offsets{}
	gone.Add(kadm.Offset{Topic: w.names.Orders, At: 6})
	gone.Add(kadm.Offset{Topic: journal, At: 1})
	if _, err := kadm.NewClient(w.b.cl).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	r := w.open()
	s := tell(w, r, "o000001") // its order is gone, its payment was done in what is gone
	want := []history.Place{{Topic: w.names.Orders, Offset: 6}, {Topic: journal, Offset: 1}}
	if !slices.Equal(s.Horizon, want) {
		t.Errorf("the horizon is %v, want %v", s.Horizon, want)
	}
	i := slices.IndexFunc(s.Events, func(e history.Event) bool { return e.Type == "OrderConfirmed" })
	if len(s.Events[i].Missing) != 1 || len(s.Events[i].Because) != 1 {
		t.Errorf("the causes of the confirmation: %+v", s.Events[i])
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "before the journal begins") {
		t.Errorf("notes: %v", s.Notes)
	}
	was, err := r.At(t.Context(), "o000001", history.When{})
	if err != nil || len(was.Notes) != 1 || was.Taken != 0 {
		t.Errorf("it is %+v, %v", was, err)
	}
	if _, err := r.At(t.Context(), "o000001", history.When{Place: paid[1]}); err == nil {
		t.Error("there is a state after what the journal has no more")
	}
	// The transaction of the first of these is cut in the middle.
	for _, order := range []string{"o000006", "o000010"} {
		if s := tell(w, r, order); len(s.Notes) > 0 || s.State != "confirmed" {
			t.Errorf("%s, behind the horizon: %s, %v", order, s.State, s.Notes)
		}
	}
}

func TestParseWhen(t *testing.T) {
	for text, want := range map[string]string{
		"2026-05-04T12:00:00+02:00": "2026-05-04T10:00:00Z",
		"2026-05-04 12:00:00":       "2026-05-04T12:00:00Z",
		"2026-05-04":                "2026-05-04T00:00:00Z",
		"now":                       "2026-05-04T12:00:00Z",
		"2h ago":                    "2026-05-04T10:00:00Z",
		"-90m":                      "2026-05-04T10:30:00Z",
		"3d ago":                    "2026-05-01T12:00:00Z",
		"payments/0/17":             "payments/0@17",
		"a/b/3@17":                  "a/b/3@17",
	} {
		if got, err := history.ParseWhen(text, noon); err != nil || got.String() != want {
			t.Errorf("%s: got %s, want %s: %v", text, got, want, err)
		}
	}
	for _, text := range []string{
		"", "17", "payments/17", "/0/17", "payments/x/17", "payments/0/-1", "--2h", "2x ago",
		"300000d ago",
	} {
		if got, err := history.ParseWhen(text, noon); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

// places are an index.
type places []history.Place

// Find returns them all.
func (p places) Find(context.Context, string) ([]history.Place, error) { return p, nil }

// TestLongJournal: an order in a long partition costs a few pages of the journal and
// a few transactions, however long it is, and what an index knows is not looked for.
func TestLongJournal(t *testing.T) {
	const orders = 20_000
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{PayWithin: time.Hour})
	paid := fill(w, orders, 4)
	for _, i := range []int{0, orders / 2, orders - 1} {
		key := fmt.Sprintf("o%06d", i)
		o := w.options()
		scanned := tell(w, w.open(), key)
		index := places{}
		for _, e := range scanned.Events {
			index = append(index, e.Place)
		}
		o.Finder = index
		r, err := history.Open(t.Context(), w.b.cl, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.At(t.Context(), key, history.When{Place: paid[i]})
		if err != nil || s.State != "confirmed" || s.Taken != 2 {
			t.Fatalf("%s: %+v, %v", key, s, err)
		}
		if s.Cost.By != history.ByIndex || s.Cost.Records > orders/2 {
			t.Errorf("%s: by %s, %d records were read", key, s.Cost.By, s.Cost.Records)
		}
		if scanned.Cost.By != history.ByScan || scanned.Cost.Records < 2*orders {
			t.Errorf("%s: by %s, %d records were read", key, scanned.Cost.By, scanned.Cost.Records)
		}
	}
}
