package validate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/processors/validate"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. Each is about one order, o1, and one
// record per command, of the topic orders:
//
//	placed [total=N]        cancelled        refused        validated        rejected
//
// or of the topic order-checks:
//
//	reserved        short [products=(A,…)]        cleared        suspected [reason=T]
//	accepted [name=T] [email=T]        details-refused [reason=T]
//
// All take [id=T] and [at=S]; times are seconds, and one without is a second later
// than the one before. "long" instead of a reason is the longest there is. What is
// not a record: "rules repeat-speech", "forget" (a new order begins) and "repeat"
// (the last record comes again).
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	rules validate.Rules
	row   *validate.Row
	last  validate.Event
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
	if s.last == nil {
		return "not its business\n"
	}
	next, said := validate.Step(s.rules, s.row, s.last)
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
	return out.String() + brief(next)
}

// brief is one line for the row.
func brief(row *validate.Row) string {
	line := "row " + strings.ToLower(row.GetState().String())
	if row.GetPlaced() != nil {
		line += " placed"
	}
	for _, v := range []struct {
		name string
		*tallyv1.ValidateRow_Verdict
	}{{"stock", row.GetStock()}, {"fraud", row.GetFraud()}, {"details", row.GetDetails()}} {
		switch {
		case v.ValidateRow_Verdict == nil:
		case v.GetGood():
			line += "; " + v.name + " good"
		default:
			line += "; " + v.GetReason()
		}
	}
	if c := row.GetContact(); c != nil {
		line += strings.TrimSpace("; contact " + c.GetName() + " " + c.GetEmail())
	}
	return line + "\n"
}

func (s *story) record(t *testing.T, d *datadriven.TestData) validate.Event {
	t.Helper()
	text := func(key string) (value string) {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &value)
		}
		return value
	}
	reason := text("reason")
	if d.HasArg("long") {
		reason = strings.Repeat("ü", schemas.MaxReasonBytes/2)
	}
	s.clock++
	if d.HasArg("at") {
		d.ScanArgs(t, "at", &s.clock)
	}
	var total int64
	if d.HasArg("total") {
		d.ScanArgs(t, "total", &total)
	}
	meta, at := &tallyv1.Meta{Id: text("id")}, time.Unix(s.clock, 0)
	if m := orderEvent(d.Cmd, total); m != nil {
		m.Meta = meta
		return validate.OfOrder(m, at)
	}
	var products []string
	for _, arg := range d.CmdArgs {
		if arg.Key == "products" {
			products = arg.Vals
		}
	}
	m := checkEvent(d.Cmd, reason, products)
	if m == nil {
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	if c := m.GetDetailsAccepted(); c != nil && d.HasArg("name") {
		c.Contact = &tallyv1.Contact{Name: text("name"), Email: text("email")}
	}
	m.Meta = meta
	return validate.OfCheck(m, at)
}

// orderEvent is an event of that kind in the topic of orders, or nil.
func orderEvent(kind string, total int64) *tallyv1.OrderEvent {
	placed := &tallyv1.OrderPlaced{
		OrderId: "o1", CustomerId: "c1", Total: schemas.Money(total, "EUR"),
		Lines: []*tallyv1.Line{{ProductId: "a", Quantity: 1, Price: schemas.Money(total, "EUR")}},
	}
	switch kind {
	case "placed":
		return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: placed}}
	case "cancelled":
		return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1"},
		}}
	case "refused":
		return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRefused{
			OrderRefused: &tallyv1.OrderRefused{
				OrderId: "o1", Reason: tallyv1.OrderRefused_ID_TAKEN, Command: "PlaceOrder",
			},
		}}
	case "validated":
		return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
			OrderValidated: &tallyv1.OrderValidated{Order: placed},
		}}
	case "rejected":
		return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRejected{
			OrderRejected: &tallyv1.OrderRejected{OrderId: "o1"},
		}}
	}
	return nil
}

// checkEvent is an event of that kind in the topic of checks, or nil.
func checkEvent(kind, reason string, products []string) *tallyv1.OrderCheckEvent {
	switch kind {
	case "reserved":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockReserved{
			StockReserved: &tallyv1.StockReserved{OrderId: "o1"},
		}}
	case "short":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockShort{
			StockShort: &tallyv1.StockShort{OrderId: "o1", ProductIds: products},
		}}
	case "cleared":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudCleared{
			FraudCleared: &tallyv1.FraudCleared{OrderId: "o1"},
		}}
	case "suspected":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudSuspected{
			FraudSuspected: &tallyv1.FraudSuspected{OrderId: "o1", Reason: reason},
		}}
	case "accepted":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsAccepted{
			DetailsAccepted: &tallyv1.DetailsAccepted{OrderId: "o1"},
		}}
	case "details-refused":
		return &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsRefused{
			DetailsRefused: &tallyv1.DetailsRefused{OrderId: "o1", Reason: reason},
		}}
	}
	return nil
}
