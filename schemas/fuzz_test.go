package schemas_test

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// FuzzDecode: decoding is total, what it returns can be written in both forms,
// and what was written is read as it was.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"order_placed":{"order_id":"o1","total":{"minor":1,"currency":"EUR"}}}`,
		`{"payment_reversed":{"order_id":"o1","payment_id":"p1"}}`, `{"meta":{"id":"e1"}}`, `{`,
	} {
		f.Add([]byte(text))
	}
	for _, m := range []proto.Message{order(), payment()} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		survives(t, schemas.Orders, b)
		survives(t, schemas.Payments, b)
		survives(t, schemas.Confirmations, b)
		survives(t, schemas.Exceptions, b)
	})
}

func survives[T proto.Message](t *testing.T, c schemas.Codec[T], b []byte) {
	v, err := c.Decode(b)
	if err != nil {
		t.Fatalf("Decode returned an error: %v", err)
	}
	if m, bad := v.(schemas.Malformed); bad {
		if m.Reason == "" {
			t.Fatal("no reason")
		}
		return
	}
	m, ok := v.(T)
	if !ok {
		t.Fatalf("Decode returned a %T", v)
	}
	binary, err := c.Marshal(m)
	if err != nil {
		t.Fatalf("%v was read and cannot be written: %v", m, err)
	}
	text, err := c.JSON(m)
	if err != nil {
		t.Fatalf("%v has no JSON: %v", m, err)
	}
	for _, form := range [][]byte{binary, text} {
		if len(form) > schemas.MaxRecordBytes {
			continue
		}
		again, err := c.Unmarshal(form)
		if err != nil {
			t.Fatalf("%q: %v", form, err)
		}
		if !proto.Equal(again, m) {
			t.Fatalf("%v became %v", m, again)
		}
	}
}

// FuzzRow: a row is read or refused, and what is read is written as it was.
func FuzzRow(f *testing.F) {
	b, err := schemas.ConfirmRows.Marshal(row())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := schemas.ConfirmRows.Unmarshal(b)
		if err != nil {
			return
		}
		again, err := schemas.ConfirmRows.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		if err := proto.Unmarshal(b, new(tallyv1.ConfirmRow)); err != nil {
			t.Fatalf("%x is no ConfirmRow: %v", b, err)
		}
	})
}

func drawText(t *rapid.T, label string) string { return rapid.StringN(0, 5, 20).Draw(t, label) }

func drawInt(t *rapid.T, label string) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Min(0)).Draw(t, label)
}

func drawRow(t *rapid.T) *schemas.ConfirmRow {
	r := &schemas.ConfirmRow{
		State:         tallyv1.ConfirmRow_State(rapid.IntRange(0, 4).Draw(t, "state")),
		Placed:        rapid.Bool().Draw(t, "placed"),
		CancelRefused: rapid.Bool().Draw(t, "refused"),
	}
	if r.Placed {
		r.Order = schemas.RowOrder{
			CustomerID: drawText(t, "customer"), Total: drawInt(t, "total"),
			Currency: drawText(t, "currency"), Due: drawInt(t, "due"),
			EventID: drawText(t, "event"), At: drawInt(t, "at"),
		}
	}
	if r.State >= tallyv1.ConfirmRow_CANCELLED {
		r.End = schemas.RowEnd{
			EventID: drawText(t, "event"), At: drawInt(t, "at"), Reason: drawText(t, "reason"),
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "payments") {
		r.Payments = append(r.Payments, schemas.RowPayment{
			PaymentID: drawText(t, "payment"), Amount: drawInt(t, "amount"),
			Currency: drawText(t, "currency"), Method: drawText(t, "method"),
			EventID: drawText(t, "event"), At: drawInt(t, "at"),
			Disposition: tallyv1.ConfirmRow_Disposition(
				rapid.IntRange(0, 5).Draw(t, "disposition")),
			Confirmed: drawInt(t, "confirmed"), ReversedLate: rapid.Bool().Draw(t, "late"),
		})
	}
	return r
}

// TestRowIsProtobuf: the bytes that the hand-written codec writes are those that
// the generated code writes for the same message, and it reads what it writes.
func TestRowIsProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRow(t)
		b, err := schemas.ConfirmRows.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var m tallyv1.ConfirmRow
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		same, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
		if err != nil || !bytes.Equal(same, b) {
			t.Fatalf("%x, the generated code writes %x, %v", b, same, err)
		}
		got, err := schemas.ConfirmRows.Unmarshal(b)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}

// TestRowRefuses: a row that is cut off, or that a newer version wrote, is an
// error, at every byte.
func TestRowRefuses(t *testing.T) {
	whole, err := schemas.ConfirmRows.Marshal(row())
	if err != nil {
		t.Fatal(err)
	}
	// A cut between two fields cannot be seen: before the state, the order and
	// the payment of this row.
	seen := 0
	for n := range whole {
		if _, err := schemas.ConfirmRows.Decode(whole[:n]); err == nil {
			seen++
		}
	}
	if seen != 3 {
		t.Errorf("%d of the %d cuts went unseen", seen, len(whole))
	}
	for name, more := range map[string]string{
		"a field of a newer version":        "\x32\x01x",
		"a high field":                      "\x82\x01\x01x",
		"a field twice":                     "\x08\x02",
		"a disposition of a newer version":  "\x2a\x02\x38\x06",
		"a payment field of a newer one":    "\x2a\x02\x50\x01",
		"a zero that is written":            "\x2a\x02\x38\x00",
		"a number longer than it has to be": "\x2a\x03\x38\x81\x00",
		"a text that is not UTF-8":          "\x2a\x03\x0a\x01\xff",
		"another wire type":                 "\x2d\x00\x00\x00\x00",
	} {
		if _, err := schemas.ConfirmRows.Decode(append(bytes.Clone(whole), more...)); err == nil {
			t.Errorf("it takes %s", name)
		}
	}
}
