package schemas_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestText: the codec for readers without the schema writes JSON that the usual
// one reads, and refuses the same values.
func TestText(t *testing.T) {
	e := &tallyv1.ConfirmationEvent{
		Meta: &tallyv1.Meta{Id: "c1"},
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
			OrderId: "o1", CustomerId: "ann", Total: schemas.Money(0, "EUR"),
		}},
	}
	b, err := schemas.Confirmations.Text().Encode(e)
	if err != nil || !json.Valid(b) || b[0] != '{' {
		t.Fatalf("wrote %q, %v", b, err)
	}
	if got, err := schemas.Confirmations.Unmarshal(b); err != nil || !proto.Equal(got, e) {
		t.Errorf("read %v, %v; want %v", got, err, e)
	}
	if _, err := schemas.Confirmations.Text().Encode(new(tallyv1.ConfirmationEvent)); err == nil {
		t.Error("an event without content was written")
	}
	if _, err := schemas.Confirmations.Text().Encode("text"); err == nil {
		t.Error("a string was written")
	}
}
