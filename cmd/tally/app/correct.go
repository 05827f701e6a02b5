package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// correcting is what tally correct was asked.
type correcting struct {
	order, void, payment, currency string
	adjust, amount                 int64
	reason, by, id                 string
	force, dryRun                  bool

	// adjusts and rebooks tell that --adjust and --amount were given.
	adjusts, rebooks bool
}

func (m *Main) correctCommand(s *settings) *cobra.Command {
	c := &correcting{}
	cmd := &cobra.Command{
		Use:   "correct ORDER",
		Short: "Correct what was booked for an order, by events that say why",
		Long: paragraph(`
			Nothing is edited: a correction is one more event, on the topic of corrections, with
			its reason and who made it. --void takes a payment back, as a reversal does. --adjust
			books money that no payment told of, as a payment does. --payment with --amount does
			both: the payment is taken back and booked anew with the right amount.

			It looks first at what is known of the order, and refuses what makes no sense, unless
			--force is given. The same correction again changes nothing and is not written twice.`),
		Example: examples(`
			tally correct o-17 --void pay-1 --reason "booked for the wrong order"
			tally correct o-17 --adjust 450 --currency EUR --reason "paid in cash at the door"
			tally correct o-17 --payment pay-1 --amount 900 --reason "a digit was lost" --dry-run`),
		GroupID: groupWork,
		Args:    exactArgs("ORDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.order = args[0]
			c.adjusts = cmd.Flags().Changed("adjust")
			c.rebooks = cmd.Flags().Changed("amount")
			if err := c.validate(); err != nil {
				return err
			}
			if err := c.sign(m); err != nil {
				return err
			}
			return m.correct(cmd.Context(), s, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.void, "void", "", "the `PAYMENT` to take back")
	amountFlag(f, &c.adjust, "adjust", "book this `AMOUNT`, in minor units, as a payment")
	f.StringVar(&c.payment, "payment", "",
		"with --amount the payment to book anew, with --adjust the id of the new one")
	amountFlag(f, &c.amount, "amount", "what --payment is to be booked anew with, in minor units")
	f.StringVar(&c.currency, "currency", "",
		"of the amount, by ISO 4217 (default: that of the payment, else of the order)")
	f.StringVar(&c.reason, "reason", "", "why; it is asked for on a terminal")
	f.StringVar(&c.by, "by", "", "who corrects (default: the user of this process)")
	f.StringVar(&c.id, "id", "", "id of the correction (default: it follows from what it says)")
	f.BoolVar(&c.force, "force", false, "write it whatever is known of the order")
	f.BoolVar(&c.dryRun, "dry-run", false, "show what would be written, and write nothing")
	return cmd
}

// validate names what does not go together.
func (c *correcting) validate() error {
	ways := 0
	for _, way := range []bool{c.void != "", c.adjusts, c.rebooks} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usageError("for example --void pay-1, --adjust 450, or --payment pay-1 --amount 900",
			"a correction is one of --void, --adjust and --amount")
	case c.rebooks && c.payment == "":
		return usageError("name it by --payment", "--amount needs the payment to book anew")
	case c.void != "" && (c.payment != "" || c.currency != ""):
		return usageError(seeHelp, "--void takes neither --payment nor --currency")
	}
	return nil
}

// sign finds out why and who, where it was not said.
func (c *correcting) sign(m *Main) error {
	var err error
	if c.reason, err = m.why(c.reason, "a correction", "a digit was lost"); err == nil {
		c.by, err = who(c.by)
	}
	return err
}

// why is the reason that was given, or else the answer of who can be asked.
func (m *Main) why(reason, what, example string) (string, error) {
	if strings.TrimSpace(reason) == "" && m.Answers != nil {
		fmt.Fprint(m.Stderr, "reason: ")
		line, err := bufio.NewReader(m.Answers).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read the reason: %w", err)
		}
		reason = strings.TrimSpace(line)
	}
	if strings.TrimSpace(reason) == "" {
		return "", usageError(fmt.Sprintf("for example --reason %q", example), "%s needs a reason", what)
	}
	return reason, nil
}

// who is the one who was named, or else the user of this process.
func who(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username, nil
	}
	return "", usageError("say it by --by", "who does this is not known")
}

// correct writes the corrections that the flags describe.
func (m *Main) correct(ctx context.Context, s *settings, c *correcting) error {
	cl, err := m.connectTo(ctx, s, producerOptions()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	w := s.wiring()
	if err := s.ready(ctx, cl, only(w, w.names.Corrections)); err != nil {
		return err
	}
	known, err := lookAt(ctx, cl, w, c.order)
	if err != nil {
		return err
	}
	events, err := c.events(known, m.Now())
	if err != nil {
		return err
	}
	done := corrected{Order: c.order, DryRun: c.dryRun, Corrections: []writtenCorrection{}}
	var records []*kgo.Record
	for _, e := range events {
		value, err := schemas.Corrections.Marshal(e)
		if err != nil {
			return usageError(seeHelp, "%w", err)
		}
		one, err := tellCorrection(e)
		if err != nil {
			return err
		}
		at, err := known.there(e)
		if err != nil {
			return err
		}
		if at != nil {
			one.Topic, one.Partition, one.Offset, one.Known = at.topic, at.partition, &at.offset, true
		} else {
			if err := known.sense(c, e); err != nil {
				return err
			}
			one.Topic, one.Partition = w.names.Corrections, known.partition
			records = append(records, &kgo.Record{
				Topic: w.names.Corrections, Key: []byte(c.order), Value: value,
				Timestamp: e.GetMeta().GetAt().AsTime(),
			})
		}
		done.Corrections = append(done.Corrections, one)
	}
	if !c.dryRun {
		if err := done.write(ctx, cl, records); err != nil {
			return err
		}
	}
	return m.show(s, done, done.text)
}

// only is the map of one topic.
func only(w wiring, name string) topology.Topology {
	t, _ := w.topology.Topic(name)
	return topology.Topology{Topics: []topology.Topic{t}}
}

// corrected is what tally correct prints as JSON.
type corrected struct {
	Order       string              `json:"order"`
	DryRun      bool                `json:"dry_run"`
	Corrections []writtenCorrection `json:"corrections"`
}

type writtenCorrection struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Offset is missing where nothing was written.
	Offset *int64 `json:"offset,omitempty"`
	// Known says that it was there before.
	Known bool            `json:"known"`
	Value json.RawMessage `json:"value"`

	words string
}

