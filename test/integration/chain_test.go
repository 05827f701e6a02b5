package integration_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/oracle"
	"tallystick/test/kafkatest"
)

// chainSiege is how hard TestChain tries on a kind of broker. TALLY_CHAIN_ORDERS
// says how many orders a real one gets.
func chainSiege(t *testing.T, kind kafkatest.Kind) siege {
	t.Helper()
	if kind == kafkatest.Fake {
		return siege{orders: 600, window: 300} // gates of the dead would be waited for
	}
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TALLY_CHAIN_ORDERS"), "5000"))
	if err != nil {
		t.Fatal(err)
	}
	return siege{orders: n, kills: min(10, n/1000), window: min(6_000, n/5)}
}

// TestChain runs the whole chain of services in three processes, two of which are
// killed at random. An oracle that shares no code with them judges what came out:
// every order in its right end and view, the stock, the money, and no customer told
// twice.
func TestChain(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		plan := chainSiege(t, s.broker.Kind)
		c := newChain(s, plan)
		began := time.Now()
		c.furnish() // all of it is known to the services before the first order
		c.hire()
		loaded := make(chan error, 1)
		go func() { loaded <- c.load() }()
		for k := range plan.kills {
			c.until("orders end", func() bool { return c.ended() > plan.orders*(k+1)/(plan.kills+2) })
			<-time.After(time.Duration(c.random.IntN(400)) * time.Millisecond)
			c.kill(1 + c.random.IntN(2))
		}
		c.progress("all orders end", func() int { return plan.orders - c.ended() })
		if err := <-loaded; err != nil {
			t.Fatal(err)
		}
		c.progress("all customers are told", func() int { return c.untold() })
		c.until("nothing is left to do", c.atRest)
		took := time.Since(began)
		shop := c.open()
		c.look(shop)
		for _, w := range c.workers {
			w.end()
		}
		v := c.judge(shop)
		const begun = 1000 // gates that a worker may leave open when it is killed
		if most := plan.kills * begun; v.Unresolved > most {
			t.Errorf("of %d customers nobody knows whether they were told, more than %d", v.Unresolved, most)
		}
		if v.Orders != plan.orders || v.Sent == 0 || v.Expired == 0 || v.Withdrawn == 0 ||
			v.TakenBack == 0 || v.ReversedLate == 0 || v.Waiting == 0 {
			t.Errorf("the run shows too little: %+v", v)
		}
		t.Logf("%d kills in %v: %+v", plan.kills, took.Round(time.Second), v)
	})
}

// A chain is the services at work, the world around them, and who looks on.
type chain struct {
	*stage
	plan    siege
	random  *rand.Rand
	workers []*worker
	dirs    []string
	post    *httptest.Server

	mu    sync.Mutex
	taken map[string]int  // by order
	tried map[string]bool // refused once
	ends  map[string]bool // orders
	told  map[string]bool // orders
	wait  int             // confirmed orders whose customer is not told
	after []string        // payments that were taken back when their fate was known
}

func newChain(s *stage, plan siege) *chain {
	s.t.Helper()
	s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(s.t)
	c := &chain{
		stage: s, plan: plan, random: rand.New(rand.NewPCG(11, 11)),
		taken: map[string]int{}, tried: map[string]bool{}, ends: map[string]bool{},
		told: map[string]bool{},
	}
	c.post = httptest.NewServer(http.HandlerFunc(c.receive))
	s.t.Cleanup(c.post.Close)
	for range crews {
		c.dirs = append(c.dirs, s.t.TempDir())
	}
	go c.follow(s.t.Context())
	return c
}

// crews are the services of each process.
//
//nolint:gochecknoglobals // a table
var crews = [][]string{
	{"rekey", "orders", "inventory"},
	{"fraud", "details", "validate", "views"},
	{"confirm", "notify", "views"},
}

func (c *chain) hire() {
	for i := range crews {
		c.workers = append(c.workers, c.start(i))
	}
}

func (c *chain) start(i int) *worker {
	args := append([]string{
		"--chain", "--interval", "200ms", "--webhook", c.post.URL,
		"--fraud-limit", fmt.Sprint(fraudLimit),
		"--notify-backoff", "500ms", "--notify-gate", "60s", "--session-timeout", "10s",
	}, crews[i]...)
	return c.spawn(fmt.Sprintf("crew-%d", i), c.dirs[i], args...)
}

// kill kills the process of a crew and starts it again.
func (c *chain) kill(i int) {
	c.t.Helper()
	c.workers[i].kill()
	c.workers[i] = c.start(i)
}

