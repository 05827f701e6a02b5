package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/schemas/tallyv1"
)

// address is where a worker answers.
func (w *worker) address() string {
	w.s.t.Helper()
	said := w.log.entries("http")
	if len(said) == 0 {
		w.s.t.Fatalf("%s has said no address", w.name)
	}
	return "http://" + said[len(said)-1].Address
}

// asked asks a worker over HTTP.
func asked(t *testing.T, method, where, body string) (int, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), method, where, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", "application/json")
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		return 0, err.Error()
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		return 0, err.Error()
	}
	return out.StatusCode, string(text)
}

// shareViews waits until each of two workers has half of the views.
func (s *stage) shareViews(one, two *worker) {
	s.t.Helper()
	s.until("both have views", func() bool {
		said := one.log.String() + two.log.String()
		return strings.Contains(said, `"partitions":[0,1]`) &&
			strings.Contains(said, `"partitions":[2,3]`)
	})
}

// TestReadYourOwnWrite posts 1,000 orders to one worker and reads each from another
// with its token, all found and none as it was before; then the worker that has half
// of them is killed, and they are found again, as new as they were.
func TestReadYourOwnWrite(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(t)
		flags := []string{"--chain", "--interval", "50ms", "--session-timeout", "6s", "views"}
		one := s.spawn("one", t.TempDir(), append(flags, "orders")...)
		two := s.spawn("two", t.TempDir(), flags...)
		s.shareViews(one, two)
		const n = 1000
		tokens, took := make([]string, n), make([]time.Duration, n)
		var g errgroup.Group
		g.SetLimit(16)
		for i := range n {
			g.Go(func() error {
				status, text := asked(t, "POST", one.address()+"/orders", fmt.Sprintf(
					`{"orderId":"o%d","customerId":"ann","total":{"minor":900,"currency":"EUR"}}`, i))
				var said struct{ Token string }
				if err := json.Unmarshal([]byte(text), &said); err != nil || status != 202 {
					return fmt.Errorf("post o%d: %d: %s", i, status, text)
				}
				began := time.Now()
				where := fmt.Sprintf("%s/orders/o%d?wait=30s&after=%s", two.address(), i, said.Token)
				status, text = asked(t, "GET", where, "")
				tokens[i], took[i] = said.Token, time.Since(began)
				if status != 200 || !strings.Contains(text, `"customer":"ann"`) {
					return fmt.Errorf("%s: %d: %s", where, status, text)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(took)
		t.Logf("waited p50 %v, p99 %v, at most %v", took[n/2], took[n*99/100], took[n-1])
		began := time.Now()
		two.kill()
		for i := range n {
			s.until(fmt.Sprintf("o%d is found again", i), func() bool {
				status, text := asked(t, "GET",
					fmt.Sprintf("%s/orders/o%d?after=%s", one.address(), i, tokens[i]), "")
				return status == 200 && strings.Contains(text, `"customer":"ann"`)
			})
		}
		t.Logf("all are found %v after the kill", time.Since(began).Round(time.Millisecond))
	})
}

// TestPagesWhileOrdersFlow reads a customer's orders page by page, now from one worker
// and now from the other, while more of them come in and others are taken back: none
// comes twice, none is missing that was there before, and the newest come first.
func TestPagesWhileOrdersFlow(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(t)
		flags := []string{"--chain", "--interval", "50ms", "views"}
		one := s.spawn("one", t.TempDir(), append(flags, "orders")...)
		two := s.spawn("two", t.TempDir(), flags...)
		s.shareViews(one, two)
		began := time.Now()
		const n = 500
		there := map[string]bool{}
		for i := range n {
			there[orderOfAnn(i)] = true
			at := began.Add(time.Duration(i) * time.Millisecond)
			s.client.Produce(t.Context(), s.asksForAnn(i, at), nil)
		}
		walk := func(limit int) map[string]int {
			return pages(t, []string{one.address(), two.address()}, "ann", limit)
		}
		s.until("all are there", func() bool { return len(walk(100)) == n })

		ctx, stop := context.WithCancel(t.Context())
		var flow errgroup.Group
		flow.Go(func() error { return s.flow(ctx, n) })
		most, round := 0, 0
		s.until("it was read while many orders came", func() bool {
			seen := walk(7 + 20*(round%5))
			if seen == nil {
				return false
			}
			for id, times := range seen {
				if times > 1 {
					t.Errorf("round %d: %s came %d times", round, id, times)
				}
			}
			for id := range there {
				if seen[id] == 0 {
					t.Errorf("round %d: %s is missing among %d", round, id, len(seen))
				}
			}
			most = max(most, len(seen))
			round++
			return t.Failed() || round >= 6 && most > n+50
		})
		stop()
		if err := flow.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d orders in round %d, %d of them there from the beginning", most, round, n)
	})
}

func orderOfAnn(i int) string { return fmt.Sprintf("ann-%06d", i) }

func (s *stage) asksForAnn(i int, at time.Time) *kgo.Record {
	return s.record(s.prefix+"order-commands", orderOfAnn(i), at, &tallyv1.OrderCommand{
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: orderOfAnn(i), CustomerId: "ann", Total: euros(900),
		}},
	})
}

// flow asks for more orders, and takes one of the first n back for each, until ctx is
// done.
func (s *stage) flow(ctx context.Context, n int) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := n; ; i++ {
		select {
		case <-ctx.Done():
			return s.client.Flush(s.t.Context())
		case <-tick.C:
		}
		now, old := time.Now(), orderOfAnn(i*7%n)
		s.client.Produce(s.t.Context(), s.asksForAnn(i, now), nil)
		s.client.Produce(s.t.Context(), s.record(s.prefix+"order-commands", old, now,
			&tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_CancelOrder{
				CancelOrder: &tallyv1.CancelOrder{OrderId: old, Reason: "changed her mind"},
			}}), nil)
	}
}

// pages reads all pages of a customer's orders, each from the next of the workers, and
// counts how often each order is on them. It returns nil if one of the pages says that
// it is not whole, or that it could not be had in time.
func pages(t *testing.T, workers []string, customer string, limit int) map[string]int {
	t.Helper()
	seen, cursor, last := map[string]int{}, "", time.Time{}
	for i := 0; ; i++ {
		where := fmt.Sprintf("%s/customers/%s/orders?limit=%d",
			workers[i%len(workers)], customer, limit)
		if cursor != "" {
			where += "&cursor=" + cursor
		}
		var list struct {
			Orders []struct {
				Order string
				At    time.Time
			}
			Next    string
			Missing []int
		}
		status, text := asked(t, "GET", where, "")
		err := json.Unmarshal([]byte(text), &list)
		if status == http.StatusServiceUnavailable || len(list.Missing) > 0 {
			return nil
		}
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d: %s", where, status, text)
		}
		for _, o := range list.Orders {
			if seen[o.Order]++; !last.IsZero() && o.At.After(last) {
				t.Errorf("%s of %v comes behind one of %v", o.Order, o.At, last)
			}
			last = o.At
		}
		if cursor = list.Next; cursor == "" {
			return seen
		}
	}
}
