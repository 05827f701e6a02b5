package app

import (
	"context"

	"github.com/lovoo/goka"

	"tallystick/engine"
	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/topology"
)

// viewTopics are what the views read.
func (w wiring) viewTopics() views.Topics {
	n := w.names
	t := views.Topics{
		Group: n.Group(topology.Views), Orders: n.Orders, Payments: w.joined(),
		Corrections: n.Corrections, Confirmations: n.Confirmations, Exceptions: n.Exceptions,
	}
	if w.chain {
		t.Commands, t.OrderChecks, t.Notices = n.OrderCommands, n.OrderChecks, n.Notices
	}
	return t
}

func viewsProcessor() processor {
	return processor{
		name: topology.Views, row: rowsOf(schemas.OrderViews),
		check: func(string, any) error { return nil }, // it passes over what does not fit
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return views.Define(w.viewTopics(), wrap)
		},
		engine: func(w wiring, c *engine.Config) {
			c.Advertise = w.advertise
			c.Index = &engine.Index{Entries: views.Entries, Version: views.IndexVersion}
			follow := w.changes
			if follow == nil { // nobody does
				follow = func(context.Context, []engine.Effect) {}
			}
			c.Effects = map[string]func(context.Context, []engine.Effect){
				w.viewTopics().Effects(): follow,
			}
		},
	}
}
