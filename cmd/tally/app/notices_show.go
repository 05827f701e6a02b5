package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/notify"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
	"tallystick/topology/keyhash"
)

func (m *Main) noticesShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "show ORDER",
		Short: "Tell what became of telling about an order, and what to look for",
		Long: paragraph(`
			How each way of telling ended, and all attempts and notices with their places. An
			attempt whose outcome nobody reported has no record.`),
		Example: examples(`
			tally notices show o1-000042 --chain
			tally notices show o1-000042 --chain -o json`),
		Args: exactArgs("ORDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := m.connectToNotify(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer cl.Close()
			t, err := m.readTelling(cmd.Context(), s, cl, args[0])
			if err != nil {
				return err
			}
			shown := t.shown()
			return m.show(s, shown, shown.write)
		},
	}
}

// A telling is what is known of telling about one order, as it was at one moment.
type telling struct {
	order     string
	partition int32       // of all topics that are keyed by order
	row       *notify.Row // nil if there is none
	notices   []*shownNotice
	results   []attemptResult
	events    []shownEvent // all of these
	done      int64        // how far notify has read the results
}

// An attemptResult is how an attempt ended, from the sender or from a person.
type attemptResult struct {
	notify.Ended
	at spot
}

// What a person's result says of them, in headers.
const (
	headerBy     = "resolved-by"
	headerReason = "resolved-because"
)

// readTelling reads what the topics of notify say of an order.
func (m *Main) readTelling(
	ctx context.Context, s *settings, cl *kgo.Client, order string,
) (*telling, error) {
	n := s.names()
	t := &telling{order: order}
	table := n.Table(topology.Notify)
	// First how far it has come, then what it has come to.
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, n.Group(topology.Notify))
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("offsets of group %s: %w", n.Group(topology.Notify), err)
	}
	log, err := replay.Open(ctx, cl, patience, table, n.NotifyResults, n.Notices)
	if err != nil {
		return nil, err
	}
	t.partition = keyhash.Partition([]byte(order), log.Partitions(n.NotifyResults))
	if o, ok := offsets.Lookup(n.NotifyResults, t.partition); ok && o.Err == nil {
		t.done = o.At
	}
	for _, topic := range []struct {
		name string
		take func(*kgo.Record) error
	}{{table, t.takeRow}, {n.NotifyResults, t.takeResult}, {n.Notices, t.takeNotice}} {
		p := keyhash.Partition([]byte(order), log.Partitions(topic.name))
		for r, err := range log.Records(ctx, topic.name, p) {
			if err != nil {
				return nil, err
			}
			if string(r.Key) != order {
				continue
			}
			if err := topic.take(r); err != nil {
				m.logger(s).Warn("a record can't be read", "topic", r.Topic, "partition", r.Partition,
					"offset", r.Offset, "error", err)
			}
		}
	}
	slices.SortStableFunc(t.events, func(x, y shownEvent) int { return x.At.Compare(y.At) })
	if t.row == nil && len(t.notices) == 0 {
		return nil, hinted("check the id, --app and --prefix; tally order show tells how far it is",
			"nothing is known of telling anybody about order %q", order)
	}
	return t, nil
}

func (t *telling) takeRow(r *kgo.Record) error {
	var err error
	if t.row = nil; r.Value != nil {
		t.row, err = schemas.NotifyRows.Unmarshal(r.Value)
	}
	return err
}

func (t *telling) takeNotice(r *kgo.Record) error {
	n, err := readNotice(r)
	if err != nil {
		return err
	}
	t.notices = append(t.notices, n)
	words := []string{n.Channel, count(n.Attempts, "attempt")}
	if n.Reason != "" {
		words = append(words, n.Reason)
	}
	e := shownEvent{
		At: n.When, Type: "Confirmation" + strings.ToUpper(n.State[:1]) + n.State[1:], Topic: n.Topic,
		Partition: n.Partition, Offset: n.Offset, ID: n.ID, Causes: n.said.GetMeta().GetCauses(),
		words: strings.Join(words, ", "),
	}
	e.Value, err = schemas.Notices.JSON(n.said)
	t.events = append(t.events, e)
	return err
}

