package ways

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// The shop's time: so long the orders of a run take to come, however fast they are
// played, and so long before now the first one was placed.
const (
	span = time.Hour
	ago  = 3 * time.Hour
)

// A fact is one record before it is written: an order, or a payment of one.
type fact struct {
	order   int
	payment int // its number within the order, 0 for the order itself
	minor   int64
	at      time.Time
}

// A mix is how often things go another way than an order and one payment.
const (
	unpaidPercent  = 3
	splitPercent   = 10
	excessPercent  = 2
	doublePercent  = 1
	earlyPercent   = 20 // the payment comes before its order
	latePercent    = 10 // in the scenario of late payments
	usualDelay     = 5 * time.Minute
	earliest       = 2 * time.Minute
	latestDelay    = 40 * time.Minute
	leastLateDelay = 5 * time.Minute
)

// work returns the facts of a run in the order in which they come. The same
// arguments give the same facts.
func work(orders int, seed uint64, late bool, now time.Time) []fact {
	random := rand.New(rand.NewPCG(seed, 7))
	chance := func(percent int) bool { return random.IntN(100) < percent }
	between := func(a, b time.Duration) time.Duration {
		return a + time.Duration(random.Int64N(int64(b-a)))
	}
	every := span / time.Duration(max(orders, 1))
	start := now.Add(-ago).Truncate(time.Millisecond)
	var facts []fact
	for order := range orders {
		placed := start.Add(time.Duration(order) * every)
		total := 100 + random.Int64N(20_000)
		facts = append(facts, fact{order: order, minor: total, at: placed})
		if chance(unpaidPercent) {
			continue
		}
		delay := between(0, usualDelay)
		if chance(earlyPercent) {
			delay = -between(0, earliest)
		}
		first := total
		if chance(splitPercent) {
			first = 1 + random.Int64N(total-1)
			facts = append(facts, fact{order, 2, total - first, placed.Add(between(0, usualDelay))})
		} else if chance(excessPercent) {
			first += 50
		}
		if late && chance(latePercent) {
			delay = between(leastLateDelay, latestDelay)
		}
		paid := fact{order, 1, first, placed.Add(delay)}
		facts = append(facts, paid)
		if chance(doublePercent) {
			paid.at = paid.at.Add(between(0, usualDelay))
			facts = append(facts, paid)
		}
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return a.at.Compare(b.at) })
	return facts
}

// settling returns, for each order that is paid in full, the index of the fact by
// which it is. It knows nothing of the processors: an order is paid when its
// payments, each counted once, add up to its total.
func settling(facts []fact) map[int]int {
	type sum struct {
		total, paid int64
		placed      bool
		seen        map[int]bool
	}
	sums, settled := map[int]*sum{}, map[int]int{}
	for i, f := range facts {
		s := sums[f.order]
		if s == nil {
			s = &sum{seen: map[int]bool{}}
			sums[f.order] = s
		}
		if s.seen[f.payment] {
			continue
		}
		s.seen[f.payment] = true
		if f.payment == 0 {
			s.total, s.placed = f.minor, true
		} else {
			s.paid += f.minor
		}
		if _, done := settled[f.order]; !done && s.placed && s.paid >= s.total {
			settled[f.order] = i
		}
	}
	return settled
}

// key is the id of an order, which is the key of all its records.
func key(order int) string { return fmt.Sprintf("order-%07d", order) }

// message is what a fact says.
func (f fact) message() proto.Message {
	meta := &tallyv1.Meta{
		Id: fmt.Sprintf("%s-%d", key(f.order), f.payment), At: timestamppb.New(f.at),
	}
	if f.payment == 0 {
		return &tallyv1.OrderEvent{Meta: meta, Event: &tallyv1.OrderEvent_OrderPlaced{
			OrderPlaced: &tallyv1.OrderPlaced{
				OrderId: key(f.order), CustomerId: fmt.Sprintf("customer-%05d", f.order%1000),
				Total: schemas.Money(f.minor, "EUR"),
			},
		}}
	}
	return &tallyv1.PaymentEvent{Meta: meta, Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: fmt.Sprintf("payment-%07d-%d", f.order, f.payment), OrderId: key(f.order),
			Amount: schemas.Money(f.minor, "EUR"), Method: "card",
		},
	}}
}
