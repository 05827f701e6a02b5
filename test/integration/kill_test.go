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
	// window is how many orders are sent and not yet confirmed, at most: there is
	// always work to kill, and no transaction is larger.
	window int
}

func siegeOf(kind kafkatest.Kind) siege {
	if kind == kafkatest.Fake {
		return siege{orders: 12_000, kills: 3, window: 500}
	}
	return siege{orders: 200_000, kills: 10, window: 4_000}
}

// tail bounds what a worker may restore after a kill: the rows of the last two
// transactions. At the first kill its table has more than that already.
func (p siege) tail() int { return 2 * p.window }

// head is how many orders are sent before those that are shared out among the
// victim's lives, so that its table is larger than any tail.
func (p siege) head() int { return 2 * (p.tail() + p.window) }

// part is how many orders are sent in each of the victim's lives.
func (p siege) part() int { return (p.orders - p.head()) / (p.kills + 1) }

// TestKill runs two workers under load and kills one of them, again and again,
// at random moments.
func TestKill(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		plan := siegeOf(s.broker.Kind)
		watch := s.watch()
		victim := s.spawn("victim", t.TempDir())
		other := s.spawn("other", t.TempDir())
		victim.holds(partitions / 2)
		other.holds(partitions / 2)

		began := time.Now()
		a := &attack{stage: s, siege: plan, watch: watch, random: rand.New(rand.NewPCG(1, 1))}
		a.limit.Store(int64(plan.head() + plan.part() - plan.window))
		loaded := s.background(load{name: "kill", orders: plan.orders, seed: 3, pace: a.pace})
		for life := range plan.kills {
			victim = a.kill(victim, life)
		}
		a.limit.Store(int64(plan.orders))
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
		s.verifyRows(plan.orders, victim, other)
		victim.end()
		other.end()
		t.Logf("%d orders and payments, %d repeated records, %d kills in %v: %d records a second",
			plan.orders, result.Repeats, plan.kills, took.Round(time.Millisecond),
			int(float64(result.Records)/took.Seconds()))
	})
}

// An attack is a siege that is under way.
type attack struct {
	*stage
	siege
	watch       *checker.Watch
	random      *rand.Rand
	sent, limit atomic.Int64 // orders that are sent, and may be
}

// pace holds the load back: never much ahead of the workers, and never beyond
// what the victim's present life has its share of.
func (a *attack) pace(n int) {
	for (n-a.watch.Orders() > a.window || int64(n) > a.limit.Load()) && a.t.Context().Err() == nil {
		time.Sleep(pause)
	}
	a.sent.Store(int64(n))
}

// kill kills the victim once it has confirmed a random part of its share, some
// moment later and while there is work, and starts it again. What it restores
// is a tail of the changelog.
func (a *attack) kill(victim *worker, life int) *worker {
	a.t.Helper()
	share := a.part() / 2
	after := share/4 + a.random.IntN(share*3/8)
	if life == 0 {
		after += a.head() / 2
	}
	moment := time.Duration(a.random.IntN(150)) * time.Millisecond // within a transaction
	mine := victim.assigned()
	before := a.watch.In(mine...)
	a.until(fmt.Sprintf("%d orders in life %d", after, life), func() bool {
		return a.watch.In(mine...) >= before+after
	})
	<-time.After(moment)
	a.limit.Add(int64(a.window))
	a.until("there is work", func() bool {
		if a.watch.Orders() >= int(a.limit.Load()) { // done before anybody saw it: more, from
			a.limit.Add(int64(a.window)) // what the last life has its share of
		}
		return int(a.sent.Load())-a.watch.Orders() > a.window/2
	})
	victim.kill()
	down, rows := time.Now(), a.watch.In(mine...)
	a.limit.Add(int64(a.part() - a.window))
	next := a.spawn(victim.name, victim.dir).holds(len(mine))
	records, from := next.restored()
	a.t.Logf("killed with %d rows; back after %v, restored %d records", rows,
		time.Since(down).Round(time.Millisecond), records)
	if records > int64(a.tail()) || from == 0 {
		a.t.Errorf("restored %d records from offset %d on, want a tail of at most %d", records, from,
			a.tail())
	}
	if strings.Contains(next.log.String(), "aside") {
		a.t.Errorf("a table was set aside:\n%s", next.log)
	}
	return next
}
