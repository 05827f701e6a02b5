package whatif_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"tallystick/engine/journal"
	"tallystick/processors/confirm"
	"tallystick/query/replay"
	"tallystick/query/whatif"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

var topics = whatif.Topics{
	Orders: "orders", Payments: "payments", Confirmations: "confirmations",
	Exceptions: "exceptions", Table: "table", Journal: "journal", Retries: "retries",
}

// A world is one partition in which a worker did its work, in transactions, by the
// two clocks of an engine: what it did, as a journal gives it back, and what came
// out.
type world struct {
	t     *rapid.T
	rules confirm.Rules
	rows  map[string]*confirm.Row
	did   []replay.Done
	out   [2][]*kgo.Record

	wall, stream int64 // µs
	high         map[string]int64
	idle         map[string]bool
	offsets      map[string]int64
	parked       map[string][]*kgo.Record
	begins       bool
}

func newWorld(t *rapid.T, rules confirm.Rules) *world {
	return &world{
		t: t, rules: rules, rows: map[string]*confirm.Row{}, wall: 1_000,
		high: map[string]int64{"orders": math.MinInt64, "payments": math.MinInt64},
		idle: map[string]bool{}, offsets: map[string]int64{}, parked: map[string][]*kgo.Record{},
	}
}

// settle brings stream time up to what the inputs say.
func (w *world) settle() {
	low, latest := int64(math.MaxInt64), int64(math.MinInt64)
	for topic, high := range w.high {
		latest = max(latest, high)
		if !w.idle[topic] {
			low = min(low, high)
		}
	}
	if low == math.MaxInt64 {
		low = latest
	}
	w.stream = max(w.stream, low)
}

func (w *world) do(d replay.Done) {
	d.Begins, w.begins = w.begins, false
	w.did = append(w.did, d)
}

// deliver gives a record to the decision, or refuses it.
func (w *world) deliver(topic, key string, value []byte, at int64, bad bool) {
	r := &kgo.Record{
		Topic: topic, Key: []byte(key), Value: value, Timestamp: time.UnixMicro(at),
		Offset: w.offsets[topic],
	}
	w.offsets[topic]++
	if at > w.high[topic] || w.idle[topic] {
		w.high[topic], w.idle[topic] = max(at, w.high[topic]), false
		w.settle()
	}
	bad = bad || w.parked[key] != nil
	w.do(replay.Done{Record: r, Refused: bad, Stream: w.stream})
	if bad {
		w.parked[key] = append(w.parked[key], r)
		return
	}
	w.step(key, w.event(r))
}

// retry puts the first record that waits under a key through the decision.
func (w *world) retry(key string) {
	r := w.parked[key][0]
	if w.parked[key] = w.parked[key][1:]; len(w.parked[key]) == 0 {
		delete(w.parked, key)
	}
	ask := *r
	ask.Topic = "retries"
	ask.Headers = []kgo.RecordHeader{{Key: "topic", Value: []byte(r.Topic)}}
	w.do(replay.Done{Record: &ask, Stream: w.stream})
	w.step(key, w.event(r))
}

func retried(r *kgo.Record) (*kgo.Record, bool) {
	again := *r
	again.Topic = string(r.Headers[0].Value)
	return &again, true
}

func (w *world) event(r *kgo.Record) confirm.Event { return eventOf(r, w.stream) }

func eventOf(r *kgo.Record, stream int64) confirm.Event {
	at := confirm.Clock{Recorded: r.Timestamp.UnixMicro(), Stream: stream}
	if r.Topic == "orders" {
		m, err := schemas.Orders.Unmarshal(r.Value)
		if err != nil {
			return nil
		}
		return confirm.OfOrder(m, at)
	}
	m, err := schemas.Payments.Unmarshal(r.Value)
	if err != nil {
		return nil
	}
	return confirm.OfPayment(m, at)
}

func (w *world) step(key string, e confirm.Event) {
	if e == nil {
		return
	}
	next, said := confirm.Step(w.rules, w.rows[key], e)
	w.rows[key] = next
	for _, v := range values(w.t, said) {
		w.say(key, v)
	}
}

// A value is what was said on an output.
type value struct {
	output whatif.Output
	bytes  string
}

func values(t *rapid.T, said confirm.Outcomes) []value {
	var list []value
	if said.Confirmed != nil {
		b, err := schemas.Confirmations.Marshal(said.Confirmed)
		must(t, err)
		list = append(list, value{whatif.Confirmations, string(b)})
	}
	for _, x := range said.Exceptions {
		b, err := schemas.Exceptions.Marshal(x)
		must(t, err)
		list = append(list, value{whatif.Exceptions, string(b)})
	}
	return list
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) say(key string, v value) {
	log := &w.out[v.output]
	*log = append(*log, &kgo.Record{
		Topic: []string{"confirmations", "exceptions"}[v.output], Key: []byte(key),
		Value: []byte(v.bytes), Offset: int64(len(*log)),
	})
}

