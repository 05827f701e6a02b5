package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/processors/inventory"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata/stories. Each is about one order, o1,
// and one record per command:
//
//	order [PRODUCT=N]...     (a line for each)
//	granted PRODUCT=N        (a product has answered)
//	denied PRODUCT=N
//	confirmed | expired | withdrawn | cancelled
//
// Each record is a second later than the one before. "repeat" lets the last one
// come again, "forget" begins a new order, "json" prints the row. What is said is
// printed in short, or whole where the command says "whole".
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	row   *inventory.Row
	last  inventory.Event
	clock int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "forget":
		*s = story{}
		return "ok\n"
	case "json":
		b, err := schemas.InventoryRows.JSON(s.row)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	case "repeat":
	default:
		s.clock++
		s.last = s.record(t, d)
		if s.last == nil {
			return "of no concern\n"
		}
	}
	next, out := inventory.Step(s.row, s.last)
	said := speech(t, out, d.HasArg("whole"))
	if next == s.row {
		return said + "row unchanged\n"
	}
	s.row = next
	return said + "row " + brief(s.row) + "\n"
}

func (s *story) record(t *testing.T, d *datadriven.TestData) inventory.Event {
	t.Helper()
	now := time.Unix(s.clock, 0)
	var lines []*tallyv1.Line
	for _, arg := range d.CmdArgs {
		var n int64
		if len(arg.Vals) == 1 {
			arg.Scan(t, 0, &n)
			lines = append(lines, &tallyv1.Line{
				ProductId: arg.Key, Quantity: n, Price: schemas.Money(1, "EUR"),
			})
		}
	}
	switch d.Cmd {
	case "order":
		return inventory.OfOrder(order("o1", lines...), now)
	case "cancelled":
		return inventory.OfOrder(&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1"},
		}}, now)
	case "granted", "denied":
		return inventory.OfReply(reply("o1", lines[0], d.Cmd == "granted"), now)
	case "confirmed":
		return inventory.OfConfirmation(confirmed("o1"), now)
	case "expired":
		return inventory.OfException(expired("o1"), now)
	case "withdrawn":
		return inventory.OfException(withdrawn("o1"), now)
	}
	d.Fatalf(t, "no such command: %s", d.Cmd)
	return nil
}

func order(id string, lines ...*tallyv1.Line) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Meta: &tallyv1.Meta{Id: "placed-" + id},
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, Total: schemas.Money(0, "EUR"), Lines: lines,
		}},
	}
}

func reply(id string, l *tallyv1.Line, granted bool) *tallyv1.StockReplyEvent {
	if granted {
		return &tallyv1.StockReplyEvent{Event: &tallyv1.StockReplyEvent_StockLineReserved{
			StockLineReserved: &tallyv1.StockLineReserved{
				OrderId: id, ProductId: l.GetProductId(), Quantity: l.GetQuantity(),
			},
		}}
	}
	return &tallyv1.StockReplyEvent{Event: &tallyv1.StockReplyEvent_StockLineRefused{
		StockLineRefused: &tallyv1.StockLineRefused{
			OrderId: id, ProductId: l.GetProductId(), Quantity: l.GetQuantity(),
		},
	}}
}

func confirmed(id string) *tallyv1.ConfirmationEvent {
	return &tallyv1.ConfirmationEvent{
		Meta: &tallyv1.Meta{Id: "confirmed-" + id},
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{
			OrderConfirmed: &tallyv1.OrderConfirmed{OrderId: id, Total: schemas.Money(0, "EUR")},
		},
	}
}

func expired(id string) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{
		Meta: &tallyv1.Meta{Id: "expired-" + id},
		Event: &tallyv1.ExceptionEvent_OrderExpired{
			OrderExpired: &tallyv1.OrderExpired{
				OrderId: id, Total: schemas.Money(1, "EUR"), Due: timestamppb.New(time.Unix(9, 0)),
			},
		},
	}
}

func withdrawn(id string) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{ // without an id: it is derived
		Event: &tallyv1.ExceptionEvent_OrderWithdrawn{
			OrderWithdrawn: &tallyv1.OrderWithdrawn{OrderId: id},
		},
	}
}

