package schemas_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// placeCommand is a command with everything that its content has.
func placeCommand() *tallyv1.PlaceOrder {
	return &tallyv1.PlaceOrder{
		OrderId: "o1", CustomerId: "c1", Total: schemas.Money(300, "EUR"),
		Due: timestamppb.New(time.Unix(7, 0)),
		Lines: []*tallyv1.Line{
			{ProductId: "a", Quantity: 1, Price: schemas.Money(100, "EUR")},
			{ProductId: "b", Quantity: 2, Price: schemas.Money(100, "EUR")},
		},
	}
}

func place(o *tallyv1.PlaceOrder) *tallyv1.OrderCommand {
	return &tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: o}}
}

// TestCommandContentID: a command that asks for something else has another id,
// and the id and the time that it came with make no difference.
func TestCommandContentID(t *testing.T) {
	seen := map[string]string{schemas.CommandContentID(place(placeCommand())): "the first"}
	for name, change := range map[string]func(*tallyv1.PlaceOrder){
		"order":          func(o *tallyv1.PlaceOrder) { o.OrderId = "o2" },
		"customer":       func(o *tallyv1.PlaceOrder) { o.CustomerId = "c2" },
		"total":          func(o *tallyv1.PlaceOrder) { o.Total = schemas.Money(301, "EUR") },
		"currency":       func(o *tallyv1.PlaceOrder) { o.Total = schemas.Money(300, "USD") },
		"due":            func(o *tallyv1.PlaceOrder) { o.Due.Seconds++ },
		"no due":         func(o *tallyv1.PlaceOrder) { o.Due = nil },
		"a line less":    func(o *tallyv1.PlaceOrder) { o.Lines = o.Lines[:1] },
		"lines turned":   func(o *tallyv1.PlaceOrder) { o.Lines[0], o.Lines[1] = o.Lines[1], o.Lines[0] },
		"product":        func(o *tallyv1.PlaceOrder) { o.Lines[0].ProductId = "b" },
		"quantity":       func(o *tallyv1.PlaceOrder) { o.Lines[0].Quantity = 2 },
		"price":          func(o *tallyv1.PlaceOrder) { o.Lines[0].Price = schemas.Money(101, "EUR") },
		"price currency": func(o *tallyv1.PlaceOrder) { o.Lines[0].Price = schemas.Money(100, "USD") },
	} {
		o := placeCommand()
		change(o)
		id := schemas.CommandContentID(place(o))
		if other, ok := seen[id]; ok {
			t.Errorf("another %s has the id of %s", name, other)
		}
		seen[id] = name
	}
	named := place(placeCommand())
	named.Meta = &tallyv1.Meta{Id: "e1", At: timestamppb.New(time.Unix(1, 0))}
	if schemas.CommandContentID(named) != schemas.CommandContentID(place(placeCommand())) {
		t.Error("the id that a command came with changes that of its content")
	}
	if id := schemas.CommandID(named); id != "e1" {
		t.Errorf("the command is called %s", id)
	}
	if id := schemas.CommandID(place(placeCommand())); seen[id] != "the first" {
		t.Errorf("the command without an id is called %s", id)
	}
	cancel := func(reason string) string {
		return schemas.CommandID(&tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_CancelOrder{
			CancelOrder: &tallyv1.CancelOrder{OrderId: "o1", Reason: reason},
		}})
	}
	if a, again := cancel("a"), cancel("a"); a == cancel("b") || a != again {
		t.Error("cancels are not told by their reasons")
	}
	if id := schemas.CommandID(&tallyv1.OrderCommand{}); id != "" {
		t.Errorf("nothing is called %s", id)
	}
}