// fire lets the deadlines come that the clocks have reached, the earliest first, and
// most of them at most.
func (w *world) fire(most int) {
	reached := w.stream - 1
	if w.idle["orders"] && w.idle["payments"] {
		reached = max(reached, w.wall)
	}
	for range most {
		key := ""
		for _, k := range slices.Sorted(maps.Keys(w.rows)) {
			if row := w.rows[k]; row != nil && row.Deadline != 0 && row.Deadline <= reached &&
				w.parked[k] == nil && (key == "" || row.Deadline < w.rows[key].Deadline) {
				key = k
			}
		}
		if key == "" {
			return
		}
		at, clock := w.rows[key].Deadline, "wall"
		if at < w.stream {
			clock = "stream"
		}
		f := journal.NewFiring([]byte(key), at, clock, max(w.stream, reached))
		w.do(replay.Done{Fired: &f, Stream: w.stream})
		w.step(key, confirm.Lapsed{OrderID: key, At: at})
	}
}

// drawRules draws rules with waits of some microseconds, or without.
func drawRules(t *rapid.T, label string) confirm.Rules {
	wait := func(what string) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{0, 3, 10, 30, 100}).Draw(t, label+what)) *
			time.Microsecond
	}
	return confirm.Rules{
		PayWithin: wait(" pay"), OrderWithin: wait(" order"), KeepSettled: wait(" settled"),
		KeepDigest: wait(" digest"),
	}
}

// drawWorld draws some transactions of a worker that then comes to rest.
func drawWorld(t *rapid.T, rules confirm.Rules) *world {
	w := drawRestless(t, rules)
	w.fire(100)
	return w
}

// drawRestless draws some transactions of a worker, after which it may have to come
// to deadlines that have passed.
func drawRestless(t *rapid.T, rules confirm.Rules) *world {
	w := newWorld(t, rules)
	for range rapid.IntRange(1, 12).Draw(t, "transactions") {
		w.begins = true
		w.wall += rapid.Int64Range(0, 40).Draw(t, "wall")
		for _, topic := range []string{"orders", "payments"} {
			w.idle[topic] = w.idle[topic] || rapid.IntRange(0, 3).Draw(t, "idle "+topic) == 0
		}
		w.settle()
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			w.record()
		}
		if keys := slices.Sorted(maps.Keys(w.parked)); len(keys) > 0 && rapid.Bool().Draw(t, "retry") {
			w.retry(keys[0])
		}
		w.fire(rapid.SampledFrom([]int{0, 1, 2, 100, 100, 100}).Draw(t, "most"))
	}
	return w
}

// record draws one record.
func (w *world) record() {
	t := w.t
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key")
	id := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "payment")
	at := max(1, w.wall-rapid.Int64Range(0, 20).Draw(t, "behind"))
	bad := rapid.IntRange(0, 15).Draw(t, "bad") == 0
	switch rapid.SampledFrom([]string{
		"place", "place", "cancel", "pay", "pay", "pay", "reverse",
	}).Draw(t, "event") {
	case "place":
		w.order(key, at, bad, placed(key, rapid.Int64Range(0, 3).Draw(t, "total")))
	case "cancel":
		w.order(key, at, bad, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: key, Reason: "no"},
		}})
	case "pay":
		w.payment(key, at, bad, received(key, id, rapid.Int64Range(0, 2).Draw(t, "minor"),
			rapid.SampledFrom([]string{"EUR", "EUR", "USD"}).Draw(t, "currency")))
	case "reverse":
		w.payment(key, at, bad, &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReversed{
			PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: key},
		}})
	}
}

func placed(key string, total int64) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
		OrderPlaced: &tallyv1.OrderPlaced{OrderId: key, Total: schemas.Money(total, "EUR")},
	}}
}

func received(key, id string, minor int64, currency string) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: key, Amount: schemas.Money(minor, currency),
		},
	}}
}

func (w *world) order(key string, at int64, bad bool, m *tallyv1.OrderEvent) {
	b, err := schemas.Orders.Marshal(m)
	must(w.t, err)
	w.deliver("orders", key, b, at, bad)
}

func (w *world) payment(key string, at int64, bad bool, m *tallyv1.PaymentEvent) {
	b, err := schemas.Payments.Marshal(m)
	must(w.t, err)
	w.deliver("payments", key, b, at, bad)
}

func (w *world) place(key string, at, total int64) { w.order(key, at, false, placed(key, total)) }

func (w *world) pay(key string, at, minor int64) {
	w.payment(key, at, false, received(key, "p-"+key, minor, "EUR"))
}