func (t *telling) takeResult(r *kgo.Record) error {
	m, err := schemas.NotifyResults.Unmarshal(r.Value)
	if err != nil {
		return err
	}
	ended, ok := notify.OfResult(m, r.Timestamp, r.Timestamp).(notify.Ended)
	if !ok {
		return fmt.Errorf("no result: %T", m.GetEvent())
	}
	t.results = append(t.results, attemptResult{ended, spot{r.Topic, r.Partition, r.Offset}})
	words := []string{channelName(ended.Channel), fmt.Sprintf("attempt %d", ended.Attempt)}
	if ended.Reason != "" {
		words = append(words, ended.Reason)
	}
	for _, h := range r.Headers {
		switch {
		case h.Key == headerBy:
			words = append(words, "by "+string(h.Value))
		case h.Key == headerReason && string(h.Value) != ended.Reason:
			words = append(words, string(h.Value))
		}
	}
	e := shownEvent{
		At: time.UnixMicro(ended.At).UTC(), Type: resultKind(ended.Result), Topic: r.Topic,
		Partition: r.Partition, Offset: r.Offset, ID: ended.ID, Causes: m.GetMeta().GetCauses(),
		words: oneLine(strings.Join(words, ", ")),
	}
	e.Value, err = schemas.NotifyResults.JSON(m)
	t.events = append(t.events, e)
	return err
}

func resultKind(r notify.Result) string {
	switch r {
	case notify.Accepted:
		return "AttemptAccepted"
	case notify.Refused:
		return "AttemptRefused"
	case notify.Unsettled:
	}
	return "AttemptUnsettled"
}

// delivery is the row's of a channel, or nil.
func (t *telling) delivery(c tallyv1.Channel) *tallyv1.NotifyRow_Delivery {
	for _, d := range t.row.GetDeliveries() {
		if d.GetChannel() == c {
			return d
		}
	}
	return nil
}

// last is the last notice of a channel, or nil.
func (t *telling) last(c tallyv1.Channel) *shownNotice {
	for _, n := range slices.Backward(t.notices) {
		if n.Channel == channelName(c) {
			return n
		}
	}
	return nil
}

// shownTelling is what tally notices show prints as JSON.
type shownTelling struct {
	Order      string          `json:"order"`
	Deliveries []shownDelivery `json:"deliveries"`
	Events     []shownEvent    `json:"events"`
}

// A shownDelivery is how one way of telling about an order is.
type shownDelivery struct {
	Channel string `json:"channel"`
	// State is one of open and waiting beside those of a notice.
	State   string `json:"state"`
	Attempt int32  `json:"attempt"`
	// Deadline is when an open attempt is given up, or the next one is made.
	Deadline     *time.Time `json:"deadline,omitempty"`
	Reason       string     `json:"reason,omitempty"`
	Confirmation string     `json:"confirmation"`
	LookFor      string     `json:"look_for"`
}

func (t *telling) shown() *shownTelling {
	shown := &shownTelling{Order: t.order, Deliveries: []shownDelivery{}, Events: t.events}
	for _, d := range t.row.GetDeliveries() {
		one := shownDelivery{
			Channel: channelName(d.GetChannel()), State: strings.ToLower(d.GetState().String()),
			Attempt: d.GetAttempt(), Reason: d.GetReason(), Confirmation: t.row.GetEventId(),
			LookFor: lookFor(d.GetChannel(), t.row.GetEventId()),
		}
		if us := d.GetDeadlineUs(); us != 0 {
			at := time.UnixMicro(us).UTC()
			one.Deadline = &at
		}
		shown.Deliveries = append(shown.Deliveries, one)
	}
	return shown
}

func (o *shownTelling) write(w io.Writer) error {
	fmt.Fprintf(w, "order %s\n", oneLine(o.Order))
	for _, d := range o.Deliveries {
		fmt.Fprintf(w, "  %s: %s, attempt %d", d.Channel, d.State, d.Attempt)
		if d.Deadline != nil {
			fmt.Fprintf(w, ", until %s", d.Deadline.Format(time.DateTime))
		}
		if d.Reason != "" {
			fmt.Fprintf(w, ": %s", oneLine(d.Reason))
		}
		fmt.Fprintln(w)
		if d.State == noticeUnresolved {
			fmt.Fprintf(w, "    look for %s in the log of %s, and say what is there:\n", d.LookFor,
				keeper(d.Channel))
			fmt.Fprintf(w, "    tally notices resolve %s --chain --channel %s --sent, "+
				"or --bounced --reason \"...\"\n", oneLine(o.Order), d.Channel)
		}
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range o.Events {
		fmt.Fprintf(out, "  %s\t%s\t%s\t%s/%d@%d\n", e.At.Format("2006-01-02 15:04:05.000"), e.Type,
			oneLine(e.words), e.Topic, e.Partition, e.Offset)
	}
	return out.Flush()
}

// keeper is who has the log in which a confirmation can be found.
func keeper(channel string) string {
	if channel == channelName(tallyv1.Channel_MAIL) {
		return "the mail server"
	}
	return "the webhook's receiver"
}
