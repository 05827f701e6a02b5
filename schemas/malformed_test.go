package schemas_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"tallystick/schemas"
)

// placed is an order in JSON with one field replaced.
func placed(field, by string) string {
	const good = `{"order_placed":{"order_id":"o1","customer_id":"c1",` +
		`"total":{"minor":1200,"currency":"EUR"},"due":"2026-05-04T12:00:00Z"}}`
	if !strings.Contains(good, field) {
		panic("no such field: " + field)
	}
	return strings.Replace(good, field, by, 1)
}

// TestMalformed: what is not a valid order says why it is not.
func TestMalformed(t *testing.T) {
	unhex := func(s string) string {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	long := strings.Repeat("x", schemas.MaxIDBytes+1)
	deep := strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100)
	for _, c := range []struct{ name, value, reason string }{
		{"empty", "", "the value is empty"},
		{"blank", " \n", "neither JSON nor Protobuf"},
		{"text", "hello", "neither JSON nor Protobuf"},
		{"random bytes", unhex("ff00d1c24e"), "neither JSON nor Protobuf"},
		{"too long", strings.Repeat("x", 2<<20), "the value has 2097152 bytes, the limit is 1048576"},
		{"cut off Protobuf", unhex("1a0a0a026f31"), "neither JSON nor Protobuf"},
		{"cut off JSON", `{"order_placed":{`, "bad JSON"},
		{"JSON and more", `{} {}`, "bad JSON"},
		{"JSON list", `[]`, "neither JSON nor Protobuf"},
		{"empty JSON", `{}`, "the envelope holds no event that is known here"},
		{"unknown JSON event", `{"order_lost":{}}`, "the envelope holds no event"},
		{"unknown event", unhex("72020a00"), "the envelope holds no event"},
		{"two events", `{"order_placed":{},"order_cancelled":{}}`, "oneof"},
		{
			"field twice", placed(`"customer_id":"c1"`, `"customer_id":"c1","customer_id":"c2"`),
			`duplicate field "customer_id"`,
		},
		{"deep JSON", `{"x":` + deep + `}`, "recursion depth"},
		{"no order id", placed(`"order_id":"o1",`, ``), "order_placed.order_id is missing"},
		{"empty order id", placed(`"o1"`, `""`), "order_placed.order_id is missing"},
		{"number as id", placed(`"o1"`, `7`), "bad JSON"},
		{"long order id", placed(`"o1"`, `"`+long+`"`), "order_id has 201 bytes, the limit is 200"},
		{"line end in id", placed(`"o1"`, `"o\n1"`), "order_id holds the control character 0x0a"},
		{"invalid UTF-8 in JSON", placed(`"o1"`, "\"o\xff\""), "invalid UTF-8"},
		{"invalid UTF-8", unhex("1a0d0a016f12016ffa0103ffff"), "neither JSON nor Protobuf"},
		{"invalid UTF-8 in Protobuf", unhex("1a100a02ff311a0a08b009120345555222"), "Protobuf"},
		{
			"no total", placed(`"total":{"minor":1200,"currency":"EUR"},`, ``),
			"order_placed.total is missing",
		},
		{"no amount", placed(`"minor":1200,`, ``), "order_placed.total.minor is missing"},
		{"misspelled amount", placed(`"minor"`, `"minr"`), "order_placed.total.minor is missing"},
		{"negative", placed(`1200`, `-1`), "total.minor is -1, it must not be negative"},
		{"too much", placed(`1200`, `1000000000000001`), "the limit is 1000000000000000"},
		{"overflow", placed(`1200`, `9223372036854775808`), "bad JSON"},
		{"fraction", placed(`1200`, `12.5`), "bad JSON"},
		{"no currency", placed(`,"currency":"EUR"`, ``), "total.currency is missing"},
		{"unknown currency", placed(`EUR`, `XYZ`), `"XYZ" is not an active ISO 4217 code`},
		{"small currency", placed(`EUR`, `eur`), `"eur" is not an active ISO 4217 code`},
		{"no time", placed(`2026-05-04T12:00:00Z`, `tomorrow`), "bad JSON"},
		{"before 1970", placed(`2026`, `1926`), "order_placed.due is not a time"},
		{"long event id", placed(`{"order`, `{"meta":{"id":"`+long+`"},"order`), "meta.id has 201"},
		{"long reason", `{"order_cancelled":{"order_id":"o1","reason":"` +
			strings.Repeat("x", 1001) + `"}}`, "order_cancelled.reason has 1001 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := schemas.Orders.Decode([]byte(c.value))
			if err != nil {
				t.Fatal("Decode returned an error: Goka would stop")
			}
			m, ok := v.(schemas.Malformed)
			if !ok {
				t.Fatalf("it was taken for %v", v)
			}
			if !strings.Contains(m.Reason, c.reason) {
				t.Errorf("reason %q, want %q", m.Reason, c.reason)
			}
			if string(m.Bytes) != c.value {
				t.Errorf("Malformed lost the bytes")
			}
			if _, err := schemas.Orders.Unmarshal([]byte(c.value)); err == nil {
				t.Errorf("Unmarshal takes it")
			}
		})
	}
}

