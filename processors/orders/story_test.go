package orders_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/processors/orders"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. Each is about one order, o1, and one
// command of it per command:
//
//	place total=N [currency=C] [customer=T] [due=S] [lines=PRODUCT:QUANTITY:PRICE[:CURRENCY],…]
//	cancel [reason=T]
//
// Both take [id=T] and [at=S]; times are seconds, and one without is a second
// later than the one before. What is not a command: "rules repeat-speech",
// "forget" (a new order begins) and "repeat" (the last command comes again).
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	rules orders.Rules
	row   *orders.Row
	last  *tallyv1.OrderCommand
	clock int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "rules":
		s.rules.RepeatSpeech = d.HasArg("repeat-speech")
		return fmt.Sprintf("%+v\n", s.rules)
	case "forget":
		*s = story{rules: s.rules}
		return "ok\n"
	case "repeat":
	default:
		s.last = s.record(t, d)
	}
	b, err := schemas.OrderCommands.Marshal(s.last)
	if err != nil {
		return err.Error() + "\n"
	}
	m, err := schemas.OrderCommands.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	next, said := orders.Step(s.rules, s.row, orders.OfCommand(m, time.Unix(s.clock, 0)))
	var out strings.Builder
	if said != nil {
		if _, err := schemas.Orders.Marshal(said); err != nil {
			t.Fatal(err)
		}
		text, err := schemas.Orders.JSON(said)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "emit %s\n", text)
	}
	if next == s.row {
		return out.String() + "row unchanged\n"
	}
	s.row = next
	text, err := schemas.OrderRows.JSON(next)
	if err != nil {
		t.Fatal(err)
	}
	return out.String() + "row " + string(text) + "\n"
}

func (s *story) record(t *testing.T, d *datadriven.TestData) *tallyv1.OrderCommand {
	t.Helper()
	text := func(key, otherwise string) string {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &otherwise)
		}
		return otherwise
	}
	number := func(key string, otherwise int64) int64 {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &otherwise)
		}
		return otherwise
	}
	s.clock = number("at", s.clock+1)
	m := &tallyv1.OrderCommand{Meta: &tallyv1.Meta{Id: text("id", "")}}
	switch d.Cmd {
	case "place":
		o := &tallyv1.PlaceOrder{
			OrderId: "o1", CustomerId: text("customer", "c1"),
			Total: schemas.Money(number("total", 0), text("currency", "EUR")),
			Lines: lines(d),
		}
		if d.HasArg("due") {
			o.Due = timestamppb.New(time.Unix(number("due", 0), 0))
		}
		m.Command = &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: o}
	case "cancel":
		reason := text("reason", "")
		if d.HasArg("long") {
			reason = strings.Repeat("ü", schemas.MaxReasonBytes/2)
		}
		m.Command = &tallyv1.OrderCommand_CancelOrder{CancelOrder: &tallyv1.CancelOrder{
			OrderId: "o1", Reason: reason,
		}}
	default:
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	return m
}

func lines(d *datadriven.TestData) []*tallyv1.Line {
	var list []*tallyv1.Line
	for _, arg := range d.CmdArgs {
		if arg.Key != "lines" {
			continue
		}
		for _, text := range arg.Vals {
			p := append(strings.Split(text, ":"), "EUR")
			quantity, _ := strconv.ParseInt(p[1], 10, 64)
			price, _ := strconv.ParseInt(p[2], 10, 64)
			list = append(list, &tallyv1.Line{
				ProductId: p[0], Quantity: quantity, Price: schemas.Money(price, p[3]),
			})
		}
	}
	return list
}
