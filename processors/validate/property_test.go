package validate_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/validate"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// drawOf draws an event of one of the kinds.
func drawOf(kinds ...string) *rapid.Generator[validate.Event] {
	return rapid.Custom(func(t *rapid.T) validate.Event {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		at := time.Unix(rapid.Int64Range(1, 9).Draw(t, "at"), 0)
		meta := &tallyv1.Meta{Id: rapid.SampledFrom([]string{"", "e1", "e2"}).Draw(t, "id")}
		if m := orderEvent(kind, rapid.Int64Range(0, 2).Draw(t, "total")); m != nil {
			m.Meta = meta
			return validate.OfOrder(m, at)
		}
		m := checkEvent(kind, rapid.SampledFrom([]string{"", "r"}).Draw(t, "reason"), nil)
		if c := m.GetDetailsAccepted(); c != nil && rapid.Bool().Draw(t, "contact") {
			c.Contact = &tallyv1.Contact{Email: "ann@example.org"}
		}
		m.Meta = meta
		return validate.OfCheck(m, at)
	})
}

// drawFour draws an order and a verdict of each service.
func drawFour(t *rapid.T) []validate.Event {
	return []validate.Event{
		drawOf("placed").Draw(t, "order"),
		drawOf("reserved", "reserved", "short").Draw(t, "stock"),
		drawOf("cleared", "cleared", "suspected").Draw(t, "fraud"),
		drawOf("accepted", "accepted", "details-refused").Draw(t, "details"),
	}
}

// apply is Step with what must hold of every step checked.
func apply(
	t *rapid.T, rules validate.Rules, row *validate.Row, e validate.Event,
) (*validate.Row, *tallyv1.OrderEvent) {
	before := proto.Clone(row)
	next, said := validate.Step(rules, row, e)
	if !proto.Equal(before, row) {
		t.Fatal("Step changed the row it was given")
	}
	b, err := schemas.ValidateRows.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := schemas.ValidateRows.Unmarshal(b); err != nil || !proto.Equal(again, next) {
		t.Fatalf("the row %v does not survive its codec: %v", next, err)
	}
	if said != nil {
		if _, err := schemas.Orders.Marshal(said); err != nil {
			t.Fatal(err)
		}
		if !rules.RepeatSpeech && len(b) != 2 {
			t.Fatalf("after the decision the row is still %v", next)
		}
	}
	return next, said
}

// run applies a log and returns the row and all that was said.
func run(
	t *rapid.T, rules validate.Rules, log []validate.Event,
) (row *validate.Row, all []*tallyv1.OrderEvent) {
	for _, e := range log {
		var said *tallyv1.OrderEvent
		if row, said = apply(t, rules, row, e); said != nil {
			all = append(all, said)
		}
	}
	return row, all
}

// TestAnyOrder: an order and its three checks are decided once, and in the same
// words, in whatever order they come.
func TestAnyOrder(t *testing.T) { rapid.Check(t, anyOrder) }

func anyOrder(t *rapid.T) {
	four := drawFour(t)
	rowA, saidA := run(t, validate.Rules{}, four)
	rowB, saidB := run(t, validate.Rules{}, rapid.Permutation(four).Draw(t, "turned"))
	if len(saidA) != 1 || len(saidB) != 1 || !proto.Equal(saidA[0], saidB[0]) {
		t.Fatalf("one order says %v, the other %v", saidA, saidB)
	}
	if !proto.Equal(rowA, rowB) {
		t.Fatalf("one order ends in %v, the other in %v", rowA, rowB)
	}
	good := true
	for _, e := range four {
		c, ok := e.(validate.Checked)
		good = good && (!ok || c.Reason == "")
	}
	if (saidA[0].GetOrderValidated() != nil) != good {
		t.Fatalf("it was decided %v", saidA[0])
	}
}

// TestOneDecision: whatever comes, and however often, there is one decision at
// most: one if the order and all verdicts came and it was not cancelled before.
// With RepeatSpeech it is said more often, and always in the same words.
func TestOneDecision(t *testing.T) { rapid.Check(t, oneDecision) }

func oneDecision(t *rapid.T) {
	log := rapid.SliceOfN(drawOf("placed", "cancelled", "reserved", "short", "cleared",
		"suspected", "accepted", "details-refused"), 1, 12).Draw(t, "log")
	row, said := run(t, validate.Rules{}, log)
	if len(said) > 1 {
		t.Fatalf("decided %d times", len(said))
	}
	if want := decidable(log); want != (len(said) == 1) {
		t.Fatalf("%d decisions, the row is %v", len(said), row)
	}
	_, repeated := run(t, validate.Rules{RepeatSpeech: true}, append(log, log...))
	for _, again := range repeated {
		if len(said) == 0 || !proto.Equal(again, said[0]) {
			t.Fatalf("said %v, then %v", said, again)
		}
	}
}

// decidable tells whether all that is needed comes before a cancel.
func decidable(log []validate.Event) bool {
	have := map[validate.Service]bool{}
	for _, e := range log {
		switch e := e.(type) {
		case validate.Cancelled:
			return false
		case validate.Placed:
			have[0] = true
		case validate.Checked:
			have[e.By] = true
		}
		if len(have) == 4 {
			return true
		}
	}
	return false
}

// TestRepeatsChangeNothing: an event that comes again, at any time later, changes
// neither the row nor the decision.
func TestRepeatsChangeNothing(t *testing.T) { rapid.Check(t, repeats) }

func repeats(t *rapid.T) {
	log := append(drawFour(t), rapid.SliceOfN(drawOf("cancelled"), 0, 1).Draw(t, "cancel")...)
	log = rapid.Permutation(log).Draw(t, "turned")
	wantRow, want := run(t, validate.Rules{}, log)
	i := rapid.IntRange(0, len(log)-1).Draw(t, "which")
	k := rapid.IntRange(i+1, len(log)).Draw(t, "where")
	twice := append(append(append([]validate.Event{}, log[:k]...), log[i]), log[k:]...)
	row, said := run(t, validate.Rules{}, twice)
	if !proto.Equal(row, wantRow) || len(said) != len(want) {
		t.Fatalf("once it ends in %v, %v, twice in %v, %v", wantRow, want, row, said)
	}
	if len(want) == 1 && !proto.Equal(said[0], want[0]) {
		t.Fatalf("once it says %v, twice %v", want, said)
	}
}