// speech is one line for each thing said. It fails if a codec refuses it.
func speech(t *testing.T, out inventory.Outcomes, whole bool) string {
	t.Helper()
	var b strings.Builder
	if m := out.Check; m != nil {
		text, err := schemas.OrderChecks.JSON(m)
		if _, bad := schemas.OrderChecks.Marshal(m); bad != nil || err != nil {
			t.Fatal(bad, err)
		}
		switch {
		case whole:
			fmt.Fprintf(&b, "emit %s\n", text)
		case m.GetStockReserved() != nil:
			fmt.Fprintf(&b, "emit StockReserved at=%d\n", m.GetMeta().GetAt().GetSeconds())
		default:
			fmt.Fprintf(&b, "emit StockShort %v at=%d\n", m.GetStockShort().GetProductIds(),
				m.GetMeta().GetAt().GetSeconds())
		}
	}
	for _, m := range out.Commands {
		text, err := schemas.StockCommands.JSON(m)
		if _, bad := schemas.StockCommands.Marshal(m); bad != nil || err != nil {
			t.Fatal(bad, err)
		}
		if whole {
			fmt.Fprintf(&b, "ask %s\n", text)
			continue
		}
		switch v := m.GetCommand().(type) {
		case *tallyv1.StockCommand_ReserveStock:
			b.WriteString("ask ReserveStock " + ofLine(v.ReserveStock))
		case *tallyv1.StockCommand_ReleaseStock:
			b.WriteString("ask ReleaseStock " + ofLine(v.ReleaseStock))
		case *tallyv1.StockCommand_ShipStock:
			b.WriteString("ask ShipStock " + ofLine(v.ShipStock))
		}
	}
	return b.String()
}

func ofLine(l interface {
	GetProductId() string
	GetQuantity() int64
},
) string {
	return fmt.Sprintf("%s=%d\n", l.GetProductId(), l.GetQuantity())
}

func brief(row *inventory.Row) string {
	line := strings.ToLower(row.GetState().String())
	if row.GetEnding() != tallyv1.InventoryRow_NONE {
		line += ", heard of: " + strings.ToLower(row.GetEnding().String())
	}
	for _, l := range row.GetLines() {
		line += fmt.Sprintf("; %s=%d %s", l.GetProductId(), l.GetQuantity(),
			strings.ToLower(l.GetAnswer().String()))
	}
	return line
}

// TestStock tells the stories in testdata/stock, each about one product, p1:
//
//	add N | count N | reserve N | release N | ship N
func TestStock(t *testing.T) {
	datadriven.Walk(t, "testdata/stock", func(t *testing.T, path string) {
		var row *inventory.StockRow
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var n int64
			if d.Cmd != "forget" {
				if _, err := fmt.Sscan(d.CmdArgs[0].Key, &n); err != nil {
					d.Fatalf(t, "%v", err)
				}
			}
			l := inventory.Line{ProductID: "p1", OrderID: "o1", Quantity: n}
			var e inventory.StockEvent
			switch d.Cmd {
			case "forget":
				row = nil
				return "ok\n"
			case "add":
				e = inventory.Added{ProductID: "p1", Quantity: n}
			case "count":
				e = inventory.Counted{ProductID: "p1", Quantity: n}
			case "reserve":
				e = inventory.Reserve{Origin: inventory.Origin{ID: "r1", At: 7}, Line: l}
			case "release":
				e = inventory.Release{Line: l}
			case "ship":
				e = inventory.Ship{Line: l}
			}
			next, said, err := inventory.StepStock(row, e)
			if errors.Is(err, inventory.ErrNotReserved) {
				return err.Error() + "\n"
			}
			row = next
			line := fmt.Sprintf("on hand %d, reserved %d, owed %d, shipped %d\n",
				row.GetOnHand(), row.GetReserved(), row.GetOwed(), row.GetShipped())
			if said == nil {
				return line
			}
			text, err := schemas.StockReplies.JSON(said)
			if _, bad := schemas.StockReplies.Marshal(said); bad != nil || err != nil {
				t.Fatal(bad, err)
			}
			return "emit " + string(text) + "\n" + line
		})
	})
}
