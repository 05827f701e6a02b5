package ways

import (
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"tallystick/processors/lookup"
	"tallystick/processors/window"
	"tallystick/topology"
)

func config(t *testing.T, orders int) Config {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return Config{
		Brokers: broker.ListenAddrs(), Dial: new(net.Dialer).DialContext, Dir: t.TempDir(),
		Prefix: "ways", Partitions: 8, Orders: orders, Seed: 1, Rate: 2000,
		Latency: time.Millisecond, Outage: time.Second, Away: 50 * time.Millisecond,
		Interval: 5 * time.Millisecond, CacheFor: time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// TestWays runs every way through every scenario and holds what each of them
// must and must not lose. Times are not looked at.
func TestWays(t *testing.T) {
	b, err := New(config(t, 400))
	if err != nil {
		t.Fatal(err)
	}
	results, err := b.Run(t.Context(), Ways(), Scenarios())
	if err != nil {
		t.Fatal(err)
	}
	if want := len(Ways()) * len(Scenarios()); len(results) != want {
		t.Fatalf("%d results, want %d", len(results), want)
	}
	for _, r := range results {
		t.Logf("%+v", r)
		hold(t, r)
	}
}

// hold is what must be so whatever the machine does.
func hold(t *testing.T, r Result) {
	t.Helper()
	fail := func(what string) {
		t.Helper()
		t.Errorf("%s, %s: %s: %+v", r.Way, r.Scenario, what, r)
	}
	if r.Expected == 0 || r.Confirmed+r.Lost != r.Expected || r.Wrong != 0 {
		fail("does not add up")
	}
	asks := r.Way == Lookup || r.Way == CachedLookup
	switch {
	case !asks && r.Lookups != 0:
		fail("asked somebody")
	case r.Way == Lookup && r.Lookups < int64(r.Records):
		fail("asked less than once for each message")
	case r.Way == CachedLookup && r.Scenario != Outage && r.Lookups >= int64(r.Records):
		fail("the cache saved nothing")
	}
	switch r.Way {
	case Confirm:
		if r.Lost != 0 || r.Doubled != 0 {
			fail("loses or doubles")
		}
	case Lookup:
		if r.Scenario == Outage && r.Lookups == int64(r.Records) {
			fail("did not try again")
		}
		if (r.Scenario == Plain || r.Scenario == Late) && r.Lost+r.Doubled != 0 {
			fail("loses or doubles without need")
		}
		if r.Scenario == Restart && r.Lost != 0 {
			fail("loses by a restart what is asked again")
		}
	case CachedLookup:
		if r.Lost == 0 {
			fail("its cache is never stale")
		}
	case Window:
		switch r.Scenario {
		case Plain, Outage:
			if r.Lost+r.Doubled != 0 {
				fail("loses or doubles without need")
			}
		case Late:
			if r.Lost == 0 {
				fail("loses nothing of what is late")
			}
		case Restart: // what is delivered again is not lost, but doubled
			if r.Lost+r.Doubled == 0 {
				fail("neither loses nor doubles by a restart")
			}
		}
	}
}

// TestWindowLosesByARestart: what is in memory when a worker dies is gone. If it
// dies so late after a commit that all of it comes again, it dies again.
func TestWindowLosesByARestart(t *testing.T) {
	for range 5 {
		b, err := New(config(t, 400))
		if err != nil {
			t.Fatal(err)
		}
		results, err := b.Run(t.Context(), []Way{Window}, []Scenario{Restart})
		if err != nil {
			t.Fatal(err)
		}
		if results[0].Lost > 0 {
			return
		}
	}
	t.Error("it lost nothing in five restarts")
}

// TestSettling: what is expected follows from sums alone.
func TestSettling(t *testing.T) {
	got := settling([]fact{
		{order: 1, minor: 10},
		{order: 2, payment: 1, minor: 5},
		{order: 1, payment: 1, minor: 5},
		{order: 1, payment: 1, minor: 5}, // twice
		{order: 3, minor: 7},
		{order: 1, payment: 2, minor: 9},
		{order: 2, minor: 5},
		{order: 1, payment: 3, minor: 9},
		{order: 3, payment: 1, minor: 6},
		{order: 4, payment: 1, minor: 6},
	})
	if want := map[int]int{1: 5, 2: 6}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWork: the same seed gives the same facts, in the order of their time, with
// some of everything.
func TestWork(t *testing.T) {
	now := time.Unix(1_750_000_000, 0)
	facts := work(2000, 3, true, now)
	if !slices.Equal(facts, work(2000, 3, true, now)) {
		t.Error("the same seed gives other facts")
	}
	placed, delays, payments := map[int]time.Time{}, map[string]int{}, map[int]int{}
	for _, f := range facts {
		if f.payment == 0 {
			placed[f.order] = f.at
		}
	}
	for i, f := range facts {
		if i > 0 && f.at.Before(facts[i-1].at) {
			t.Fatalf("fact %d is out of order", i)
		}
		if f.at.After(now.Add(-ago + span + latestDelay)) {
			t.Fatalf("fact %d is at %v", i, f.at)
		}
		if f.payment == 0 {
			continue
		}
		payments[f.order]++
		switch d := f.at.Sub(placed[f.order]); {
		case d < 0:
			delays["early"]++
		case d > window.DefaultRules().Window:
			delays["late"]++
		}
	}
	if delays["early"] < 200 || delays["late"] < 80 || len(payments) == 2000 || len(payments) < 1900 {
		t.Errorf("%v, %d orders are paid", delays, len(payments))
	}
}

// TestService: it answers what it was told, 404 for what it does not know, and 503
// while it is down.
func TestService(t *testing.T) {
	s := newService(time.Millisecond)
	h := httptest.NewServer(s.handler())
	defer h.Close()
	a := lookup.DefaultAsking(h.URL, h.Client(), time.Now)
	a.Attempts = 1
	c, err := lookup.NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	if known, err := c.Ask(t.Context(), key(1)); err != nil || known.Order != nil {
		t.Errorf("before: %+v, %v", known, err)
	}
	at := time.Unix(1_750_000_000, 0)
	for payment := range 2 {
		if err := s.take(fact{1, payment, 5, at}.message()); err != nil {
			t.Fatal(err)
		}
	}
	known, err := c.Ask(t.Context(), key(1))
	if err != nil || known.Confirmation().GetOrderConfirmed().GetOrderId() != key(1) {
		t.Errorf("paid: %+v, %v", known, err)
	}
	s.down.Store(true)
	if _, err := c.Ask(t.Context(), key(1)); err == nil || s.asked.Load() != 3 {
		t.Errorf("down: %v after %d requests", err, s.asked.Load())
	}
}

// TestValidate: settings out of bounds are named.
func TestValidate(t *testing.T) {
	_, err := New(Config{Latency: -1})
	for _, want := range []string{"orders", "rate", "latency", "outage", "cache"} {
		if err == nil || !strings.Contains(err.Error(), want+" must lie") {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
}

// TestGroupsAreNames: Kafka takes the groups of all ways as names of topics, which
// the fake broker of the tests does not check.
func TestGroupsAreNames(t *testing.T) {
	seen := map[string]bool{}
	for _, way := range Ways() {
		group := (&run{way: way, names: topology.Options{App: "a"}.Names()}).group()
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(group) || seen[group] {
			t.Errorf("%s has the group %s", way, group)
		}
		seen[group] = true
	}
}
