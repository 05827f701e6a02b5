package services_test

import (
	"context"
	"maps"
	"testing"

	"github.com/lovoo/goka"

	"tallystick/engine"
	"tallystick/query/views"
	"tallystick/schemas"
)

// TestViewsAreFoundThroughTheGroup: two workers of the views know from the group who
// has which partition, also when one has come back under another address.
func TestViewsAreFoundThroughTheGroup(t *testing.T) {
	each(t, func(w *world) {
		const parts = 4
		topics := views.Topics{
			Group: w.prefix + "views", Orders: w.topic("orders", parts),
			Payments: w.topic("payments", parts), Confirmations: w.topic("confirmations", parts),
			Exceptions: w.topic("exceptions", parts), Corrections: w.topic("corrections", parts),
		}
		w.topic("dead-letters", 1)
		define := func(e *engine.Engine) *goka.GroupGraph {
			return views.Define(topics, func(cb goka.ProcessCallback) goka.ProcessCallback {
				return e.Wrap(cb, schemas.CheckKey)
			})
		}
		viewing := func(instance, address string) func(*engine.Config) {
			return func(c *engine.Config) {
				c.Instance, c.Advertise = instance, address
				c.Index = &engine.Index{Entries: views.Entries, Version: views.IndexVersion}
				c.Effects = map[string]func(context.Context, []engine.Effect){
					topics.Effects(): func(context.Context, []engine.Effect) {},
				}
			}
		}
		agree := func(at map[string]*worker) {
			t.Helper()
			w.eventually("the workers know each other", func() bool {
				all := map[int32]string{}
				for address, wk := range at {
					for p := range int32(parts) {
						if _, ok := wk.e.Table(p); wk.lives() && ok {
							all[p] = address
						}
					}
				}
				for _, wk := range at {
					peers, err := wk.e.Peers(w.t.Context())
					if err != nil || !maps.Equal(peers, all) {
						return false
					}
				}
				return len(all) == parts
			})
		}
		one := w.start(topics.Group, define, fault{}, viewing("one", "one:1"))
		agree(map[string]*worker{"one:1": one})
		two := w.start(topics.Group, define, fault{}, viewing("two", "two:1"))
		agree(map[string]*worker{"one:1": one, "two:1": two})
		again := func(wk *worker, instance, address string) *worker {
			wk.stop()
			if err := wk.end(); err != nil {
				w.t.Fatal(err)
			}
			return w.start(topics.Group, define, fault{}, viewing(instance, address))
		}
		two = again(two, "two", "two:2")
		agree(map[string]*worker{"one:1": one, "two:2": two})
		one = again(one, "one", "one:2") // it leads the group
		agree(map[string]*worker{"one:2": one, "two:2": two})
		for _, wk := range []*worker{one, two} {
			wk.stop()
			if err := wk.end(); err != nil {
				w.t.Error(err)
			}
		}
	})
}
