package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/reading"
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

	words string
}

func (m *Main) orderShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Tell what has happened to an order so far",
		Long: paragraph(`
			Reads the order's partition of every topic that is keyed by order, from the first
			record to the last, and prints what is about the order, none above what caused it.
			tally explain says which that was, and what became of its row.`),
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
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	shown, err := m.readOrder(ctx, s, cl, id)
	if err != nil {
		return err
	}
	return m.show(s, shown, shown.write)
}

// readOrder collects what the topics that anybody may read say about an order.
func (m *Main) readOrder(
	ctx context.Context, s *settings, cl *kgo.Client, id string,
) (*shownOrder, error) {
	past, err := m.pastOf(ctx, s, cl, &lookingBack{rules: defaultRules()})
	if err != nil {
		return nil, err
	}
	story, err := past.Story(ctx, id)
	if err != nil {
		return nil, unknown(err, id)
	}
	topics := s.wiring().aboutOrders()
	shown := &shownOrder{Order: id, State: story.State, Events: []shownEvent{}}
	for i := range story.Events {
		e := &story.Events[i]
		if slices.ContainsFunc(topics, func(t reading.Topic) bool { return t.Name == e.Topic }) {
			shown.Events = append(shown.Events, shownEvent{
				At: e.At, Type: e.Type, Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, ID: e.ID,
				Causes: e.Causes, Value: e.Value, words: e.Words,
			})
		}
	}
	return shown, nil
}

func (o *shownOrder) write(w io.Writer) error {
	fmt.Fprintf(w, "order %s: %s\n", o.Order, o.State)
	return columns(w, 0, func(out io.Writer) {
		for _, e := range o.Events { // the words last: they can be long
			fmt.Fprintf(out, "  %s\t%s\t%s/%d@%d\t%s\n", e.At.Format(showTime), e.Type, e.Topic, e.Partition,
				e.Offset, e.words)
		}
	})
}
