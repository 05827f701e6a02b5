package app

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/lovoo/goka"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/processors/details"
	"tallystick/processors/fraud"
	"tallystick/processors/inventory"
	"tallystick/processors/orders"
	"tallystick/processors/rekey"
	"tallystick/processors/validate"
	"tallystick/schemas"
	"tallystick/topology"
)

// A service is what tally run takes by name: one processor, or a few that belong
// together.
type service struct {
	name, does string
	processors []processor
	// chain marks the services that only the chain has.
	chain bool
	// aside marks the services that the main job has, but does not run unless they
	// are named.
	aside bool
	// exactly says why the service runs exactly-once only; empty if it runs
	// at-least-once as well.
	exactly string
}

// A processor is one consumer group: how its graph is made, and what its engine
// has to know beside what all engines are told.
type processor struct {
	name   string
	graph  func(wiring, wrapper) *goka.GroupGraph
	engine func(wiring, *engine.Config)
	// check holds keys against bodies; nil is [schemas.CheckKey].
	check func(key string, msg any) error
	// sends says that it has effects, which a sender carries out.
	sends bool
	// row shows a row of its table; nil without a table.
	row func([]byte) (json.RawMessage, error)
}

// A wrapper stands between the engine and a callback.
type wrapper = func(goka.ProcessCallback) goka.ProcessCallback

// wiring is what graphs are made from.
type wiring struct {
	names     topology.Names
	topology  topology.Topology
	chain     bool
	json      bool
	park      bool
	guarantee engine.Guarantee
	rules     rules
	sending   sending
	effects   func(context.Context, []engine.Effect)
	// changes is told what the views have taken in; nil where nobody follows them.
	changes func(context.Context, []engine.Effect)
	// advertise is where other workers find the views of this one; empty for nowhere.
	advertise string
}

// repeats tells that processors have to say again what may have been lost.
func (w wiring) repeats() bool { return w.guarantee == engine.AtLeastOnce }

// parks tells whether later records of a key wait behind a dead letter of the
// processor.
func (w wiring) parks(processor string) bool {
	p, ok := w.topology.Processor(processor)
	return ok && p.Parked != "" && w.park && w.guarantee == engine.ExactlyOnce
}

// journals tells whether the order of a processor's records is written down.
func (w wiring) journals(processor string) bool {
	p, ok := w.topology.Processor(processor)
	return ok && p.Journal != ""
}

// services is the registry, in the order in which an order goes through them.
func services() []service {
	return []service{
		{
			name: topology.Rekey, does: "writes payments under the id of their order", chain: true,
			processors: []processor{rekeyProcessor()},
		},
		{
			name: topology.Orders, does: "takes commands, or refuses them", chain: true,
			processors: []processor{ordersProcessor()},
		},
		{
			name: topology.Inventory, does: "reserves stock", chain: true,
			processors: []processor{inventoryProcessor(), stockProcessor()},
			exactly:    inventory.ExactlyOnce,
		},
		{
			name: topology.Fraud, does: "adds up what a customer orders", chain: true,
			processors: []processor{fraudRekeyProcessor(), fraudProcessor()},
		},
		{
			name: topology.Details, does: "checks customers and products", chain: true,
			processors: []processor{detailsProcessor()},
		},
		{
			name: topology.Validate, does: "decides on new orders", chain: true,
			processors: []processor{validateProcessor()},
		},
		{
			name: topology.Confirm, does: "joins orders and payments",
			processors: []processor{confirmProcessor()},
		},
		{
			name: topology.Notify, does: "tells customers and others of confirmations", chain: true,
			processors: []processor{notifyProcessor()},
		},
		{
			name: topology.Views, does: "keeps what people read of orders", aside: true,
			processors: []processor{viewsProcessor()},
		},
	}
}

func rekeyProcessor() processor {
	return processor{
		name: topology.Rekey, check: schemas.CheckPaymentKey,
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return rekey.Define(rekey.Topics{
				Group: w.names.Group(topology.Rekey), Payments: w.names.Payments,
				PaymentsByOrder: w.names.PaymentsByOrder, JSON: w.json,
			}, wrap)
		},
	}
}

func ordersProcessor() processor {
	return processor{
		name: topology.Orders, row: rowsOf(schemas.OrderRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return orders.Rules{RepeatSpeech: w.repeats()}.Define(orders.Topics{
				Group: w.names.Group(topology.Orders), Commands: w.names.OrderCommands,
				Orders: w.names.Orders, JSON: w.json,
			}, wrap)
		},
	}
}

func inventoryProcessor() processor {
	return processor{
		name: topology.Inventory, row: rowsOf(schemas.InventoryRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			n := w.names
			return inventory.Define(inventory.Topics{
				Group: n.Group(topology.Inventory), Orders: n.Orders, Exceptions: n.Exceptions,
				Confirmations: n.Confirmations, Replies: n.InventoryReplies,
				Requests: n.InventoryRequests, OrderChecks: n.OrderChecks, JSON: w.json,
			}, wrap)
		},
	}
}

