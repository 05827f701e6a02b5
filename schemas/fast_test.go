package schemas

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"tallystick/schemas/tallyv1"
)

// samePlain fails if one of the plain readers takes b and reads it otherwise than
// the generated code does.
func samePlain(t interface{ Fatalf(string, ...any) }, b []byte) (taken bool) {
	if m := plainOrder(b); m != nil {
		want := new(tallyv1.OrderEvent)
		if err := proto.Unmarshal(b, want); err != nil || !proto.Equal(m, want) {
			t.Fatalf("%x is %v, read by hand %v, %v", b, want, m, err)
		}
		taken = true
	}
	if m := plainPayment(b); m != nil {
		want := new(tallyv1.PaymentEvent)
		if err := proto.Unmarshal(b, want); err != nil || !proto.Equal(m, want) {
			t.Fatalf("%x is %v, read by hand %v, %v", b, want, m, err)
		}
		taken = true
	}
	return taken
}

func drawMeta(t *rapid.T) *tallyv1.Meta {
	if rapid.Bool().Draw(t, "no meta") {
		return nil
	}
	return &tallyv1.Meta{
		Id:     rapid.StringN(0, 5, 20).Draw(t, "id"),
		Causes: rapid.SliceOfN(rapid.StringN(1, 5, 20), 0, 3).Draw(t, "causes"),
		At:     drawTime(t),
	}
}

func drawTime(t *rapid.T) *timestamppb.Timestamp {
	if rapid.Bool().Draw(t, "no time") {
		return nil
	}
	return &timestamppb.Timestamp{
		Seconds: rapid.Int64Range(0, maxSeconds).Draw(t, "seconds"),
		Nanos:   rapid.Int32Range(-1, 999_999_999).Draw(t, "nanos"),
	}
}

func drawMoney(t *rapid.T) *tallyv1.Money {
	return Money(rapid.Int64().Draw(t, "minor"), rapid.StringN(0, 4, 20).Draw(t, "currency"))
}

// TestPlain: the readers by hand take what the generated code writes, and read
// the same; a damaged record is read the same or left to the generated code.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 5, 20).Draw(t, "id")
		text := rapid.StringN(0, 5, 20).Draw(t, "text")
		m := rapid.SampledFrom([]proto.Message{
			&tallyv1.OrderEvent{
				Meta: drawMeta(t),
				Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
					OrderId: id, CustomerId: text, Total: drawMoney(t), Due: drawTime(t),
				}},
			},
			&tallyv1.PaymentEvent{
				Meta: drawMeta(t),
				Event: &tallyv1.PaymentEvent_PaymentReceived{
					PaymentReceived: &tallyv1.PaymentReceived{
						PaymentId: id, OrderId: id, Amount: drawMoney(t), Method: text,
					},
				},
			},
		}).Draw(t, "message")
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !samePlain(t, b) && !negativeNanos(m) {
			t.Fatalf("%v is not plain", m)
		}
		damaged := bytes.Clone(b)
		for range rapid.IntRange(1, 3).Draw(t, "damages") {
			damaged[rapid.IntRange(0, len(b)-1).Draw(t, "where")] ^= 1 <<
				rapid.IntRange(0, 7).Draw(t, "bit")
		}
		samePlain(t, damaged)
		samePlain(t, b[:rapid.IntRange(0, len(b)).Draw(t, "cut")])
	})
}

// TestPlainDamaged flips every bit of a whole order and a whole payment.
func TestPlainDamaged(t *testing.T) {
	meta := &tallyv1.Meta{
		Id: "e1", Causes: []string{"e2", "e3"}, At: &timestamppb.Timestamp{Seconds: 9, Nanos: 8},
	}
	for _, m := range []proto.Message{
		&tallyv1.OrderEvent{
			Meta: meta,
			Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
				OrderId: "o1", CustomerId: "c1", Total: Money(1200, "EUR"), Due: meta.At,
			}},
		},
		&tallyv1.PaymentEvent{
			Meta: meta,
			Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
				PaymentId: "p1", OrderId: "o1", Amount: Money(1200, "EUR"), Method: "card",
			}},
		},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !samePlain(t, b) {
			t.Fatalf("%v is not plain", m)
		}
		for i := range 8 * len(b) {
			damaged := bytes.Clone(b)
			damaged[i/8] ^= 1 << (i % 8)
			samePlain(t, damaged)
		}
	}
}

// negativeNanos tells whether a time in m is one that the readers leave alone.
func negativeNanos(m proto.Message) bool {
	o, _ := m.(*tallyv1.OrderEvent)
	p, _ := m.(*tallyv1.PaymentEvent)
	return o.GetMeta().GetAt().GetNanos() < 0 || o.GetOrderPlaced().GetDue().GetNanos() < 0 ||
		p.GetMeta().GetAt().GetNanos() < 0
}

// FuzzPlain lets the fuzzer look for bytes that are read otherwise.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{"\x1a\x04\x0a\x02o1", "\x12\x02\x0a\x00\x1a\x04\x0a\x02o1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) { samePlain(t, b) })
}

// TestConfirmationByHand: the bytes of a confirmation are those that the
// generated code writes.
func TestConfirmationByHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &tallyv1.OrderConfirmed{
			OrderId:    rapid.StringN(1, 5, 20).Draw(t, "order"),
			CustomerId: rapid.StringN(0, 5, 20).Draw(t, "customer"),
			Total: Money(rapid.Int64Range(0, MaxMinor).Draw(t, "total"),
				rapid.StringN(0, 4, 20).Draw(t, "currency")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "payments") {
			c.Payments = append(c.Payments, &tallyv1.OrderConfirmed_Share{
				PaymentId: rapid.StringN(1, 5, 20).Draw(t, "payment"),
				Minor:     rapid.Int64Range(1, MaxMinor).Draw(t, "minor"),
			})
		}
		if rapid.Bool().Draw(t, "has a contact") {
			c.Contact = &tallyv1.Contact{
				Name:  rapid.StringN(0, 5, 20).Draw(t, "name"),
				Email: rapid.StringN(0, 5, 20).Draw(t, "email"),
			}
		}
		m := &tallyv1.ConfirmationEvent{
			Meta:  drawMeta(t),
			Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: c},
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendConfirmation(m); !bytes.Equal(got, want) {
			t.Fatalf("%x, the generated code writes %x", got, want)
		}
	})
}
