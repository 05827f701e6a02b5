package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/reading"
	"tallystick/query/replay"
	"tallystick/topology/keyhash"
)

// shownOrder is what tally order show prints as JSON.
type shownOrder struct {
	Order  string       `json:"order"`
	State  string       `json:"state"`
	Events []shownEvent `json:"events"`
}

// shownEvent is one record about the order.
type shownEvent struct {
	At        time.Time       `json:"at"`
	Type      string          `json:"type"`
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	ID        string          `json:"id,omitempty"`
	Causes    []string        `json:"causes,omitempty"`
	Value     json.RawMessage `json:"value"`

	event reading.Event
}

func (m *Main) orderShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Tell what has happened to an order so far",
		Long: paragraph(`
			Reads the order's partition of every topic that is keyed by order, from the first
			record to the last, and puts what is about the order into the order of time.`),
		Example: examples(`
			tally order show o1-000042
			tally order show o1-000042 --chain -o json`),
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.showOrder(cmd.Context(), s, args[0])
		},
	}
}

func (m *Main) showOrder(ctx context.Context, s *settings, id string) error {
	cl, err := m.connect(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	shown, err := readOrder(ctx, cl, s.wiring(), id)
	if err != nil {
		return err
	}
	if len(shown.Events) == 0 {
		return hinted("check the id, --prefix and --chain", "no topic says anything of order %q", id)
	}
	return m.show(s, shown, shown.write)
}

// readOrder collects what the topics say about an order.
func readOrder(ctx context.Context, cl *kgo.Client, w wiring, id string) (*shownOrder, error) {
	topics := w.aboutOrders()
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	log, err := replay.Open(ctx, cl, patience, names...)
	if err != nil {
		return nil, err
	}
	shown := &shownOrder{Order: id, Events: []shownEvent{}}
	for _, t := range topics {
		p := keyhash.Partition([]byte(id), log.Partitions(t.Name))
		for r, err := range log.Records(ctx, t.Name, p) {
			if err != nil {
				return nil, err
			}
			if string(r.Key) != id {
				continue
			}
			shown.Events = append(shown.Events, tellEvent(t, r))
		}
	}
	slices.SortStableFunc(shown.Events, func(a, b shownEvent) int { return a.At.Compare(b.At) })
	shown.State = stateOf(shown.Events)
	return shown, nil
}

// tellEvent is a record as it is shown.
func tellEvent(t reading.Topic, r *kgo.Record) shownEvent {
	e := shownEvent{
		At: r.Timestamp.UTC(), Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Type: "unreadable", Value: json.RawMessage("null"),
	}
	what, err := t.Decode(r.Value)
	if err != nil {
		return e
	}
	e.Type, e.event = what.Kind, what
	e.ID, e.Causes = what.Meta.GetId(), what.Meta.GetCauses()
	if value, err := what.JSON(); err == nil {
		e.Value = value
	}
	return e
}

// ends are the events that change what an order is, and what it is then. Those
// further down count more, whenever they came: a cancel after the confirmation
// changes nothing.
var ends = []struct{ event, state string }{
	{"PlaceOrder", "asked for"},
	{"OrderRefused", "refused"},
	{"OrderPlaced", "placed"},
	{"OrderValidated", "validated"},
	{"OrderRejected", "rejected"},
	{"OrderCancelled", "cancelled"},
	{"OrderExpired", "expired"},
	{"OrderConfirmed", "confirmed"},
}

// stateOf is what the events make of the order.
func stateOf(events []shownEvent) string {
	state := "unknown"
	for _, end := range ends {
		if slices.ContainsFunc(events, func(e shownEvent) bool { return e.Type == end.event }) {
			state = end.state
		}
	}
	return state
}

func (o *shownOrder) write(w io.Writer) error {
	fmt.Fprintf(w, "order %s: %s\n", o.Order, o.State)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range o.Events {
		fmt.Fprintf(out, "  %s\t%s\t%s\t%s/%d@%d\n", e.At.Format("2006-01-02 15:04:05.000"), e.Type,
			e.event.Words(), e.Topic, e.Partition, e.Offset)
	}
	return out.Flush()
}
