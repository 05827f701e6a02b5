package schemas_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

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
		State:         tallyv1.ConfirmRow_State(rapid.IntRange(0, 6).Draw(t, "state")),
		Placed:        rapid.Bool().Draw(t, "placed"),
		CancelRefused: rapid.Bool().Draw(t, "refused"),
		Latest:        drawInt(t, "latest"),
		Deadline:      drawInt(t, "deadline"),
	}
	if r.Placed {
		r.Order = schemas.RowOrder{
			CustomerID: drawText(t, "customer"), Total: drawInt(t, "total"),
			Currency: drawText(t, "currency"), Due: drawInt(t, "due"),
			EventID: drawText(t, "event"), At: drawInt(t, "at"),
			ContactName: drawText(t, "name"), ContactEmail: drawText(t, "email"),
		}
	}
	if rapid.Bool().Draw(t, "cut") {
		r.Digest = drawDigest(t)
	}
	if r.State >= tallyv1.ConfirmRow_CANCELLED && r.State <= tallyv1.ConfirmRow_EXPIRED &&
		(r.Digest == nil || !r.Digest.Ended) {
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
				rapid.IntRange(0, 8).Draw(t, "disposition")),
			Confirmed: drawInt(t, "confirmed"), ReversedLate: rapid.Bool().Draw(t, "late"),
			Lapsed: drawInt(t, "lapsed"), Recorded: drawInt(t, "recorded"),
		})
	}
	return r
}

func drawDigest(t *rapid.T) *schemas.RowDigest {
	d := &schemas.RowDigest{
		Placed: rapid.Bool().Draw(t, "placed"), Ended: rapid.Bool().Draw(t, "ended"),
	}
	if d.Placed {
		d.Order = schemas.RowOrderDigest{
			Total: drawInt(t, "total"), Currency: drawText(t, "currency"),
			Rest: rapid.Uint64().Draw(t, "rest"),
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "payments") {
		d.Payments = append(d.Payments, schemas.RowPaymentDigest{
			ID: rapid.Uint64().Draw(t, "id"), Amount: drawInt(t, "amount"),
			Currency: drawText(t, "currency"), Method: rapid.Uint32().Draw(t, "method"),
			Disposition: tallyv1.ConfirmRow_Disposition(
				rapid.IntRange(0, 8).Draw(t, "disposition")),
			Confirmed: drawInt(t, "confirmed"), ReversedLate: rapid.Bool().Draw(t, "late"),
		})
	}
	return d
}

// TestRowIsProtobuf: the bytes that the hand-written codec writes are those that
// the generated code writes for the same message, the deadline being moved to the
// beginning, and it reads what it writes.
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
		if n := len(same) - 9; want.Deadline != 0 {
			same = slices.Concat(same[n:], same[:n])
		}
		if err != nil || !bytes.Equal(same, b) {
			t.Fatalf("%x, the generated code writes %x, %v", b, same, err)
		}
		got, err := schemas.ConfirmRows.Unmarshal(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
		if at := schemas.ConfirmRowDeadline(b); at != want.Deadline {
			t.Fatalf("due at %d, not %d", at, want.Deadline)
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
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, more := range map[string]string{
		"a field of a newer version":        "\x42\x01x",
		"a high field":                      "\x82\x01\x01x",
		"a field twice":                     "\x08\x02",
		"a disposition of a newer version":  "\x2a\x02\x38\x09",
		"a payment field of a newer one":    "\x2a\x02\x60\x01",
		"a zero that is written":            "\x2a\x02\x38\x00",
		"a number longer than it has to be": "\x2a\x03\x38\x81\x00",
		"a text that is not UTF-8":          "\x2a\x03\x0a\x01\xff",
		"another wire type":                 "\x2d\x00\x00\x00\x00",
		"a deadline that is not in front":   "\x79\x01\x00\x00\x00\x00\x00\x00\x00",
		"a hash of 0":                       "\x3a\x0d\x0a\x0b\x08\x01\x19" + zeros,
		"a hash that is cut off":            "\x3a\x05\x0a\x03\x19\x01\x01",
	} {
		if _, err := schemas.ConfirmRows.Decode(append(bytes.Clone(whole), more...)); err == nil {
			t.Errorf("it takes %s", name)
		}
	}
}

// TestRowDeadline: the deadline is found without reading the row, and a row that
// none was written for has none.
func TestRowDeadline(t *testing.T) {
	r := row()
	for _, at := range []int64{0, 1, 1_780_000_000_000_000} {
		r.Deadline = at
		b, err := schemas.ConfirmRows.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := schemas.ConfirmRowDeadline(b); got != at {
			t.Errorf("due at %d, not %d", got, at)
		}
	}
	for _, b := range []string{"", "\x79", "\x79\x01\x00\x00\x00\x00\x00\x00", "\x08\x01"} {
		if got := schemas.ConfirmRowDeadline([]byte(b)); got != 0 {
			t.Errorf("%x is due at %d", b, got)
		}
	}
	zero := append([]byte{0x79}, make([]byte, 8)...)
	if _, err := schemas.ConfirmRows.Decode(zero); err == nil {
		t.Error("it takes a deadline of 0")
	}
}

func BenchmarkRowDeadline(b *testing.B) {
	r := row()
	r.Deadline = 1_780_000_000_000_000
	wire, err := schemas.ConfirmRows.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		schemas.ConfirmRowDeadline(wire)
	}
}
