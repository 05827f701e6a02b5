package history_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/engine/journal"
	"tallystick/processors/confirm"
	"tallystick/query/history"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// A broker is a fake one and a client of it.
type broker struct {
	cl    *kgo.Client
	addrs []string
	made  int
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &broker{cl: cl, addrs: c.ListenAddrs()}
}

// A world is the topics of a main job with one partition each, and a worker that
// merges orders and payments as it is told, in transactions with a journal. It
// remembers each row that there ever was.
type world struct {
	t     failer
	ctx   context.Context //nolint:containedctx // of the test
	b     *broker
	names topology.Names
	rules confirm.Rules

	rows   map[string]*confirm.Row
	was    map[string][]step // of each order
	ends   map[string]int64  // of each topic, and how many records were done of it
	done   map[string]int64
	high   map[string]int64
	stream int64
	queue  []*kgo.Record

	pages   []*journal.Segment // of the open transaction
	refused map[history.Place]bool
}

// A step is what was done with an order, and the row then.
type step struct {
	place history.Place
	at    time.Time
	fired bool
	row   *confirm.Row
}

func newWorld(ctx context.Context, t failer, b *broker, rules confirm.Rules) *world {
	t.Helper()
	b.made++
	o := topology.Options{Prefix: fmt.Sprintf("w%d-", b.made), App: fmt.Sprintf("w%d", b.made)}
	w := &world{
		t: t, ctx: ctx, b: b, names: o.Names(), rules: rules, rows: map[string]*confirm.Row{},
		was: map[string][]step{}, ends: map[string]int64{}, done: map[string]int64{},
		refused: map[history.Place]bool{},
	}
	w.high = map[string]int64{w.names.Orders: math.MinInt64, w.names.Payments: math.MinInt64}
	var topics []string
	for _, topic := range topology.Default(o).Topics {
		topics = append(topics, topic.Name)
	}
	_, err := kadm.NewClient(b.cl).CreateTopics(ctx, 1, 1, nil, topics...)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// add writes a record, when flush is called at the latest.
func (w *world) add(topic, key string, at time.Time, value []byte) history.Place {
	p := history.Place{Topic: topic, Offset: w.ends[topic]}
	w.ends[topic]++
	w.queue = append(w.queue, &kgo.Record{
		Topic: topic, Key: []byte(key), Value: value, Timestamp: at,
	})
	return p
}

func (w *world) flush() {
	w.t.Helper()
	w.must(w.b.cl.ProduceSync(w.ctx, w.queue...).FirstErr())
	w.queue = nil
}

func write[T proto.Message](
	w *world, codec schemas.Codec[T], topic, key string, at time.Time, m T,
) history.Place {
	w.t.Helper()
	b, err := codec.Marshal(m)
	w.must(err)
	return w.add(topic, key, at, b)
}

func (w *world) place(key string, at time.Time, minor int64, due time.Duration) history.Place {
	o := &tallyv1.OrderPlaced{OrderId: key, Total: schemas.Money(minor, "EUR")}
	if due > 0 {
		o.Due = schemas.MetaOf("", at.Add(due).UnixMicro()).GetAt()
	}
	return write(w, schemas.Orders, w.names.Orders, key, at, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: o},
	})
}

func (w *world) cancel(key string, at time.Time) history.Place {
	return write(w, schemas.Orders, w.names.Orders, key, at, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: key, Reason: "no"},
		},
	})
}

func (w *world) pay(key, id string, at time.Time, minor int64) history.Place {
	return write(w, schemas.Payments, w.names.Payments, key, at, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: key, Amount: schemas.Money(minor, "EUR"),
		}},
	})
}

func (w *world) reverse(key, id string, at time.Time) history.Place {
	return write(w, schemas.Payments, w.names.Payments, key, at, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: id, OrderId: key,
		}},
	})
}

func (w *world) void(key, id string, at time.Time) history.Place {
	return write(w, schemas.Corrections, w.names.Corrections, key, at, &tallyv1.CorrectionEvent{
		Meta: w.meta(),
		Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: id, OrderId: key, Reason: "typed twice", By: "cleo",
		}},
	})
}

func (w *world) adjust(key, id string, at time.Time, minor int64) history.Place {
	return write(w, schemas.Corrections, w.names.Corrections, key, at, &tallyv1.CorrectionEvent{
		Meta: w.meta(),
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: id, OrderId: key, Amount: schemas.Money(minor, "EUR"), Reason: "cash", By: "cleo",
		}},
	})
}

// meta has an id, without which no correction counts.
func (w *world) meta() *tallyv1.Meta {
	return &tallyv1.Meta{Id: fmt.Sprint("c", w.ends[w.names.Corrections])}
}

// again asks to process a refused record again, which the retry topic has under the
// name of its topic.
func (w *world) again(r *kgo.Record) history.Place {
	return w.add(w.names.Retry(topology.Confirm), string(r.Key), r.Timestamp,
		append([]byte(r.Topic+"\n"), r.Value...))
}

func retried(r *kgo.Record) (*kgo.Record, bool) {
	topic, value, ok := bytes.Cut(r.Value, []byte("\n"))
	again := *r
	again.Topic, again.Value = string(topic), value
	return &again, ok
}

// begin begins a transaction.
func (w *world) begin() {
	c := &journal.Clock{Inputs: map[string]journal.Hand{}}
	if w.stream != 0 {
		at := w.stream
		c.Stream = &at
	}
	for topic, high := range w.high {
		hand := journal.Hand{}
		if high != math.MinInt64 {
			hand.High = &high
		}
		c.Inputs[topic] = hand
	}
	w.pages = []*journal.Segment{{Clock: c}}
}

