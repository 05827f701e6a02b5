package app

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"tallystick/query/page"
)

// halves are an order that is paid in part, a payment of which there is no order, and an
// order with its payment.
const halves = `
{"orderPlaced":{"orderId":"o1","customerId":"a","total":{"minor":"900","currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p1","orderId":"o1","amount":{"minor":"200","currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p2","orderId":"o2","amount":{"minor":"350","currency":"USD"}}}
{"orderPlaced":{"orderId":"o3","customerId":"b","total":{"minor":"100","currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p3","orderId":"o3","amount":{"minor":"100","currency":"EUR"}}}
`

// TestPageBuffers holds that a worker of the main job tells what waits, from its own
// table or from the views if it runs them, and that both say the same.
func TestPageBuffers(t *testing.T) {
	for _, services := range [][]string{{"confirm"}, {"confirm", "views"}} {
		t.Run(strings.Join(services, " and "), func(t *testing.T) {
			at := cluster(t)
			tally(t, ExitOK, "topics", "apply", at, "--partitions", "2")
			file := filepath.Join(t.TempDir(), "lines.jsonl")
			write(t, file, strings.TrimPrefix(halves, "\n"))
			tally(t, ExitOK, "load", at, file)
			c := newCommand()
			serving, ended := make(chan Serving, 1), make(chan int, 1)
			c.Ready = func(s Serving) { serving <- s }
			ctx, stop := context.WithCancel(t.Context())
			line := append([]string{"run"}, services...)
			line = append(line, at, "--instance=one", "--state=memory", "--interval=20ms")
			go func() { ended <- c.Run(ctx, line) }()
			s := await(t, serving, ended, c)
			t.Cleanup(func() { stop(); <-ended })
			var w page.Waiting
			waitFor(t, func() bool {
				body, ok := strings.CutPrefix(fetch(t, s.HTTP, "/live/buffers"), "200 ")
				if !ok {
					return false
				}
				w = page.Waiting{}
				if err := json.Unmarshal([]byte(body), &w); err != nil {
					t.Fatal(err)
				}
				return w.Orders.Count == 1 && w.Payments.Count == 1 && w.Orders.Money["EUR"] == 700
			})
			if w.Payments.Money["USD"] != 350 || w.Orders.Oldest == nil || w.Payments.Oldest == nil ||
				w.Partial || len(w.Longest) != 2 {
				t.Errorf("what waits: %+v", w)
			}
			for _, one := range w.Longest {
				want := map[string]string{"o1": "payment", "o2": "order"}[one.Order]
				if one.Misses != want {
					t.Errorf("%s misses %q, want %q", one.Order, one.Misses, want)
				}
			}
			views := strings.Contains(w.Source, "views of all workers")
			if views != (len(services) == 2) {
				t.Errorf("it comes %s", w.Source)
			}
		})
	}
}
