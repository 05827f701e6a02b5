package app

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/notify"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// resolving is what tally notices resolve was asked.
type resolving struct {
	order, channel, reason, by string
	sent, bounced              bool
	wait                       time.Duration
}

func (m *Main) noticesResolve(s *settings) *cobra.Command {
	a := &resolving{}
	cmd := &cobra.Command{
		Use:   "resolve ORDER",
		Short: "Say how a notice ended of which nobody knew",
		Long: paragraph(`
			Writes what you found out as the result of the attempt, and waits until notify has
			said ConfirmationSent or ConfirmationBounced. It looks first: only what is unresolved
			is resolved, and the same answer again changes nothing.

			Nothing is ever sent for it. Whoever is to be told after all has to be told in another
			way: the order's row has forgotten the address, and a second mail may be one too many.`),
		Example: examples(`
			tally notices resolve o1-000042 --chain --channel mail --sent
			tally notices resolve o1-000042 --chain --channel mail --bounced --reason "not in the log"`),
		Args: exactArgs("ORDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.order = args[0]
			if err := a.validate(m); err != nil {
				return err
			}
			return m.resolve(cmd.Context(), s, a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.channel, "channel", "", "mail or webhook (default: the one that is unresolved)")
	f.BoolVar(&a.sent, "sent", false, "it was taken")
	f.BoolVar(&a.bounced, "bounced", false, "it was certainly not taken")
	f.StringVar(&a.reason, "reason", "",
		"how you know; with --bounced it is needed, and asked for on a terminal")
	f.StringVar(&a.by, "by", "", "who resolves it (default: the user of this process)")
	f.DurationVar(&a.wait, "wait", time.Minute, "how long to wait for notify to say it")
	return cmd
}

// validate names what does not go together, and finds out why and who.
func (a *resolving) validate(m *Main) error {
	if a.sent == a.bounced {
		return usageError("--sent if it was taken, --bounced if it was certainly not",
			"a notice ends as one of --sent and --bounced")
	}
	if a.wait <= 0 {
		return usageError("for example 1m", "--wait must be above zero, not %v", a.wait)
	}
	if _, err := channelOf(a.channel); err != nil {
		return err
	}
	var err error
	if a.bounced {
		a.reason, err = m.why(a.reason, "resolve --bounced", "not in the mail server's log")
	}
	if err == nil {
		a.by, err = who(a.by)
	}
	return err
}

func (a *resolving) state() string {
	if a.sent {
		return noticeSent
	}
	return noticeBounced
}

// resolved is what tally notices resolve prints as JSON.
type resolved struct {
	Order   string `json:"order"`
	Channel string `json:"channel"`
	Attempt int32  `json:"attempt"`
	State   string `json:"state"`
	// Known says that it was said before.
	Known bool `json:"known"`
	// Result is where the result is that was written; missing if none was.
	Result string `json:"result,omitempty"`
	// Notice is where notify has said so.
	Notice string `json:"notice,omitempty"`
}

func (r *resolved) write(w io.Writer) error {
	already := ""
	if r.Known {
		already = " already"
	}
	_, err := fmt.Fprintf(w, "order %s: %s is said to be %s%s, at %s; nothing is sent for it\n",
		oneLine(r.Order), r.Channel, r.State, already, r.Notice)
	return err
}

// resolve writes how an attempt ended of which nobody knew, and waits for what
// follows.
func (m *Main) resolve(ctx context.Context, s *settings, a *resolving) error {
	cl, err := m.connectToNotify(ctx, s, producerOptions()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	t, err := m.readTelling(ctx, s, cl, a.order)
	if err != nil {
		return err
	}
	d, err := a.choose(t)
	if err != nil {
		return err
	}
	done := &resolved{
		Order: a.order, Channel: channelName(d.GetChannel()), Attempt: d.GetAttempt(), State: a.state(),
	}
	at, err := a.judge(t, d)
	if err != nil {
		return err
	}
	if done.Known = at != nil || d.GetState() != tallyv1.NotifyRow_UNRESOLVED; !done.Known {
		if at, err = a.say(ctx, cl, s.names().NotifyResults, t, d, m.Now()); err != nil {
			return err
		}
	}
	if at != nil {
		done.Result = at.String()
		group := s.names().Group(topology.Notify)
		if err := m.await(ctx, cl, a.wait, group, *at); err != nil {
			return err
		}
		if t, err = m.readTelling(ctx, s, cl, a.order); err != nil {
			return err
		}
		if err := a.ended(t, d.GetChannel()); err != nil {
			return err
		}
	}
	if n := t.last(d.GetChannel()); n != nil {
		done.Notice = n.place()
	}
	return m.show(s, done, done.write)
}

// choose returns the delivery that is meant.
func (a *resolving) choose(t *telling) (*tallyv1.NotifyRow_Delivery, error) {
	channel, err := channelOf(a.channel)
	if err != nil {
		return nil, err
	}
	var open, all []*tallyv1.NotifyRow_Delivery
	for _, d := range t.row.GetDeliveries() {
		if a.channel != "" && d.GetChannel() != channel {
			continue
		}
		if all = append(all, d); d.GetState() == tallyv1.NotifyRow_UNRESOLVED {
			open = append(open, d)
		}
	}
	switch {
	case len(all) == 0:
		return nil, hinted("tally notices show "+a.order+" tells what is known",
			"order %s: nothing is kept of telling by %s", a.order, orAny(a.channel))
	case len(open) == 1:
		return open[0], nil
	case len(all) == 1:
		return all[0], nil
	case len(open) == 0:
		return nil, hinted("tally notices show "+a.order+" tells how it ended",
			"order %s: nothing is unresolved, by mail or by webhook", a.order)
	}
	return nil, usageError("say which by --channel mail or --channel webhook",
		"order %s is told about in several ways, of which %d are unresolved", a.order, len(open))
}

func orAny(channel string) string {
	if channel == "" {
		return "mail or webhook"
	}
	return channel
}

// judge refuses what is not unresolved, unless it has ended as asked. It returns the
// place of a result that says so already and that notify has not read yet.
func (a *resolving) judge(t *telling, d *tallyv1.NotifyRow_Delivery) (*spot, error) {
	name := channelName(d.GetChannel())
	switch d.GetState() {
	case tallyv1.NotifyRow_OPEN:
		return nil, hinted("its outcome, or that nobody knows it, will be said by itself, a minute "+
			"after "+deadline(d), "order %s: an attempt by %s is under way", a.order, name)
	case tallyv1.NotifyRow_WAITING:
		return nil, hinted("the next attempt is at "+deadline(d),
			"order %s: %s was refused for now, and is tried again", a.order, name)
	case tallyv1.NotifyRow_SENT, tallyv1.NotifyRow_BOUNCED:
		return nil, a.ended(t, d.GetChannel())
	case tallyv1.NotifyRow_UNRESOLVED:
	}
	for _, r := range t.results {
		if r.at.offset < t.done || r.Channel != d.GetChannel() || r.Attempt != d.GetAttempt() ||
			r.Result == notify.Unsettled {
			continue
		}
		if (r.Result == notify.Accepted) == a.sent {
			return &r.at, nil
		}
		return nil, hinted("it counts as soon as a worker of notify has read it",
			"order %s: %s at %v says otherwise", a.order, resultKind(r.Result), r.at)
	}
	return nil, nil
}

func deadline(d *tallyv1.NotifyRow_Delivery) string {
	return time.UnixMicro(d.GetDeadlineUs()).UTC().Format(time.DateTime)
}

// ended tells what is wrong with how a delivery ended; nil if it did as asked.
func (a *resolving) ended(t *telling, c tallyv1.Channel) error {
	place := "its topic"
	if n := t.last(c); n != nil {
		place = n.place()
	}
	switch state := strings.ToLower(t.delivery(c).GetState().String()); state {
	case a.state():
		return nil
	case noticeUnresolved:
		return hinted("tally dead-letters ls --key "+a.order+" shows what is in its way",
			"order %s: notify has read the result and not taken it", a.order)
	default:
		return hinted("what was said stays", "order %s: %s was said to be %s, at %s", a.order,
			channelName(c), state, place)
	}
}

// say writes the result of the attempt. The attempt is the row's, and its cause the
// notice that asked for somebody to look.
func (a *resolving) say(ctx context.Context, cl *kgo.Client, topic string, t *telling,
	d *tallyv1.NotifyRow_Delivery, now time.Time,
) (*spot, error) {
	channel, attempt := d.GetChannel(), d.GetAttempt()
	causes := []string{t.row.GetEventId()}
	if n := t.last(channel); n != nil {
		causes = append(causes, n.ID)
	}
	id := schemas.EventID("Resolved", a.order, a.state(), channel.String(),
		strconv.Itoa(int(attempt)), a.reason, a.by)
	m := &tallyv1.NotifyResultEvent{Meta: schemas.MetaOf(id, schemas.Micros(now), causes...)}
	if a.sent {
		m.Event = &tallyv1.NotifyResultEvent_AttemptAccepted{AttemptAccepted: &tallyv1.AttemptAccepted{
			OrderId: a.order, Channel: channel, Attempt: attempt,
		}}
	} else {
		m.Event = &tallyv1.NotifyResultEvent_AttemptRefused{AttemptRefused: &tallyv1.AttemptRefused{
			OrderId: a.order, Channel: channel, Attempt: attempt, Reason: a.reason, Permanent: true,
		}}
	}
	value, err := schemas.NotifyResults.Marshal(m)
	if err != nil {
		return nil, usageError(seeHelp, "%w", err)
	}
	headers := []kgo.RecordHeader{{Key: headerBy, Value: []byte(a.by)}}
	if a.reason != "" {
		headers = append(headers, kgo.RecordHeader{Key: headerReason, Value: []byte(a.reason)})
	}
	r, err := cl.ProduceSync(ctx, &kgo.Record{
		Topic: topic, Key: []byte(a.order), Value: value, Headers: headers,
	}).First()
	if err != nil {
		return nil, hinted("ask again: what is there already is not written twice", "resolve: %w", err)
	}
	return &spot{r.Topic, r.Partition, r.Offset}, nil
}
