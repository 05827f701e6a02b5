package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// asking is what tally order place and cancel were asked.
type asking struct {
	id, customer, currency string
	lines                  []string
	total                  int64
	due, reason            string
	wait                   time.Duration
}

func (m *Main) orderCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "order",
		Short: "Ask for an order or its end, and see what became of it",
		Long: paragraph(`
			place and cancel write commands: they ask, and can be refused with a reason. They
			are for the chain of services. show tells what has happened to an order so far.`),
		Example: examples(`
			tally order place --chain --customer c1-00001 --line s1-0006:2:1500 --wait
			tally order cancel o-17 --chain --reason "changed their mind"
			tally order show o-17 --chain`),
		GroupID: groupWork,
	}
	needVerb(cmd)
	cmd.AddCommand(m.orderPlace(s), m.orderCancel(s), m.orderShow(s))
	return cmd
}

func (m *Main) orderPlace(s *settings) *cobra.Command {
	a := &asking{}
	cmd := &cobra.Command{
		Use:   "place [ID]",
		Short: "Ask to take an order in",
		Long: paragraph(`
			Writes a PlaceOrder command and says where. Without an ID one is made up; the same
			command with the same ID again changes nothing. --wait says what the answer is, and
			exits with 1 and the reason if the order is refused.`),
		Example: examples(`
			tally order place --chain --customer c1-00001 --line s1-0006:2:1500
			tally order place o-17 --chain --customer ann --line tea:1:450 --line cup:2:900 --wait
			tally order place o-18 --chain --customer ann --total 2250 --due 48h -o json`),
		Args: atMostOne("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.id = "o-" + randomID()
			if len(args) > 0 {
				a.id = args[0]
			}
			command, err := a.place(m.Now(), cmd.Flags().Changed("total"))
			if err != nil {
				return err
			}
			return m.ask(cmd.Context(), s, a, command)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.customer, "customer", "", "who orders")
	f.StringArrayVar(&a.lines, "line", nil,
		"`PRODUCT:QUANTITY:PRICE`, the price of one in minor units; once for each line")
	f.StringVar(&a.currency, "currency", "EUR", "of the prices and the total, by ISO 4217")
	amountFlag(f, &a.total, "total", "in minor units (default: what the lines add up to)")
	f.StringVar(&a.due, "due", "", "until when it is to be paid: a time like "+
		"2026-01-31T12:00:00Z, or a duration from now like 48h")
	a.waitFlag(cmd)
	return cmd
}

func (m *Main) orderCancel(s *settings) *cobra.Command {
	a := &asking{}
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ask to take an order back",
		Example: examples(`
			tally order cancel o-17 --chain --reason "changed their mind" --wait`),
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.id = args[0]
			return m.ask(cmd.Context(), s, a, &tallyv1.OrderCommand{
				Meta: commandMeta(m.Now()),
				Command: &tallyv1.OrderCommand_CancelOrder{
					CancelOrder: &tallyv1.CancelOrder{OrderId: a.id, Reason: a.reason},
				},
			})
		},
	}
	cmd.Flags().StringVar(&a.reason, "reason", "", "why")
	a.waitFlag(cmd)
	return cmd
}

func (a *asking) waitFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.wait, "wait", 0,
		"wait for the answer, as in --wait or --wait=1m")
	cmd.Flags().Lookup("wait").NoOptDefVal = "30s"
}

// atMostOne takes one argument or none.
func atMostOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= 1 {
			return nil
		}
		return usageError(seeHelp, "%s takes one %s, it got %d arguments",
			cmd.CommandPath(), name, len(args))
	}
}

// randomID is part of an id that nobody else makes.
func randomID() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return hex.EncodeToString(b[:])
}

func commandMeta(now time.Time) *tallyv1.Meta {
	return &tallyv1.Meta{Id: randomID() + randomID(), At: timestamppb.New(now)}
}

// place is the command that the flags describe.
func (a *asking) place(now time.Time, totalGiven bool) (*tallyv1.OrderCommand, error) {
	if a.customer == "" {
		return nil, usageError("name who orders by --customer", "an order needs a customer")
	}
	o := &tallyv1.PlaceOrder{OrderId: a.id, CustomerId: a.customer}
	var sum int64
	for _, text := range a.lines {
		line, err := a.line(text)
		if err != nil {
			return nil, err
		}
		o.Lines = append(o.Lines, line)
		sum += line.GetQuantity() * line.GetPrice().GetMinor()
	}
	if !totalGiven {
		if len(a.lines) == 0 {
			return nil, usageError("for example --line tea:1:450", "an order needs a --line or a --total")
		}
		a.total = sum
	}
	o.Total = a.money(a.total)
	if a.due != "" {
		due, err := dueAt(a.due, now)
		if err != nil {
			return nil, err
		}
		o.Due = timestamppb.New(due)
	}
	return &tallyv1.OrderCommand{
		Meta: commandMeta(now), Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: o},
	}, nil
}

func (a *asking) money(minor int64) *tallyv1.Money {
	return &tallyv1.Money{Minor: proto.Int64(minor), Currency: a.currency}
}

