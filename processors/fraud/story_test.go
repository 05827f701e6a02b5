package fraud_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/processors/fraud"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata/stories. Each is about one customer,
// c1, and one order per command:
//
//	order ID total=N [currency=C] [at=M] [stream=M] [nobody]
//
// Times are minutes; an order without one is a minute later than the one before,
// and stream time is the latest of them. "nobody" is an order without a customer.
// "rules [window=M] [limit=N] [entries=N] [repeat-speech]" sets rules, with 1000 USD always, and
// "forget" begins a new customer.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	rules         fraud.Rules
	row           *fraud.Row
	clock, stream int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	number := func(key string, otherwise int64) int64 {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &otherwise)
		}
		return otherwise
	}
	switch d.Cmd {
	case "rules":
		s.rules = fraud.Rules{
			Window:     time.Duration(number("window", 0)) * time.Minute,
			Limit:      number("limit", 0),
			Limits:     map[string]int64{"USD": 1000},
			MaxEntries: int(number("entries", 0)),

			RepeatSpeech: d.HasArg("repeat-speech"),
		}
		return fmt.Sprintf("%+v\n", s.rules)
	case "forget":
		*s = story{rules: s.rules}
		return "ok\n"
	case "order":
	default:
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	s.clock = number("at", s.clock+1)
	s.stream = number("stream", max(s.stream, s.clock))
	currency, customer := "EUR", "c1"
	if d.HasArg("currency") {
		d.ScanArgs(t, "currency", &currency)
	}
	if d.HasArg("nobody") {
		customer = ""
	}
	e := placed(d.CmdArgs[0].Key, customer, number("total", 0), currency, minute(s.clock))
	e.Stream = minute(s.stream)
	before := s.row
	next, check := fraud.Step(s.rules, s.row, e)
	s.row = next
	line := "row unchanged\n"
	if next != before {
		line = brief(next)
	}
	return speech(t, check, d.HasArg("whole")) + line
}

func minute(n int64) int64 { return n * time.Minute.Microseconds() }

func placed(id, customer string, total int64, currency string, at int64) fraud.Placed {
	return fraud.Placed{
		ID: "placed-" + id, At: at, Recorded: at, Stream: at,
		Order: &tallyv1.OrderPlaced{
			OrderId: id, CustomerId: customer, Total: schemas.Money(total, currency),
		},
	}
}

func speech(t *testing.T, m *tallyv1.OrderCheckEvent, whole bool) string {
	t.Helper()
	if m == nil {
		return ""
	}
	text, err := schemas.OrderChecks.JSON(m)
	if _, bad := schemas.OrderChecks.Marshal(m); bad != nil || err != nil {
		t.Fatal(bad, err)
	}
	switch {
	case whole:
		return "emit " + string(text) + "\n"
	case m.GetFraudCleared() != nil:
		return "emit FraudCleared " + m.GetFraudCleared().GetOrderId() + "\n"
	}
	return fmt.Sprintf("emit FraudSuspected %s: %s\n", m.GetFraudSuspected().GetOrderId(),
		m.GetFraudSuspected().GetReason())
}

func brief(row *fraud.Row) string {
	var parts []string
	for _, x := range row.GetEntries() {
		part := fmt.Sprintf("%s %d %s at %d", x.GetOrderId(), x.GetMinor(), x.GetCurrency(),
			x.GetAtUs()/minute(1))
		if x.GetReason() != "" {
			part += " suspected"
		}
		parts = append(parts, part)
	}
	return "row " + strings.Join(parts, "; ") + "\n"
}