// options are what the tests ask, under rules.
func options(rules confirm.Rules) whatif.Options {
	return whatif.Options{
		Topics: topics, Rules: rules, Limit: 100, Parking: true, Retried: retried,
	}
}

// compare replays the world.
func (w *world) compare(t testing.TB, o whatif.Options) *whatif.Report {
	t.Helper()
	p := whatif.NewPartition(o)
	next := [2]int{}
	for _, d := range w.did {
		if err := p.Take(d); err != nil {
			t.Fatal(err)
		}
		for i := range w.out {
			for p.Behind(whatif.Output(i)) && next[i] < len(w.out[i]) {
				p.Came(whatif.Output(i), w.out[i][next[i]])
				next[i]++
			}
		}
	}
	if err := p.End(); err != nil {
		t.Fatal(err)
	}
	for i := range w.out {
		for _, r := range w.out[i][next[i]:] {
			p.Came(whatif.Output(i), r)
		}
	}
	if p.Differs() {
		for key, row := range w.rows {
			r := &kgo.Record{Topic: "table", Key: []byte(key)}
			if row != nil {
				var err error
				r.Value, err = schemas.ConfirmRows.Marshal(row)
				must(w.t, err)
			}
			must(w.t, p.Row(r))
		}
	}
	if p.Missing() {
		for i := range w.out {
			for _, r := range w.out[i] {
				p.Again(whatif.Output(i), r)
			}
		}
	}
	return p.Close()
}

// A told is what a decision would have said, by key, and what of it also because of
// something else than a deadline.
type told struct {
	said   map[string][]value
	record map[string]map[value]bool
}

// brute says what a decision would have said, key by key, without a queue: at
// everything that was done the row is asked whether it is due.
func (w *world) brute(rules confirm.Rules, step whatif.Step) told {
	t := told{map[string][]value{}, map[string]map[value]bool{}}
	for _, key := range []string{"a", "b", "c", "d"} {
		var row *confirm.Row
		held := 0
		t.record[key] = map[value]bool{}
		do := func(e confirm.Event) {
			if e == nil {
				return
			}
			next, out := step(rules, row, e)
			row = next
			said := values(w.t, out)
			t.said[key] = append(t.said[key], said...)
			if _, lapsed := e.(confirm.Lapsed); !lapsed {
				for _, v := range said {
					t.record[key][v] = true
				}
			}
		}
		for i, d := range w.did {
			reached := d.Stream - 1
			switch {
			case d.Record == nil:
				if d.Fired.Now > d.Stream {
					reached = max(reached, d.Fired.At-1)
				}
				if d.Fired.Key == key && row != nil && row.Deadline == d.Fired.At {
					do(confirm.Lapsed{OrderID: key, At: row.Deadline})
				}
			case string(d.Record.Key) != key:
			case d.Refused:
				held++
			case d.Record.Topic == "retries":
				held--
				r, _ := retried(d.Record)
				do(eventOf(r, d.Stream))
			default:
				do(eventOf(d.Record, d.Stream))
			}
			if i+1 < len(w.did) && !w.did[i+1].Begins {
				continue // deadlines come at the end of a transaction
			}
			for held == 0 && row != nil && row.Deadline != 0 && row.Deadline <= reached {
				do(confirm.Lapsed{OrderID: key, At: row.Deadline})
			}
		}
	}
	return t
}

// overdue tells whether the worker has yet to come to the deadline of a row: it had
// no time, or the key waits behind a dead letter.
func (w *world) overdue(key string) bool {
	clock := int64(0)
	for _, d := range w.did {
		clock = max(clock, d.Stream-1)
		if d.Fired != nil && d.Fired.Now > d.Stream {
			clock = max(clock, d.Fired.Now)
		}
	}
	row := w.rows[key]
	return row != nil && row.Deadline != 0 && row.Deadline <= clock
}

// differing are the keys about which the brute replay says something else, sorted,
// with how much more and how much less. What is overdue has only to be said yet.
func (w *world) differing(t told) (keys []string, more, less int) {
	for _, key := range []string{"a", "b", "c", "d"} {
		count := map[value]int{}
		for _, v := range t.said[key] {
			count[v]++
		}
		for i, log := range w.out {
			for _, r := range log {
				if string(r.Key) == key {
					count[value{whatif.Output(i), string(r.Value)}]--
				}
			}
		}
		differs := false
		for v, n := range count {
			if n > 0 && !t.record[key][v] && w.overdue(key) {
				continue
			}
			differs = differs || n != 0
			more, less = more+max(n, 0), less+max(-n, 0)
		}
		if differs {
			keys = append(keys, key)
		}
	}
	return keys, more, less
}

func named(r *whatif.Report) []string {
	var keys []string
	for _, o := range r.Orders {
		keys = append(keys, o.Order)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}

func text(r *whatif.Report) string { return fmt.Sprintf("%+v", *r) }
