package integration_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/checker"
)

// A load is orders with one payment each. Payments come before and after their
// orders, and one record in a hundred comes twice.
type load struct {
	name   string // begins every id
	orders int
	seed   uint64
	// pace is called before each block with the number of orders that were
	// sent; nil does not wait.
	pace func(sent int)
}

// block is how many orders are shuffled together with their payments.
const block = 250

// send produces the load and waits until the brokers have it.
func (s *stage) send(l load) {
	s.t.Helper()
	if err := s.produce(l); err != nil {
		s.t.Fatal(err)
	}
}

// produce is send for goroutines that are not the test's own.
func (s *stage) produce(l load) error {
	random := rand.New(rand.NewPCG(l.seed, l.seed))
	var once sync.Once
	var failed error
	var again []*kgo.Record // in a later block
	for first := 0; first < l.orders; first += block {
		if l.pace != nil {
			l.pace(first)
		}
		records := again
		again = nil
		for i := first; i < min(first+block, l.orders); i++ {
			pair, err := s.pair(fmt.Sprintf("%s-%06d", l.name, i), 1+random.Int64N(100_000))
			if err != nil {
				return err
			}
			for _, r := range pair {
				if random.IntN(100) == 0 {
					twin := *r
					again = append(again, &twin)
				}
			}
			records = append(records, pair...)
		}
		random.Shuffle(len(records), func(i, j int) {
			records[i], records[j] = records[j], records[i]
		})
		for _, r := range records {
			s.client.Produce(s.t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					once.Do(func() { failed = err })
				}
			})
		}
	}
	if err := s.client.Flush(s.t.Context()); err != nil {
		return err
	}
	return failed
}

// pair is an order and the payment that covers it.
func (s *stage) pair(id string, minor int64) ([]*kgo.Record, error) {
	order, err := proto.Marshal(&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
		OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, CustomerId: "c-" + id, Total: &tallyv1.Money{Minor: &minor, Currency: "EUR"},
		},
	}})
	if err != nil {
		return nil, err
	}
	payment, err := proto.Marshal(&tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "p-" + id, OrderId: id, Method: "card",
			Amount: &tallyv1.Money{Minor: &minor, Currency: "EUR"},
		},
	}})
	return []*kgo.Record{
		{Topic: s.topics.Orders, Key: []byte(id), Value: order},
		{Topic: s.topics.Payments, Key: []byte(id), Value: payment},
	}, err
}

// ahead paces a load: at most n orders are sent and not yet confirmed, give or
// take a block, so that there is always work and never much.
func (s *stage) ahead(watch *checker.Watch, n int) func(sent int) {
	return func(sent int) {
		for sent-watch.Orders() > n && s.t.Context().Err() == nil {
			time.Sleep(pause)
		}
	}
}

// background produces a load beside the test, which waits for it by calling
// the returned function.
func (s *stage) background(l load) (wait func()) {
	done := make(chan error, 1)
	go func() { done <- s.produce(l) }()
	return func() {
		s.t.Helper()
		if err := <-done; err != nil {
			s.t.Fatal(err)
		}
	}
}

// put produces records as they are and waits for them.
func (s *stage) put(records ...*kgo.Record) {
	s.t.Helper()
	if err := s.client.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// process runs a load through the workers that are there and waits for them.
func (s *stage) process(l load) {
	s.t.Helper()
	s.send(l)
	s.until("no lag", s.caughtUp)
}