func stockProcessor() processor {
	return processor{
		name: topology.InventoryStock, row: rowsOf(schemas.StockRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			n := w.names
			return inventory.DefineStock(inventory.StockTopics{
				Group: n.Group(topology.InventoryStock), Stock: n.Stock,
				Requests: n.InventoryRequests, Replies: n.InventoryReplies,
			}, wrap)
		},
	}
}

func fraudRekeyProcessor() processor {
	return processor{
		name: topology.FraudRekey,
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return fraud.DefineRekey(fraud.RekeyTopics{
				Group: w.names.Group(topology.FraudRekey), Orders: w.names.Orders,
				CustomerOrders: w.names.FraudOrders,
			}, wrap)
		},
	}
}

func fraudProcessor() processor {
	return processor{
		name: topology.Fraud, row: rowsOf(schemas.FraudRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			rules := w.rules.fraud
			rules.RepeatSpeech = w.repeats()
			return rules.Define(fraud.Topics{
				Group: w.names.Group(topology.Fraud), CustomerOrders: w.names.FraudOrders,
				OrderChecks: w.names.OrderChecks, JSON: w.json,
			}, wrap)
		},
	}
}

func detailsProcessor() processor {
	return processor{
		name: topology.Details,
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			n := w.names
			return details.Rules{}.Define(details.Topics{
				Group: n.Group(topology.Details), Orders: n.Orders, Customers: n.Customers,
				Products: n.Products, OrderChecks: n.OrderChecks, JSON: w.json,
			}, wrap)
		},
	}
}

func validateProcessor() processor {
	return processor{
		name: topology.Validate, row: rowsOf(schemas.ValidateRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return validate.Rules{RepeatSpeech: w.repeats()}.Define(validate.Topics{
				Group: w.names.Group(topology.Validate), Orders: w.names.Orders,
				OrderChecks: w.names.OrderChecks, JSON: w.json,
			}, wrap)
		},
	}
}

func confirmProcessor() processor {
	return processor{
		name: topology.Confirm, row: rowsOf(schemas.ConfirmRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			return w.rules.confirming(w, w.guarantee).Define(confirm.Topics{
				Group: w.names.ConfirmGroup, Orders: w.names.Orders, Payments: w.joined(),
				Corrections: w.names.Corrections, Confirmations: w.names.Confirmations,
				Exceptions: w.names.Exceptions,
				Timers:     engine.TimersTopic(w.names.ConfirmGroup), JSON: w.json,
			}, wrap)
		},
		engine: func(w wiring, c *engine.Config) {
			c.Timers = &engine.Timers{Deadline: schemas.ConfirmRowDeadline, Version: 1}
			// Corrections come seldom and at any time: orders don't wait for them.
			c.Untimed = []string{w.names.Corrections}
		},
	}
}

// A rowCodec reads the rows of a table for people.
type rowCodec[T any] interface {
	Unmarshal([]byte) (T, error)
	JSON(T) ([]byte, error)
}

// rowsOf shows rows of a table.
func rowsOf[T any](codec rowCodec[T]) func([]byte) (json.RawMessage, error) {
	return func(b []byte) (json.RawMessage, error) {
		row, err := codec.Unmarshal(b)
		if err != nil {
			return nil, err
		}
		return codec.JSON(row)
	}
}

// choose returns the services of those names, in the registry's order; without
// names those that run by default.
func (s *settings) choose(names []string, g engine.Guarantee) ([]service, error) {
	var chosen []service
	for _, name := range names {
		if err := s.known(name); err != nil {
			return nil, err
		}
	}
	for _, svc := range services() {
		wanted := slices.Contains(names, svc.name)
		if len(names) == 0 {
			wanted = s.Chain || !svc.chain && !svc.aside
		}
		if !wanted {
			continue
		}
		if svc.exactly != "" && g == engine.AtLeastOnce {
			return nil, usageError("run it with --guarantee exactly-once", "%s does not run "+
				"at-least-once: %s", svc.name, svc.exactly)
		}
		chosen = append(chosen, svc)
	}
	return chosen, nil
}

// known refuses services that are not there, or not in the main job.
func (s *settings) known(name string) error {
	if _, err := time.ParseDuration(name); err == nil {
		return usageError("write --until-idle="+name, "there is no service %q", name)
	}
	var names []string
	for _, svc := range services() {
		if svc.name == name && svc.chain && !s.Chain {
			return usageError("add --chain", "%s is a service of the chain only", name)
		}
		if svc.name == name {
			return nil
		}
		names = append(names, svc.name)
	}
	return usageError("there are "+strings.Join(names, ", "), "there is no service %q", name)
}

// names are those of some services.
func names(chosen []service) []string {
	list := make([]string, len(chosen))
	for i, svc := range chosen {
		list[i] = svc.name
	}
	return list
}

// processorsOf are the processors of some services.
func processorsOf(chosen []service) []processor {
	var list []processor
	for _, svc := range chosen {
		list = append(list, svc.processors...)
	}
	return list
}

// tabled returns the processor of that name if it has a table.
func tabled(name string) (processor, error) {
	var names []string
	for _, p := range processorsOf(services()) {
		if p.row == nil {
			continue
		}
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return processor{}, usageError("there are "+strings.Join(names, ", "),
		"there is no processor %q with a table", name)
}