// line reads a line of an order. Colons are allowed in the name of a product.
func (a *asking) line(text string) (*tallyv1.Line, error) {
	parts := strings.Split(text, ":")
	if n := len(parts); n >= 3 {
		product := strings.Join(parts[:n-2], ":")
		quantity, err := strconv.ParseInt(parts[n-2], 10, 64)
		var price int64
		err2 := (*amount)(&price).Set(parts[n-1])
		if pointed := (*pointError)(nil); errors.As(err2, &pointed) {
			return nil, usageError(pointed.hint(a.currency), "--line %q: %w", text, pointed)
		}
		if product != "" && err == nil && err2 == nil &&
			quantity > 0 && quantity <= schemas.MaxQuantity &&
			price >= 0 && price <= schemas.MaxMinor/quantity {
			return &tallyv1.Line{
				ProductId: product, Quantity: quantity, Price: a.money(price),
			}, nil
		}
	}
	return nil, usageError("for example tea:1:450", "--line is no PRODUCT:QUANTITY:PRICE: %q", text)
}

// dueAt reads a time, or a duration from now.
func dueAt(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usageError("for example 48h or 2026-01-31T12:00:00Z", "--due is no time: %q", text)
	}
	return at, nil
}

// asked is what place and cancel print as JSON.
type asked struct {
	Order     string `json:"order"`
	Command   string `json:"command"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Answer    string `json:"answer,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// ask writes a command, and waits for its answer if that is wanted.
func (m *Main) ask(ctx context.Context, s *settings, a *asking, c *tallyv1.OrderCommand) error {
	w := s.wiring()
	if !s.Chain {
		return usageError("add --chain; in the main job orders come from outside",
			"commands are for the chain of services only")
	}
	value, err := schemas.OrderCommands.Marshal(c)
	if err != nil {
		return usageError(seeHelp, "%w", err)
	}
	cl, err := m.connect(ctx, s, producerOptions()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := s.ready(ctx, cl, s.inputs()); err != nil {
		return err
	}
	at, err := cl.ProduceSync(ctx, &kgo.Record{
		Topic: w.names.OrderCommands, Key: []byte(a.id), Value: value,
		Timestamp: c.GetMeta().GetAt().AsTime(),
	}).First()
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	done := asked{
		Order: a.id, Command: c.GetMeta().GetId(), Topic: at.Topic, Partition: at.Partition,
		Offset: at.Offset,
	}
	var refused error
	if a.wait > 0 {
		if refused = m.answer(ctx, s, a, c, &done); refused != nil && done.Answer == "" {
			return refused
		}
	}
	err = m.show(s, done, func(out io.Writer) error {
		fmt.Fprintf(out, "order %s: command %s is at %s/%d@%d\n", done.Order, done.Command, done.Topic,
			done.Partition, done.Offset)
		if done.Answer != "" && refused == nil {
			fmt.Fprintln(out, done.Answer)
		}
		return nil
	})
	return errors.Join(err, refused)
}

// answer follows the events of orders until the one about the command comes. A
// command that was given before, and changes nothing, finds the answer of then.
func (m *Main) answer(
	ctx context.Context, s *settings, a *asking, c *tallyv1.OrderCommand, done *asked,
) error {
	bounded, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	topic := s.wiring().names.Orders
	cl, err := m.connect(ctx, s, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			topic: {done.Partition: kgo.NewOffset().AtStart()},
		}))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetched := cl.PollFetches(bounded)
		if err := fetched.Err0(); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("order: %w", ctx.Err())
			}
			return hinted("is a worker of the service orders running? the command stands",
				"no answer about order %s within %v", a.id, a.wait)
		}
		for _, r := range fetched.Records() {
			if string(r.Key) != a.id {
				continue
			}
			if e, err := schemas.Orders.Unmarshal(r.Value); err == nil {
				if answered, refused := answers(e, c, done); answered {
					return refused
				}
			}
		}
	}
}

// answers tells whether an event is the answer to a command, and if it refuses
// it, why.
func answers(e *tallyv1.OrderEvent, c *tallyv1.OrderCommand, done *asked) (bool, error) {
	ours := slices.Contains(e.GetMeta().GetCauses(), c.GetMeta().GetId())
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		if o := c.GetPlaceOrder(); o != nil && (ours || samePlaced(o, v.OrderPlaced)) {
			done.Answer = "OrderPlaced"
			return true, nil
		}
	case *tallyv1.OrderEvent_OrderCancelled:
		if o := c.GetCancelOrder(); o != nil && (ours || o.GetReason() == v.OrderCancelled.GetReason()) {
			done.Answer = "OrderCancelled"
			return true, nil
		}
	case *tallyv1.OrderEvent_OrderRefused:
		if !ours {
			return false, nil
		}
		done.Answer, done.Reason = "OrderRefused", v.OrderRefused.GetReason().String()
		why := done.Reason
		if note := v.OrderRefused.GetNote(); note != "" {
			why += ": " + note
		}
		return true, hinted("tally order show "+c.GetPlaceOrder().GetOrderId()+
			c.GetCancelOrder().GetOrderId()+" tells what has happened",
			"order %s: %s was refused: %s", v.OrderRefused.GetOrderId(), v.OrderRefused.GetCommand(), why)
	}
	return false, nil
}

// samePlaced tells whether what was placed is what is asked for.
func samePlaced(o *tallyv1.PlaceOrder, placed *tallyv1.OrderPlaced) bool {
	return proto.Equal(placed, &tallyv1.OrderPlaced{
		OrderId: o.GetOrderId(), CustomerId: o.GetCustomerId(), Total: o.GetTotal(), Due: o.GetDue(),
		Lines: o.GetLines(),
	})
}
