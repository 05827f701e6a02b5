package schemas_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
)

// FuzzDecode: decoding is total, what it returns can be written in both forms,
// and what was written is read as it was.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"order_placed":{"order_id":"o1","total":{"minor":1,"currency":"EUR"}}}`,
		`{"payment_reversed":{"order_id":"o1","payment_id":"p1"}}`, `{"meta":{"id":"e1"}}`, `{`,
		`{"place_order":{"order_id":"o1","customer_id":"c1","total":{"minor":1,"currency":"EUR"},` +
			`"lines":[{"product_id":"p","quantity":1,"price":{"minor":1,"currency":"EUR"}}]}}`,
		`{"stock_counted":{"product_id":"p1","quantity":0}}`, `{"stock_reserved":{"order_id":"o"}}`,
		`{"customer_updated":{"customer_id":"c1"}}`, `{"product_updated":{"product_id":"p1"}}`,
		`{"meta":{"id":"c1"},"payment_voided":{"order_id":"o","payment_id":"p","reason":"r","by":"b"}}`,
		`{"meta":{"id":"c2"},"payment_adjusted":{"order_id":"o","payment_id":"p",` +
			`"amount":{"minor":0,"currency":"EUR"},"reason":"r","by":"b","replaces":"q"}}`,
		`{"confirmation_sent":{"order_id":"o1","channel":"MAIL","attempts":1}}`,
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
		survives(t, schemas.OrderCommands, b)
		survives(t, schemas.OrderChecks, b)
		survives(t, schemas.Customers, b)
		survives(t, schemas.Products, b)
		survives(t, schemas.Stock, b)
		survives(t, schemas.Notices, b)
		survives(t, schemas.Corrections, b)
		survives(t, schemas.StockCommands, b)
		survives(t, schemas.StockReplies, b)
		survives(t, schemas.CustomerOrders, b)
		survives(t, schemas.NotifyResults, b)
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
