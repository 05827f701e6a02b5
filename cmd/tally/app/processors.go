package app

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/lovoo/goka"

	"tallystick/engine"
	"tallystick/processors/confirm"
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
	// row shows a row of its table; nil without a table.
	row func([]byte) (json.RawMessage, error)
}

// A wrapper stands between the engine and a callback.
type wrapper = func(goka.ProcessCallback) goka.ProcessCallback

// wiring is what graphs are made from.
type wiring struct {
	names     topology.Names
	app       string
	chain     bool
	json      bool
	guarantee engine.Guarantee
	rules     rules
}

// group is the name of a processor's consumer group.
func (w wiring) group(processor string) string { return w.app + "-" + processor }

// timersTopic is where an engine delivers the rows that are due. It is no topic
// of Kafka.
func timersTopic(group string) string { return group + "-timers" }

// services is the registry, in the order in which an order goes through them.
func services() []service {
	return []service{
		{
			name: topology.Confirm, does: "joins orders and payments",
			processors: []processor{confirmProcessor()},
		},
	}
}

func confirmProcessor() processor {
	return processor{
		name: topology.Confirm,
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			rules := confirm.Rules{RepeatSpeech: w.guarantee == engine.AtLeastOnce}
			return rules.Define(confirm.Topics{
				Group: w.names.ConfirmGroup, Orders: w.names.Orders, Payments: w.names.Payments,
				Confirmations: w.names.Confirmations, Exceptions: w.names.Exceptions, JSON: w.json,
			}, wrap)
		},
		row: rowsOf(schemas.ConfirmRows),
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
			wanted = s.Chain || svc.name == topology.Confirm
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
