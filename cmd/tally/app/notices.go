package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/notify/send"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// noticing is which notices a verb is about.
type noticing struct {
	channel, since string
	all            bool
	limit          int
}

func (m *Main) noticesCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "notices",
		Aliases: []string{"notice"},
		Short:   "See who was told of confirmations, and settle what nobody knows",
		Long: paragraph(`
			A mail or a call to a webhook can be cut off so that nobody knows whether it was taken.
			The service notify does not send again then: it says ConfirmationUnresolved, which is
			for a person. Look into the log of the mail server, or of the webhook's receiver, and
			say by resolve what you found.`),
		Example: examples(`
			tally notices ls --chain
			tally notices show o1-000042 --chain
			tally notices resolve o1-000042 --chain --channel mail --sent
			tally notices resolve o1-000042 --chain --channel mail --bounced --reason "not in the log"`),
		GroupID: groupWork,
	}
	needVerb(cmd)
	cmd.AddCommand(m.noticesLs(s), m.noticesShow(s), m.noticesResolve(s))
	return cmd
}

func (m *Main) noticesLs(s *settings) *cobra.Command {
	n := &noticing{}
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the notices of which nobody knows how they ended, the latest last",
		Long: paragraph(`
			One line for each way of telling about an order, by the last that was said of it, and
			what to look for in the log of the mail server or of the webhook's receiver.`),
		Example: examples(`
			tally notices ls --chain
			tally notices ls --chain --channel mail --since 24h
			tally notices ls --chain --all --limit 0 -o json`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.limit < 0 {
				return usageError("0 prints them all", "--limit must not be below zero")
			}
			return m.listNotices(cmd.Context(), s, n)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&n.all, "all", false, "also those that were sent or have bounced")
	f.StringVar(&n.channel, "channel", "", "only this way: mail or webhook")
	f.StringVar(&n.since, "since", "", "only those since a time, or for so long, as in 24h")
	f.IntVar(&n.limit, "limit", 50, "the latest so many; 0 for all")
	return cmd
}

// The states of a notice.
const (
	noticeSent       = "sent"
	noticeBounced    = "bounced"
	noticeUnresolved = "unresolved"
)