// TestOrderCheckID: checks that say different things have different ids.
func TestOrderCheckID(t *testing.T) {
	ids := map[string]string{}
	for _, text := range []string{
		`"stock_reserved":{"order_id":"o1"}`, `"stock_reserved":{"order_id":"o2"}`,
		`"stock_short":{"order_id":"o1"}`, `"stock_short":{"order_id":"o1","product_ids":["a"]}`,
		`"fraud_cleared":{"order_id":"o1"}`,
		`"fraud_suspected":{"order_id":"o1"}`, `"fraud_suspected":{"order_id":"o1","reason":"r"}`,
		`"details_accepted":{"order_id":"o1"}`,
		`"details_accepted":{"order_id":"o1","contact":{"name":"a"}}`,
		`"details_accepted":{"order_id":"o1","contact":{"email":"a"}}`,
		`"details_refused":{"order_id":"o1"}`, `"details_refused":{"order_id":"o1","reason":"r"}`,
	} {
		e, err := schemas.OrderChecks.Unmarshal([]byte("{" + text + "}"))
		if err != nil {
			t.Fatal(err)
		}
		id := schemas.OrderCheckID(e)
		if other, ok := ids[id]; ok || id == "" {
			t.Errorf("%s has the id %q, as %s", text, id, other)
		}
		ids[id] = text
		e.Meta = &tallyv1.Meta{Id: "given"}
		if id := schemas.OrderCheckID(e); id != "given" {
			t.Errorf("%s came with an id and has %s", text, id)
		}
	}
	if id := schemas.OrderCheckID(&tallyv1.OrderCheckEvent{}); id != "" {
		t.Errorf("nothing has the id %s", id)
	}
}

// TestReason: a reason is never longer than it may be, and never cut within a
// character.
func TestReason(t *testing.T) {
	if got := schemas.Reason("a", "b"); got != "a; b" {
		t.Errorf("two parts are %q", got)
	}
	for _, letter := range []string{"x", "ü", "…", "𝄞"} {
		for shift := range 4 {
			text := strings.Repeat("x", shift) + strings.Repeat(letter, schemas.MaxReasonBytes+1)
			got := schemas.Reason(text)
			if len(got) > schemas.MaxReasonBytes || len(got) < schemas.MaxReasonBytes-6 ||
				!utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
				t.Errorf("%d bytes of %q became %d, %q at the end", len(text), letter, len(got),
					got[len(got)-8:])
			}
		}
	}
	if got := schemas.Cut("abcd", 4); got != "abcd" {
		t.Errorf("what fits became %q", got)
	}
}

// TestRowsOfTheEdge: the rows of orders and validate survive their codecs, and
// what a newer version wrote into them is an error.
func TestRowsOfTheEdge(t *testing.T) {
	order := &tallyv1.OrderRow{
		Content: []byte("0123456789abcdef"), CommandId: "e1", AtUs: 7,
		Cancel: &tallyv1.OrderRow_Cancel{CommandId: "e2", AtUs: 8, Reason: "r"},
	}
	rowSurvives(t, schemas.OrderRows, order)
	verdict := &tallyv1.ValidateRow_Verdict{EventId: "e3", AtUs: 9, Reason: "r"}
	rowSurvives(t, schemas.ValidateRows, &tallyv1.ValidateRow{
		State: tallyv1.ValidateRow_REJECTED,
		Placed: &tallyv1.ValidateRow_Placed{
			Order: &tallyv1.OrderPlaced{OrderId: "o1", Lines: placeCommand().Lines}, EventId: "e1", AtUs: 1,
		},
		Stock: verdict, Fraud: verdict, Details: verdict,
		Contact: &tallyv1.Contact{Name: "n", Email: "m"},
	})
}

func rowSurvives[T proto.Message](t *testing.T, codec schemas.RowCodec[T], row T) {
	t.Helper()
	b, err := codec.Encode(row)
	if err != nil {
		t.Fatal(err)
	}
	v, err := codec.Decode(b)
	if again, ok := v.(T); err != nil || !ok || !proto.Equal(again, row) {
		t.Errorf("%v became %v, %v", row, v, err)
	}
	newer := append(b, 0x7a, 0x01, 0x00) // field 15
	if _, err := codec.Decode(newer); err == nil {
		t.Errorf("%T with a field that is not known is taken", row)
	}
	if _, err := codec.Decode([]byte{0x0a}); err == nil {
		t.Errorf("%T that is cut off is taken", row)
	}
	if _, err := codec.Encode(fmt.Sprint(row)); err == nil {
		t.Errorf("a text is taken for %T", row)
	}
}