// receive takes notifications, but for some that it refuses once.
func (c *chain) receive(w http.ResponseWriter, r *http.Request) {
	var event struct{ Subject string }
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil || event.Subject == "" {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tried[event.Subject] && strings.HasSuffix(event.Subject, "7") {
		c.tried[event.Subject] = true
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	c.taken[event.Subject]++
}

// follow sees what comes out.
func (c *chain) follow(ctx context.Context) {
	notices := c.prefix + "notices"
	client := c.broker.Client(c.t, kgo.ConsumeTopics(c.topics.Confirmations, c.topics.Exceptions,
		notices), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		c.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			switch id := string(r.Key); r.Topic {
			case c.topics.Confirmations:
				c.ends[id] = true
				c.wait++
			case notices:
				if !c.told[id] {
					c.told[id] = true
					c.wait--
				}
			default:
				var e tallyv1.ExceptionEvent
				if proto.Unmarshal(r.Value, &e) == nil &&
					(e.GetOrderExpired() != nil || e.GetOrderWithdrawn() != nil) {
					c.ends[id] = true
				}
			}
		})
		c.mu.Unlock()
	}
}

func (c *chain) ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ends)
}

func (c *chain) untold() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait
}

// progress waits until nothing is left, as long as it gets less.
func (c *chain) progress(what string, left func() int) {
	c.t.Helper()
	for n := left(); n > 0; n = left() {
		c.until(fmt.Sprintf("%s (%d left)", what, n), func() bool {
			for _, w := range c.workers {
				if w.ended() {
					c.t.Fatalf("%s ended with exit code %d: %s", w.name, w.code, w.log.tail(3))
				}
			}
			return left() < n
		})
	}
}

// open has the oracle read everything.
func (c *chain) open() *oracle.Shop {
	c.t.Helper()
	shop := oracle.New()
	shop.FraudLimit = fraudLimit
	each := func(name string, take func(*kgo.Record)) {
		for _, r := range c.records(name) {
			take(r)
		}
	}
	// Those about orders are keyed by order, and its view has taken each of them in.
	about := func(name string, take func(*kgo.Record)) {
		each(name, func(r *kgo.Record) {
			shop.Place(r.Topic, string(r.Key), r.Offset)
			take(r)
		})
	}
	each(c.topics.Payments, func(r *kgo.Record) { shop.Payment(r.Value, r.Timestamp) })
	about(c.prefix+"payments-by-order", func(r *kgo.Record) {
		shop.PaymentByOrder(string(r.Key), r.Value)
	})
	about(c.prefix+"corrections", func(r *kgo.Record) { shop.Correction(r.Value, r.Timestamp) })
	about(c.prefix+"order-commands", func(r *kgo.Record) { shop.Command(r.Value) })
	each(c.prefix+"customers", func(r *kgo.Record) { shop.Customer(r.Value) })
	each(c.prefix+"products", func(r *kgo.Record) { shop.Product(r.Value) })
	each(c.prefix+"stock", func(r *kgo.Record) { shop.Stock(r.Value) })
	about(c.topics.Orders, func(r *kgo.Record) { shop.OrderEvent(r.Value) })
	about(c.prefix+"order-checks", func(r *kgo.Record) { shop.Check(r.Value) })
	about(c.topics.Confirmations, func(r *kgo.Record) { shop.Confirmation(r.Value) })
	about(c.topics.Exceptions, func(r *kgo.Record) { shop.Exception(r.Value) })
	about(c.prefix+"notices", func(r *kgo.Record) { shop.Notice(r.Value) })
	each(c.app+"-inventory-stock-table", func(r *kgo.Record) { shop.StockRow(string(r.Key), r.Value) })
	if dead := c.records(c.topics.DeadLetters); len(dead) > 0 {
		c.t.Errorf("%d records are in the dead letters, the first under %q", len(dead), dead[0].Key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.taken {
		shop.Taken(id, n)
	}
	for _, id := range c.after {
		shop.After(id)
	}
	return shop
}

// judge has the oracle say what is wrong.
func (c *chain) judge(shop *oracle.Shop) oracle.Verdict {
	c.t.Helper()
	v := shop.Judge()
	for _, wrong := range shop.Wrong {
		c.t.Error(wrong)
	}
	if v.WrongCount > len(shop.Wrong) {
		c.t.Errorf("and %d more", v.WrongCount-len(shop.Wrong))
	}
	return v
}
