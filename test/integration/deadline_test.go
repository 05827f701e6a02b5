package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// TestIdleOrderExpires: with no further input at all, an order that is not paid
// expires within 5 s of its deadline.
func TestIdleOrderExpires(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		w := s.spawn("worker", t.TempDir()).holds(partitions)
		due := time.Now().Add(2 * time.Second)
		s.put(s.placed("alone", 100, time.Now(), due))
		s.until("the order expires", func() bool { return len(s.values(s.topics.Exceptions)) > 0 })
		late := time.Since(due)
		if late < 0 || late > 5*time.Second {
			t.Errorf("it expired %v after its deadline", late)
		}
		t.Logf("it expired %v after its deadline", late.Round(time.Millisecond))
		if expired, _ := s.lapsed(); expired != 1 {
			t.Errorf("%d orders expired", expired)
		}
		w.end()
	})
}

// TestWeekReplayed: a week that comes at once, in seconds, leaves what it leaves
// when it comes bit by bit: the same expiries, the same confirmations, the same
// late payments, byte for byte.
func TestWeekReplayed(t *testing.T) {
	const orders = 2000
	each(t, func(t *testing.T, s *stage) {
		slow, fast := s, newStage(t, s.broker)
		begin := time.Now().Add(-8 * 24 * time.Hour).Truncate(time.Hour) // of both weeks
		var said [2][]string
		for i, run := range []*stage{slow, fast} {
			week := run.week(begin, orders)
			var w *worker
			if run == slow {
				// No pause is so long that the time of day takes over, by which the week is over.
				w = run.spawn("worker", t.TempDir(), "--idle-after", "10s", "--interval", "20ms")
				w.holds(partitions)
				for chunk := range slices.Chunk(week, 50) {
					run.put(chunk...)
				}
			} else {
				run.put(week...)
				w = run.spawn("worker", t.TempDir())
				run.until("all is done", run.caughtUp)
			}
			run.until("the last order expires", func() bool {
				expired, _ := run.lapsed()
				return expired == orders/10*3
			})
			w.end()
			confirmed := run.values(run.topics.Confirmations)
			if _, late := run.lapsed(); len(confirmed) != orders/10*7 || late != orders/10 {
				t.Errorf("%d orders were confirmed, %d payments were late", len(confirmed), late)
			}
			run.tally("audit").ok(t)
			said[i] = append(confirmed, run.values(run.topics.Exceptions)...)
			slices.Sort(said[i])
		}
		if !slices.Equal(said[0], said[1]) {
			t.Errorf("bit by bit %d things were said, at once %d, and they differ", len(said[0]),
				len(said[1]))
		}
	})
}

// lapsed counts the orders that expired, and the payments that came after that.
func (s *stage) lapsed() (orders, late int) {
	s.t.Helper()
	for _, value := range s.values(s.topics.Exceptions) {
		var e tallyv1.ExceptionEvent
		if err := proto.Unmarshal([]byte(value), &e); err != nil {
			s.t.Fatal(err)
		}
		switch {
		case e.GetOrderExpired() != nil:
			orders++
		case e.GetPaymentUnmatched().GetReason() == tallyv1.PaymentUnmatched_ORDER_EXPIRED:
			late++
		}
	}
	return orders, late
}

// placed is an order that is to be paid until due.
func (s *stage) placed(id string, minor int64, at, due time.Time) *kgo.Record {
	return s.record(s.topics.Orders, id, at, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, CustomerId: "c-" + id, Due: timestamppb.New(due),
			Total: &tallyv1.Money{Minor: &minor, Currency: "EUR"},
		}},
	})
}

// record is a message with the time at which it came.
func (s *stage) record(topic, key string, at time.Time, m proto.Message) *kgo.Record {
	s.t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Timestamp: at}
}

// week is last week: orders that are to be paid within an hour, and payments that
// come in time, in parts, too late or not at all, in the order of their times.
func (s *stage) week(begin time.Time, orders int) []*kgo.Record {
	s.t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	var week []*kgo.Record
	for i := range orders {
		id, minor := fmt.Sprintf("week-%05d", i), 100+random.Int64N(10_000)
		at := begin.Add(time.Duration(i) * 7 * 24 * time.Hour / time.Duration(orders))
		week = append(week, s.placed(id, minor, at, at.Add(time.Hour)))
		pay := func(n int, part int64, after time.Duration) {
			week = append(week, s.record(s.topics.Payments, id, at.Add(after), &tallyv1.PaymentEvent{
				Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
					PaymentId: fmt.Sprintf("%s-%d", id, n), OrderId: id,
					Amount: &tallyv1.Money{Minor: &part, Currency: "EUR"},
				}},
			}))
		}
		switch within := time.Duration(random.Int64N(int64(time.Hour))); i % 10 {
		case 0: // never
		case 1:
			pay(1, minor/2, within)
		case 2:
			pay(1, minor, time.Hour+within+time.Second)
		case 3:
			pay(1, minor/2, within)
			pay(2, minor-minor/2, time.Hour-time.Second)
		default:
			pay(1, minor, within)
		}
	}
	slices.SortStableFunc(week, func(a, b *kgo.Record) int {
		return a.Timestamp.Compare(b.Timestamp)
	})
	return week
}

// values are the committed values of a topic.
func (s *stage) values(topic string) []string {
	s.t.Helper()
	var values []string
	for _, r := range s.records(topic) {
		values = append(values, string(r.Value))
	}
	return values
}

// records reads the committed records of a topic.
func (s *stage) records(topic string) []*kgo.Record {
	s.t.Helper()
	ends, err := s.admin.ListCommittedOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition], from[o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		}
	})
	return s.read(map[string]map[int32]kgo.Offset{topic: from},
		map[string]map[int32]int64{topic: left})
}

// read reads the committed records of partitions up to their ends, which it takes out
// of left.
func (s *stage) read(
	from map[string]map[int32]kgo.Offset, left map[string]map[int32]int64,
) []*kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	client := s.broker.Client(s.t, kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer client.Close()
	some := func() bool {
		for _, partitions := range left {
			if len(partitions) > 0 {
				return true
			}
		}
		return false
	}
	var records []*kgo.Record
	for some() {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("reading did not end: %v", left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= left[r.Topic][r.Partition]-1 {
				delete(left[r.Topic], r.Partition)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}