// A shownNotice is what was said last of one way of telling about an order, as JSON.
type shownNotice struct {
	Order     string    `json:"order"`
	Channel   string    `json:"channel"`
	State     string    `json:"state"`
	When      time.Time `json:"when"`
	Attempts  int32     `json:"attempts"`
	Reason    string    `json:"reason,omitempty"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	ID        string    `json:"id"`
	// Confirmation is the id of the event that was to be told, and LookFor what the
	// log of the receiver has of it.
	Confirmation string `json:"confirmation"`
	LookFor      string `json:"look_for"`

	said *tallyv1.NoticeEvent
}

func (n *shownNotice) place() string {
	return spot{n.Topic, n.Partition, n.Offset}.String()
}

// readNotice reads a record of the topic of notices.
func readNotice(r *kgo.Record) (*shownNotice, error) {
	m, err := schemas.Notices.Unmarshal(r.Value)
	if err != nil {
		return nil, err
	}
	n := &shownNotice{
		said: m,
		When: time.UnixMicro(schemas.MetaAt(m.GetMeta(), r.Timestamp)).UTC(),
		ID:   m.GetMeta().GetId(), Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
	}
	if causes := m.GetMeta().GetCauses(); len(causes) > 0 {
		n.Confirmation = causes[0]
	}
	var told interface {
		GetOrderId() string
		GetChannel() tallyv1.Channel
		GetAttempts() int32
	}
	switch v := m.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		told, n.State = v.ConfirmationSent, noticeSent
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		told, n.State, n.Reason = v.ConfirmationBounced, noticeBounced, v.ConfirmationBounced.GetReason()
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		told, n.State = v.ConfirmationUnresolved, noticeUnresolved
		n.Reason = v.ConfirmationUnresolved.GetReason()
	}
	n.Order, n.Channel, n.Attempts = told.GetOrderId(), channelName(told.GetChannel()),
		told.GetAttempts()
	n.LookFor = lookFor(told.GetChannel(), n.Confirmation)
	return n, nil
}

// channelName is a channel as people write it.
func channelName(c tallyv1.Channel) string { return strings.ToLower(c.String()) }

// channelOf is the channel of that name; none without a name.
func channelOf(name string) (tallyv1.Channel, error) {
	for _, c := range []tallyv1.Channel{tallyv1.Channel_MAIL, tallyv1.Channel_WEBHOOK} {
		if name == channelName(c) {
			return c, nil
		}
	}
	if name == "" {
		return tallyv1.Channel_CHANNEL_UNSPECIFIED, nil
	}
	return 0, usageError("use mail or webhook", "--channel has no %q", name)
}

// lookFor is what the receiver's log has of a confirmation.
func lookFor(c tallyv1.Channel, confirmation string) string {
	if c == tallyv1.Channel_MAIL {
		return "Message-ID " + send.MailID(confirmation)
	}
	return "id " + confirmation
}

// connectToNotify is connectTo for verbs about a service that only the chain has.
func (m *Main) connectToNotify(
	ctx context.Context, s *settings, more ...kgo.Opt,
) (*kgo.Client, error) {
	if !s.Chain {
		return nil, usageError("add --chain, or set TALLY_CHAIN=true",
			"customers are told by the chain of services only")
	}
	return m.connect(ctx, s, more...)
}

func (m *Main) listNotices(ctx context.Context, s *settings, n *noticing) error {
	if _, err := channelOf(n.channel); err != nil {
		return err
	}
	since, err := pastTime("since", n.since, m.Now())
	if err != nil {
		return err
	}
	cl, err := m.connectToNotify(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	list, err := m.lastNotices(ctx, s, cl, n.all)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o *shownNotice) bool {
		return n.channel != "" && n.channel != o.Channel || o.When.Before(since)
	})
	all := len(list)
	if n.limit > 0 && all > n.limit {
		list = list[all-n.limit:]
	}
	if s.Output == outputJSON {
		out := json.NewEncoder(m.Stdout)
		out.SetEscapeHTML(false)
		for _, o := range list {
			if err := out.Encode(o); err != nil {
				return fmt.Errorf("output: %w", err)
			}
		}
	} else if err := n.write(m.Stdout, list); err != nil {
		return err
	}
	if all > len(list) {
		fmt.Fprintf(m.Stderr, "the latest %s of %s are shown (hint: --limit 0 prints them all, "+
			"--channel and --since choose)\n", thousands(len(list)), thousands(all))
	}
	return nil
}

// lastNotices reads what was said last of each way of telling about each order, in
// the order in which it was said. Unless all are wanted, only what nobody knows is
// kept, which is little.
func (m *Main) lastNotices(
	ctx context.Context, s *settings, cl *kgo.Client, all bool,
) ([]*shownNotice, error) {
	topic := s.names().Notices
	log, err := replay.Open(ctx, cl, patience, topic)
	if err != nil {
		return nil, err
	}
	last := map[[2]string]*shownNotice{}
	for p := range log.Partitions(topic) {
		for r, err := range log.Records(ctx, topic, p) {
			if err != nil {
				return nil, err
			}
			n, err := readNotice(r)
			if err != nil {
				m.logger(s).Warn("a notice can't be read", "topic", r.Topic, "partition", r.Partition,
					"offset", r.Offset, "error", err)
				continue
			}
			if key := [2]string{n.Order, n.Channel}; all || n.State == noticeUnresolved {
				last[key] = n
			} else {
				delete(last, key)
			}
		}
	}
	list := make([]*shownNotice, 0, len(last))
	for _, n := range last {
		list = append(list, n)
	}
	slices.SortFunc(list, func(x, y *shownNotice) int {
		return cmp.Or(x.When.Compare(y.When), cmp.Compare(x.Partition, y.Partition),
			cmp.Compare(x.Offset, y.Offset))
	})
	return list, nil
}

func (n *noticing) write(w io.Writer, list []*shownNotice) error {
	if len(list) == 0 {
		none := "no notices of which nobody knows how they ended"
		if n.all {
			none = "no notices"
		}
		_, err := fmt.Fprintln(w, none)
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "WHEN\tORDER\tCHANNEL\tSTATE\tPLACE\tLOOK FOR\tREASON")
	for _, o := range list {
		reason := []rune(oneLine(o.Reason))
		if len(reason) > reasonWidth {
			reason = append(reason[:reasonWidth-1], '…')
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.When.Format(time.DateTime), oneLine(o.Order),
			o.Channel, o.State, o.place(), o.LookFor, cmp.Or(string(reason), "-"))
	}
	return out.Flush()
}