func tellCorrection(e *tallyv1.CorrectionEvent) (writtenCorrection, error) {
	one := writtenCorrection{ID: e.GetMeta().GetId()}
	switch v := e.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		one.Type = "PaymentVoided"
		one.words = "takes payment " + v.PaymentVoided.GetPaymentId() + " back"
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		p := v.PaymentAdjusted
		one.Type = "PaymentAdjusted"
		one.words = fmt.Sprintf("books %s as payment %s", moneyText(p.GetAmount()), p.GetPaymentId())
	}
	var err error
	one.Value, err = schemas.Corrections.JSON(e)
	return one, err
}

func moneyText(m *tallyv1.Money) string { return m.GetCurrency() + " " + thousands(m.GetMinor()) }

// write produces the records of what was not there before, in their order.
func (d *corrected) write(ctx context.Context, cl *kgo.Client, records []*kgo.Record) error {
	results := cl.ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return hinted("ask again: what is there already is not written twice", "correct: %w", err)
	}
	next := 0
	for i := range d.Corrections {
		if one := &d.Corrections[i]; !one.Known {
			at := records[next]
			one.Topic, one.Partition, one.Offset = at.Topic, at.Partition, &at.Offset
			next++
		}
	}
	return nil
}

func (d *corrected) text(out io.Writer) error {
	for _, one := range d.Corrections {
		switch place := fmt.Sprintf("%s/%d", one.Topic, one.Partition); {
		case one.Known:
			fmt.Fprintf(out, "order %s: %s %s is at %s@%d already: it %s\n", d.Order, one.Type, one.ID,
				place, *one.Offset, one.words)
		case one.Offset == nil:
			fmt.Fprintf(out, "order %s: %s %s would go to %s: it %s\n%s\n", d.Order, one.Type, one.ID,
				place, one.words, one.Value)
		default:
			fmt.Fprintf(out, "order %s: %s %s is at %s@%d: it %s\n", d.Order, one.Type, one.ID,
				place, *one.Offset, one.words)
		}
	}
	return nil
}

// events are the corrections that were asked for. Their ids, and those of new
// payments, follow from what they say, so that the same ones again are the same.
func (c *correcting) events(known *knownOrder, now time.Time) ([]*tallyv1.CorrectionEvent, error) {
	switch {
	case c.void != "":
		return []*tallyv1.CorrectionEvent{c.voided(known, c.void, c.id, now)}, nil
	case c.adjusts:
		e, err := c.adjusted(known, c.payment, "", c.adjust, c.id, now)
		return []*tallyv1.CorrectionEvent{e}, err
	}
	voidID, adjustID := c.id, c.id
	if c.id != "" {
		voidID, adjustID = c.id+"-void", c.id+"-adjust"
	}
	void := c.voided(known, c.payment, voidID, now)
	adjust, err := c.adjusted(known, "", c.payment, c.amount, adjustID, now)
	if err != nil {
		return nil, err
	}
	adjust.Meta.Causes = append(adjust.Meta.Causes, void.GetMeta().GetId())
	return []*tallyv1.CorrectionEvent{void, adjust}, nil
}

func (c *correcting) voided(
	known *knownOrder, payment, id string, now time.Time,
) *tallyv1.CorrectionEvent {
	if id == "" {
		id = schemas.EventID("PaymentVoided", c.order, payment, c.reason, c.by)
	}
	e := &tallyv1.CorrectionEvent{
		Meta: &tallyv1.Meta{Id: id, At: timestamppb.New(now)},
		Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: payment, OrderId: c.order, Reason: c.reason, By: c.by,
		}},
	}
	if p := known.payments[payment]; p != nil && p.id != "" {
		e.Meta.Causes = []string{p.id}
	}
	return e
}

// adjusted is money under a new payment id, perhaps in the place of another payment.
func (c *correcting) adjusted(
	known *knownOrder, payment, replaces string, minor int64, id string, now time.Time,
) (*tallyv1.CorrectionEvent, error) {
	currency := c.currency
	if p := known.payments[replaces]; currency == "" && p != nil {
		currency = p.amount.GetCurrency()
	}
	if currency == "" {
		currency = known.total.GetCurrency()
	}
	if currency == "" {
		return nil, usageError("say it by --currency", "the currency is not known: neither the order "+
			"nor a payment tells it")
	}
	amount := strconv.FormatInt(minor, 10)
	if payment == "" {
		payment = "adj-" + schemas.EventID("adjustment", c.order, replaces, amount, currency,
			c.reason)[:16]
	}
	if id == "" {
		id = schemas.EventID("PaymentAdjusted", c.order, payment, replaces, amount, currency,
			c.reason, c.by)
	}
	return &tallyv1.CorrectionEvent{
		Meta: &tallyv1.Meta{Id: id, At: timestamppb.New(now)},
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: payment, OrderId: c.order, Amount: schemas.Money(minor, currency),
			Reason: c.reason, By: c.by, Replaces: replaces,
		}},
	}, nil
}
