package views

import (
	"fmt"

	"github.com/lovoo/goka"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads. Its table is the one of the group.
type Topics struct {
	Group         string
	Orders        string
	Payments      string // those that are keyed by order
	Corrections   string
	Confirmations string
	Exceptions    string
	// Commands, OrderChecks and Notices are empty where there are none.
	Commands    string
	OrderChecks string
	Notices     string
}

// Effects is the virtual output of changes, [schemas.OrderViewChanges].
func (t Topics) Effects() string { return t.Group + "-effects" }

// Names returns what the topics are called, by what they are.
func (t Topics) Names() map[tallyv1.OrderView_Topic]string {
	names := map[tallyv1.OrderView_Topic]string{}
	for topic, name := range map[tallyv1.OrderView_Topic]string{
		tallyv1.OrderView_ORDER_COMMANDS: t.Commands,
		tallyv1.OrderView_ORDERS:         t.Orders,
		tallyv1.OrderView_ORDER_CHECKS:   t.OrderChecks,
		tallyv1.OrderView_PAYMENTS:       t.Payments,
		tallyv1.OrderView_CONFIRMATIONS:  t.Confirmations,
		tallyv1.OrderView_EXCEPTIONS:     t.Exceptions,
		tallyv1.OrderView_NOTICES:        t.Notices,
		tallyv1.OrderView_CORRECTIONS:    t.Corrections,
	} {
		if name != "" {
			names[topic] = name
		}
	}
	return names
}

// Define returns the graph of the processor. Every callback is put through wrap.
//
// A record that is not valid, or whose key is not the order in its body, is passed
// over: whoever the topic is for has put it into the dead letters, where it is to be
// once.
func Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{effects: goka.Stream(t.Effects())}
	edges := []goka.Edge{
		goka.Output(p.effects, schemas.OrderViewChanges), goka.Persist(schemas.OrderViews),
	}
	for topic, name := range t.Names() {
		edges = append(edges, goka.Input(goka.Stream(name), lenient{codec(topic)}, wrap(p.takes(topic))))
	}
	return goka.DefineGroup(goka.Group(t.Group), edges...)
}

// codec reads the records of a topic.
func codec(topic tallyv1.OrderView_Topic) goka.Codec {
	switch topic {
	case tallyv1.OrderView_ORDER_COMMANDS:
		return schemas.OrderCommands
	case tallyv1.OrderView_ORDERS:
		return schemas.Orders
	case tallyv1.OrderView_ORDER_CHECKS:
		return schemas.OrderChecks
	case tallyv1.OrderView_PAYMENTS:
		return schemas.Payments
	case tallyv1.OrderView_CONFIRMATIONS:
		return schemas.Confirmations
	case tallyv1.OrderView_EXCEPTIONS:
		return schemas.Exceptions
	case tallyv1.OrderView_NOTICES:
		return schemas.Notices
	case tallyv1.OrderView_CORRECTIONS:
		return schemas.Corrections
	}
	return nil
}

// lenient gives what cannot be read a value that is no error, which the engine would
// put into the dead letters.
type lenient struct{ goka.Codec }

type unreadable struct{}

// Decode returns the message in b, or unreadable.
func (l lenient) Decode(b []byte) (any, error) {
	v, err := l.Codec.Decode(b)
	if _, bad := v.(error); bad {
		return unreadable{}, nil
	}
	return v, err
}

type processor struct{ effects goka.Stream }

// takes is the callback of a topic.
func (p processor) takes(topic tallyv1.OrderView_Topic) goka.ProcessCallback {
	return func(ctx goka.Context, msg any) {
		if _, bad := msg.(unreadable); bad || schemas.CheckKey(ctx.Key(), msg) != nil {
			return
		}
		m, ok := msg.(said)
		if !ok {
			ctx.Fail(fmt.Errorf("views: %T is not a record of %s", msg, ctx.Topic()))
			return
		}
		row, _ := ctx.Value().(*Row)
		was, e := row.GetState(), Event{
			Topic: topic, Offset: ctx.Offset(), Kind: numberOf(m),
			Recorded: schemas.Micros(ctx.Timestamp()), At: schemas.MetaAt(m.GetMeta(), ctx.Timestamp()),
			Said: m,
		}
		next, changed := Step(row, e)
		if !changed {
			return
		}
		ctx.SetValue(next)
		ctx.Emit(p.effects, ctx.Key(), &tallyv1.OrderViewed{
			Topic: topic, Partition: ctx.Partition(), Offset: e.Offset, Kind: e.Kind,
			TimeUs: e.Recorded, State: next.GetState(), Was: was,
		})
	}
}

// said is what the envelopes of all topics are.
type said interface {
	proto.Message
	GetMeta() *tallyv1.Meta
}
