package integration_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallystick/test/integration/checker"
	"tallystick/test/kafkatest"
)

// A siege is how hard the kill test tries on a kind of broker.
type siege struct {
	orders, kills int
	// ahead is how many orders are sent and not yet confirmed, at most: there is
	// always work to kill, and no transaction is larger.
	ahead int
}

func siegeOf(kind kafkatest.Kind) siege {
	if kind == kafkatest.Fake {
		return siege{orders: 12_000, kills: 3, ahead: 500}
	}
	return siege{orders: 200_000, kills: 10, ahead: 4_000}
}

// tail bounds what a worker may restore after a kill: the rows of the last two
// transactions. At the first kill its table has more than that already.
func (p siege) tail() int { return 2 * p.ahead }

// TestKill runs two workers under load and kills one of them, again and again,
// at random moments.
func TestKill(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		s := newStage(t, b)
		plan := siegeOf(b.Kind)
		random := rand.New(rand.NewPCG(1, uint64(plan.orders)))
		watch := s.watch()
		dir := t.TempDir()
		victim := s.spawn("victim", dir)
		other := s.spawn("other", t.TempDir())
		victim.holds(partitions / 2)
		other.holds(partitions / 2)

		began := time.Now()
		var sent atomic.Int64
		pace := s.ahead(watch, plan.ahead)
		loaded := s.background(load{
			name: "kill", orders: plan.orders, seed: 3, pace: func(n int) {
				pace(n)
				sent.Store(int64(n))
			},
		})
		// The victim has half of the orders; each life takes a part of its share.
		share := plan.orders / 2 / (plan.kills + 1)
		for kill := range plan.kills {
			after := share/4 + random.IntN(share/2)
			if kill == 0 {
				after += plan.tail() + plan.ahead
			}
			busy := func() bool { return int(sent.Load())-watch.Orders() > plan.ahead/2 }
			moment := time.Duration(random.IntN(150)) * time.Millisecond // within a transaction
			victim = killed(s, plan, victim, watch, after, moment, busy)
		}
		s.until("all orders are confirmed", func() bool { return watch.Orders() == plan.orders })
		loaded()
		s.until("no lag", s.caughtUp)
		took := time.Since(began)

		if doubled := watch.Doubled(); len(doubled) > 0 {
			t.Errorf("confirmed more than once before a reader's eyes: %v", doubled)
		}
		result := s.check()
		if result.Orders != plan.orders || result.Confirmed != plan.orders {
			t.Errorf("%d orders, %d confirmations, want %d", result.Orders, result.Confirmed,
				plan.orders)
		}
		if least := plan.orders / 100; result.Repeats < least {
			t.Errorf("%d records came twice, want at least %d", result.Repeats, least)
		}
		s.audit(result)
		rows := s.verify(victim, other).Rows
		if rows != plan.orders {
			t.Errorf("the workers hold %d rows, want %d", rows, plan.orders)
		}
		victim.end()
		other.end()
		t.Logf("%d orders and payments, %d repeated records, %d kills in %v: %d records a second",
			plan.orders, result.Repeats, plan.kills, took.Round(time.Millisecond),
			int(float64(result.Records)/took.Seconds()))
	})
}

// killed kills the victim once it has confirmed so many orders in this life,
// some moment later and while it is busy, and starts it again. What it restores
// is a tail of the changelog.
func killed(
	s *stage, plan siege, victim *worker, watch *checker.Watch, after int, moment time.Duration,
	busy func() bool,
) *worker {
	s.t.Helper()
	mine := victim.assigned()
	before := watch.In(mine...)
	s.until(fmt.Sprintf("%d orders in a life", after), func() bool {
		return watch.In(mine...) >= before+after
	})
	<-time.After(moment)
	s.until("there is work", busy)
	victim.kill()
	down, rows := time.Now(), watch.In(mine...)
	next := s.spawn(victim.name, victim.dir).holds(len(mine))
	records, from := next.restored()
	s.t.Logf("killed with %d rows; back after %v, restored %d records", rows,
		time.Since(down).Round(time.Millisecond), records)
	if records > int64(plan.tail()) || from == 0 {
		s.t.Errorf("restored %d records from offset %d on, want a tail of at most %d", records, from,
			plan.tail())
	}
	if strings.Contains(next.log.String(), "aside") {
		s.t.Errorf("a table was set aside:\n%s", next.log)
	}
	return next
}