// TestLenient: what is unusual and still clear is taken.
func TestLenient(t *testing.T) {
	for name, value := range map[string]string{
		"as it is":           placed(`o1`, `o1`),
		"blanks first":       " \r\n\t" + placed(`o1`, `o1`),
		"unknown field":      placed(`"order_id"`, `"colour":"red","order_id"`),
		"unknown object":     placed(`"order_id"`, `"x":{"y":[1,{"z":null}]},"order_id"`),
		"lower camel case":   placed(`order_id`, `orderId`),
		"amount as text":     placed(`1200`, `"1200"`),
		"amount of 0":        placed(`1200`, `0`),
		"the limit":          placed(`1200`, `1000000000000000`),
		"no customer":        placed(`"customer_id":"c1",`, ``),
		"no due":             placed(`,"due":"2026-05-04T12:00:00Z"`, ``),
		"never due":          placed(`2026-05-04T12:00:00Z`, `9999-12-31T23:59:59Z`),
		"null":               placed(`"2026-05-04T12:00:00Z"`, `null`),
		"other alphabets":    placed(`o1`, `заказ-1`),
		"a time zone":        placed(`12:00:00Z`, `12:00:00+02:00`),
		"a cancel":           `{"order_cancelled":{"order_id":"o1"}}`,
		"a rejection":        `{"orderRejected":{"orderId":"o1","reason":"r"}}`,
		"a meta without id":  placed(`{"order`, `{"meta":{},"order`),
		"the longest order":  placed(`"o1"`, `"`+strings.Repeat("x", schemas.MaxIDBytes)+`"`),
		"nested, not deeply": placed(`"order_id"`, `"x":[[[[[[[[]]]]]]]],"order_id"`),
	} {
		if _, err := schemas.Orders.Unmarshal([]byte(value)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMarshalRefuses: a codec does not write what it would not read.
func TestMarshalRefuses(t *testing.T) {
	bad := order()
	*bad.GetOrderPlaced().Total.Minor = -1
	if _, err := schemas.Orders.Marshal(bad); err == nil {
		t.Error("Marshal wrote a negative amount")
	}
	if _, err := schemas.Orders.Encode(payment()); err == nil {
		t.Error("the codec of orders wrote a payment")
	}
	if _, err := schemas.Orders.Encode(nil); err == nil {
		t.Error("the codec of orders wrote nothing")
	}
	if _, err := schemas.ConfirmRows.Encode(order()); err == nil {
		t.Error("the codec of rows wrote an order")
	}
}

// TestEventID: ids are the same for the same and differ for others, for ever.
func TestEventID(t *testing.T) {
	const want = "e0bc18074662190a06b3b2eb7e4f45b5"
	if got := schemas.EventID("OrderConfirmed", "o1"); got != want {
		t.Errorf("the id changed: %s, want %s", got, want)
	}
	seen := map[string]bool{}
	for _, parts := range [][]string{
		{"a", "bc"},
		{"ab", "c"},
		{"abc"},
		{"a", "b", "c"},
		{"a", "bc", ""},
		{"", "abc"},
		{strings.Repeat("x", 1000)},
		{strings.Repeat("x", 1001)},
	} {
		id := schemas.EventID(parts[0], parts[1:]...)
		if seen[id] {
			t.Errorf("%q has the id of another", parts)
		}
		seen[id] = true
	}
}
