package orders_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/orders"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// drawCommand draws a command about one order, few of which differ.
func drawCommand(t *rapid.T) *tallyv1.OrderCommand {
	m := &tallyv1.OrderCommand{Meta: &tallyv1.Meta{}}
	if rapid.Bool().Draw(t, "with id") {
		m.Meta.Id = fmt.Sprintf("e%d", rapid.IntRange(1, 50).Draw(t, "id"))
	}
	if rapid.IntRange(0, 2).Draw(t, "cancel") == 0 {
		m.Command = &tallyv1.OrderCommand_CancelOrder{CancelOrder: &tallyv1.CancelOrder{
			OrderId: "o1", Reason: rapid.SampledFrom([]string{"", "r", "s"}).Draw(t, "reason"),
		}}
		return m
	}
	o := &tallyv1.PlaceOrder{
		OrderId: "o1", CustomerId: "c1",
		Total: schemas.Money(rapid.Int64Range(0, 3).Draw(t, "total"), "EUR"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "lines") {
		o.Lines = append(o.Lines, &tallyv1.Line{
			ProductId: "p", Quantity: rapid.Int64Range(1, 2).Draw(t, "quantity"),
			Price: schemas.Money(rapid.Int64Range(0, 1).Draw(t, "price"),
				rapid.SampledFrom([]string{"EUR", "EUR", "EUR", "USD"}).Draw(t, "currency")),
		})
	}
	m.Command = &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: o}
	return m
}

func drawCommands(t *rapid.T) []*tallyv1.OrderCommand {
	return rapid.SliceOfN(rapid.Custom(drawCommand), 1, 8).Draw(t, "commands")
}

// apply is Step with what must hold of every step checked: it leaves the row it
// is given alone, and what it returns can be written.
func apply(
	t *rapid.T, rules orders.Rules, row *orders.Row, m *tallyv1.OrderCommand, at int64,
) (*orders.Row, *tallyv1.OrderEvent) {
	before := proto.Clone(row)
	next, said := orders.Step(rules, row, orders.OfCommand(m, time.Unix(at, 0)))
	if !proto.Equal(before, row) {
		t.Fatalf("Step changed the row it was given")
	}
	if said != nil {
		if _, err := schemas.Orders.Marshal(said); err != nil {
			t.Fatal(err)
		}
	}
	return next, said
}

// TestOncePlacedOnceCancelled: whatever is asked for in whatever order, an order
// is placed at most once and cancelled at most once, and that after it was placed;
// and a command that is not carried out and changes nothing either was answered
// before or is refused.
func TestOncePlacedOnceCancelled(t *testing.T) { rapid.Check(t, once) }

func once(t *rapid.T) {
	var row *orders.Row
	placed, cancelled := 0, 0
	answered := map[string]bool{}
	for i, m := range drawCommands(t) {
		next, said := apply(t, orders.Rules{}, row, m, int64(i))
		content := schemas.CommandContentID(m)
		switch said.GetEvent().(type) {
		case *tallyv1.OrderEvent_OrderPlaced:
			placed++
			answered[content] = true
		case *tallyv1.OrderEvent_OrderCancelled:
			if cancelled++; placed == 0 {
				t.Fatal("cancelled before it was placed")
			}
			answered[content] = true
		case *tallyv1.OrderEvent_OrderRefused:
			if answered[content] || next != row || said.GetOrderRefused().GetNote() == "" {
				t.Fatalf("refused with %v", said)
			}
		default:
			if !answered[content] || next != row {
				t.Fatalf("nothing is said about %v", m)
			}
		}
		row = next
	}
	if placed > 1 || cancelled > 1 {
		t.Fatalf("placed %d times, cancelled %d times", placed, cancelled)
	}
}

// TestRepeatsChangeNothing: a command that was carried out comes again at any time
// later. It says nothing, or with RepeatSpeech just what it said; the row stays.
func TestRepeatsChangeNothing(t *testing.T) { rapid.Check(t, repeats) }

func repeats(t *rapid.T) {
	var row *orders.Row
	var done []*tallyv1.OrderCommand
	said := map[*tallyv1.OrderCommand]*tallyv1.OrderEvent{}
	for i, m := range drawCommands(t) {
		next, event := apply(t, orders.Rules{}, row, m, int64(i))
		if next != row {
			done, said[m] = append(done, m), event
		}
		row = next
		for _, m := range done {
			same, again := apply(t, orders.Rules{}, row, m, 1000)
			if same != row || again != nil {
				t.Fatalf("%v again: %v, row %v", m, again, same)
			}
			same, again = apply(t, orders.Rules{RepeatSpeech: true}, row, m, 1000)
			if same != row || !proto.Equal(again, said[m]) {
				t.Fatalf("%v again: %v, said %v", m, again, said[m])
			}
		}
	}
}