// more begins another page of the transaction.
func (w *world) more() { w.pages = append(w.pages, &journal.Segment{}) }

func (w *world) page() *journal.Segment { return w.pages[len(w.pages)-1] }

func index(s *journal.Segment, topic string) int64 {
	for i, name := range s.Topics {
		if name == topic {
			return int64(i)
		}
	}
	s.Topics = append(s.Topics, topic)
	return int64(len(s.Topics) - 1)
}

// waits tells how many records of a topic are not done.
func (w *world) waits(topic string) int64 { return w.ends[topic] - w.done[topic] }

// take does the next record of a topic, of which the caller knows what it is.
func (w *world) take(topic string, r *kgo.Record, refuse bool) {
	if len(w.page().Fired) > 0 {
		w.more()
	}
	offset := w.done[topic]
	w.done[topic]++
	s := w.page()
	s.Runs = append(s.Runs, index(s, topic), offset, offset)
	// Corrections and what is asked again have no part in the clock.
	high, timed := w.high[topic]
	if at := r.Timestamp.UnixMicro(); timed && at > high {
		w.high[topic] = at
		low := int64(math.MaxInt64)
		for _, high := range w.high {
			low = min(low, high)
		}
		w.stream = max(w.stream, low)
	}
	key := string(r.Key)
	p := history.Place{Topic: topic, Offset: offset}
	if refuse {
		s.Refused = append(s.Refused, index(s, topic), offset)
		w.refused[p] = true
		w.was[key] = append(w.was[key], step{p, r.Timestamp, false, w.rows[key]})
		return
	}
	clock := confirm.Clock{Recorded: r.Timestamp.UnixMicro(), Stream: w.stream}
	if w.stream < 0 {
		clock.Stream = 0
	}
	w.step(key, p, r.Timestamp, w.event(r, clock))
}

func (w *world) event(r *kgo.Record, clock confirm.Clock) confirm.Event {
	switch r.Topic {
	case w.names.Orders:
		m, err := schemas.Orders.Unmarshal(r.Value)
		w.must(err)
		return confirm.OfOrder(m, clock)
	case w.names.Payments:
		m, err := schemas.Payments.Unmarshal(r.Value)
		w.must(err)
		return confirm.OfPayment(m, clock)
	case w.names.Corrections:
		m, err := schemas.Corrections.Unmarshal(r.Value)
		w.must(err)
		return confirm.OfCorrection(m, clock)
	}
	asked, _ := retried(r)
	return w.event(asked, clock)
}

// due lets come what is due by stream time.
func (w *world) due() {
	for key, row := range w.rows {
		if row == nil || row.Deadline == 0 || row.Deadline > w.stream {
			continue
		}
		for row != nil && row.Deadline != 0 && row.Deadline <= w.stream {
			s := w.page()
			s.Fired = append(s.Fired, journal.NewFiring([]byte(key), row.Deadline, "stream", w.stream))
			at := history.Place{Topic: w.names.Journal(topology.Confirm), Offset: w.pageOffset()}
			w.step(key, at, time.UnixMicro(row.Deadline), confirm.Lapsed{OrderID: key, At: row.Deadline})
			row = w.rows[key]
		}
	}
}

func (w *world) pageOffset() int64 {
	return w.ends[w.names.Journal(topology.Confirm)] + int64(len(w.pages)) - 1
}

func (w *world) step(key string, p history.Place, at time.Time, e confirm.Event) {
	next, out := confirm.Step(w.rules, w.rows[key], e)
	w.rows[key] = next
	_, fired := e.(confirm.Lapsed)
	w.was[key] = append(w.was[key], step{p, at, fired, next})
	if out.Confirmed != nil {
		write(w, schemas.Confirmations, w.names.Confirmations, key, at, out.Confirmed)
	}
	for _, x := range out.Exceptions {
		write(w, schemas.Exceptions, w.names.Exceptions, key, at, x)
	}
}

// commit writes the journal of the transaction.
func (w *world) commit() {
	w.t.Helper()
	for _, s := range w.pages {
		b, err := s.Marshal()
		w.must(err)
		w.add(w.names.Journal(topology.Confirm), "", time.Time{}, b)
	}
	w.pages = nil
}

// open opens the past of the world.
func (w *world) open() *history.Reader {
	w.t.Helper()
	w.flush()
	r, err := history.Open(w.ctx, w.b.cl, w.options())
	w.must(err)
	return r
}

func (w *world) options() history.Options {
	return history.Options{
		Topology: topology.Default(topology.Options{
			Prefix: w.names.Orders[:len(w.names.Orders)-len("orders")], App: w.names.App,
		}),
		Names: w.names, Rules: w.rules, Retried: retried, Patience: time.Minute,
	}
}

func rowJSON(w *world, row *confirm.Row) string {
	w.t.Helper()
	if row == nil {
		return "null"
	}
	b, err := schemas.ConfirmRows.JSON(row)
	w.must(err)
	return string(b)
}

// said writes a confirmation that nobody here has said, with many causes.
func (w *world) said(key string, at time.Time, id string, causes []string) history.Place {
	return write(w, schemas.Confirmations, w.names.Confirmations, key, at, &tallyv1.ConfirmationEvent{
		Meta: &tallyv1.Meta{Id: id, Causes: causes},
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
			OrderId: key, Total: schemas.Money(500, "EUR"), Payments: []*tallyv1.OrderConfirmed_Share{
				{PaymentId: "p", Minor: 500},
			},
		}},
	})
}
