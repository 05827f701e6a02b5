package services_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/orders"
	"tallystick/processors/validate"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A wrapper is what graphs are defined with.
func wrapper(e *engine.Engine) func(goka.ProcessCallback) goka.ProcessCallback {
	return func(cb goka.ProcessCallback) goka.ProcessCallback { return e.Wrap(cb, schemas.CheckKey) }
}

// TestCommandsCountOnce: every command is sent several times, and workers of
// orders die before and after their commits and lose their disks. Each order is
// placed once, each cancelled one cancelled once.
func TestCommandsCountOnce(t *testing.T) {
	each(t, func(w *world) {
		commands, events := w.topic("order-commands", 4), w.topic("orders", 4)
		dead, group := w.topic("dead-letters", 1), w.prefix+"orders"
		define := func(e *engine.Engine) *goka.GroupGraph {
			return orders.Rules{}.Define(
				orders.Topics{Group: group, Commands: commands, Orders: events}, wrapper(e))
		}
		const batch = 20
		w.dying(group, define, func(round int) {
			// All that were placed and cancelled before are asked for again.
			for i := range (round + 1) * batch {
				w.send(4, place(commands, i))
				if i%2 == 0 {
					w.send(4, cancel(commands, i))
				}
			}
		}, func() bool { return len(w.committed(events)) >= rounds*batch*3/2 })
		placed, cancelled := map[string]int{}, map[string]int{}
		for _, r := range w.committed(events) {
			m, err := schemas.Orders.Unmarshal(r.Value)
			switch {
			case err != nil:
				t.Fatal(err)
			case m.GetOrderPlaced() != nil:
				placed[string(r.Key)]++
			case m.GetOrderCancelled() != nil:
				cancelled[string(r.Key)]++
			default:
				t.Errorf("said %v", m)
			}
		}
		for i := range rounds * batch {
			id := fmt.Sprintf("o%d", i)
			if placed[id] != 1 || cancelled[id] != 1-i%2 {
				t.Errorf("%s: placed %d times, cancelled %d times", id, placed[id], cancelled[id])
			}
		}
		if n := len(w.committed(dead)); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestDecidedOnce: orders and their checks come in any order, some twice, and
// workers of validate die before and after their commits and lose their disks.
// Each order is decided once, rightly.
func TestDecidedOnce(t *testing.T) {
	each(t, func(w *world) {
		events, checks := w.topic("orders", 4), w.topic("order-checks", 4)
		dead, group := w.topic("dead-letters", 1), w.prefix+"validate"
		define := func(e *engine.Engine) *goka.GroupGraph {
			return validate.Rules{}.Define(
				validate.Topics{Group: group, Orders: events, OrderChecks: checks}, wrapper(e))
		}
		const batch = 20
		w.dying(group, define, func(round int) {
			for i := range batch {
				id := fmt.Sprintf("o%d", round*batch+i)
				stock := fmt.Sprintf(`{"stock_reserved":{"order_id":%q}}`, id)
				if i%5 == 0 {
					stock = fmt.Sprintf(`{"stock_short":{"order_id":%q}}`, id)
				}
				all := []*kgo.Record{
					order(events, id, "c1"), check(checks, id, stock),
					check(checks, id, fmt.Sprintf(`{"fraud_cleared":{"order_id":%q}}`, id)),
					check(checks, id, fmt.Sprintf(`{"details_accepted":{"order_id":%q}}`, id)),
				}
				for k := range all {
					w.send(4, all[(k+i)%len(all)])
				}
				w.send(4, check(checks, id, stock))
			}
		}, func() bool { return len(decisions(w, events)) >= rounds*batch })
		w.eventually("all is read", func() bool { return len(decisions(w, events)) >= rounds*batch })
		seen := map[string]int{}
		for _, m := range decisions(w, events) {
			id := schemas.OrderID(m)
			var i int
			if _, err := fmt.Sscanf(id, "o%d", &i); err != nil {
				t.Fatal(err)
			}
			if rejected := m.GetOrderRejected() != nil; rejected != (i%batch%5 == 0) {
				t.Errorf("%v", m)
			}
			seen[id]++
		}
		for i := range rounds * batch {
			if n := seen[fmt.Sprintf("o%d", i)]; n != 1 {
				t.Errorf("o%d was decided %d times", i, n)
			}
		}
		if n := len(w.committed(dead)); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestUnevenTopicsAreNamed: validate joins two topics by partition; if one has
// more of them, the worker does not begin.
func TestUnevenTopicsAreNamed(t *testing.T) {
	each(t, func(w *world) {
		events, checks := w.topic("orders", 4), w.topic("order-checks", 3)
		w.topic("dead-letters", 1)
		wk := w.start(w.prefix+"validate", func(e *engine.Engine) *goka.GroupGraph {
			return validate.Rules{}.Define(validate.Topics{
				Group: w.prefix + "validate", Orders: events, OrderChecks: checks,
			}, wrapper(e))
		}, fault{})
		if err := wk.end(); !errors.Is(err, engine.ErrTopic) {
			t.Errorf("ended with %v", err)
		}
	})
}

// decisions are what validate said.
func decisions(w *world, topic string) []*tallyv1.OrderEvent {
	w.t.Helper()
	var all []*tallyv1.OrderEvent
	for _, r := range w.committed(topic) {
		m, err := schemas.Orders.Unmarshal(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if m.GetOrderPlaced() == nil {
			all = append(all, m)
		}
	}
	return all
}

func place(topic string, i int) *kgo.Record {
	id := fmt.Sprintf("o%d", i)
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: fmt.Appendf(nil,
		`{"place_order":{"order_id":%q,"customer_id":"c1","total":{"minor":1,"currency":"EUR"}}}`, id)}
}

func cancel(topic string, i int) *kgo.Record {
	id := fmt.Sprintf("o%d", i)
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: fmt.Appendf(nil,
		`{"cancel_order":{"order_id":%q,"reason":"r"}}`, id)}
}

func check(topic, id, text string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(id), Value: []byte(text)}
}
