package schemas_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestInnerOfInventoryAndFraud: the inner topics say why what they hold is not
// valid, and want the keys that they are read by.
func TestInnerOfInventoryAndFraud(t *testing.T) {
	const placed = `{"order_placed":{"order_id":"o1","customer_id":"c1",` +
		`"total":{"minor":1,"currency":"EUR"}`
	long := strings.Repeat("x", schemas.MaxIDBytes+1)
	for _, c := range []struct {
		codec              interface{ Decode([]byte) (any, error) }
		value, key, reason string
	}{
		{schemas.StockCommands, `{}`, "", "holds no command"},
		{schemas.StockReplies, `{}`, "", "holds no event"},
		{schemas.CustomerOrders, `{"order_cancelled":{}}`, "", "holds no event"},
		{
			schemas.StockCommands, `{"reserve_stock":{"order_id":"o1","quantity":1}}`, "",
			"reserve_stock.product_id is missing",
		},
		{
			schemas.StockCommands, `{"ship_stock":{"product_id":"p1","quantity":1}}`, "",
			"ship_stock.order_id is missing",
		},
		{
			schemas.StockCommands, `{"release_stock":{"product_id":"p1","order_id":"o1"}}`, "",
			"release_stock.quantity is 0",
		},
		{
			schemas.StockReplies, `{"stock_line_refused":{"product_id":"p1","order_id":"o1",` +
				`"quantity":100000000001}}`, "", "quantity is 100000000001",
		},
		{
			schemas.StockReplies, `{"meta":{"id":"` + long + `"},"stock_line_reserved":{}}`, "",
			"meta.id has 201 bytes",
		},
		{
			schemas.CustomerOrders, placed + `,"lines":[{"product_id":"p1","quantity":1,` +
				`"price":{"minor":1,"currency":"EUR"}}]}}`, "", "lines: they are left out here",
		},
		{
			schemas.StockCommands, `{"reserve_stock":{"product_id":"p1","order_id":"o1",` +
				`"quantity":100000000000}}`, "p1", "",
		},
		{
			schemas.StockReplies,
			`{"stock_line_refused":{"product_id":"p1","order_id":"o1","quantity":2}}`, "o1", "",
		},
		{schemas.CustomerOrders, placed + `}}`, "c1", ""},
		{schemas.CustomerOrders, strings.Replace(placed, "c1", "", 1) + `}}`, "o1", ""},
	} {
		v, err := c.codec.Decode([]byte(c.value))
		if err != nil {
			t.Fatalf("Decode returned an error: %v", err)
		}
		bad, malformed := v.(schemas.Malformed)
		if malformed != (c.reason != "") || !strings.Contains(bad.Reason, c.reason) {
			t.Errorf("%s: %q, want %q", c.value, bad.Reason, c.reason)
		}
		if malformed {
			continue
		}
		if err := schemas.CheckKey(c.key, v); err != nil {
			t.Errorf("%s: %v", c.value, err)
		}
		if schemas.CheckKey("x1", v) == nil {
			t.Errorf("%s is taken under another key", c.value)
		}
	}
}

// TestPlainRows: rows are read as they were written by the version that introduced
// them, and refused if anything in them is not known here.
func TestPlainRows(t *testing.T) {
	for _, c := range []struct{ golden, text string }{
		{
			"080110011a02653220072a0265313208" + "0a02703110021801" + "32060a0270321001",
			`{"state":"RESERVING","ending":"CONFIRMED","ending_id":"e2","at_us":"7",` +
				`"placed_id":"e1","lines":[{"product_id":"p1","quantity":"2","answer":"GRANTED"},` +
				`{"product_id":"p2","quantity":"1"}]}`,
		},
		{"0803", `{"state":"SHIPPED"}`},
		{"", `{}`},
	} {
		row := read(t, schemas.InventoryRows, c.golden)
		show(t, schemas.InventoryRows, row, c.text)
	}
	show(t, schemas.StockRows, read(t, schemas.StockRows, "080a100718022003"),
		`{"on_hand":"10","reserved":"7","owed":"2","shipped":"3"}`)
	show(t, schemas.FraudRows,
		read(t, schemas.FraudRows, "0a130a026f3110b0091a0345555220072a03776879"),
		`{"entries":[{"order_id":"o1","minor":"1200","currency":"EUR","at_us":"7","reason":"why"}]}`)

	for _, bad := range []string{
		"08", "2801", "080a2801", // cut off, only a field that is not known, and one more
		"0a150a026f3110b0091a0345555220072a037768793001", // one within an entry
	} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := schemas.StockRows.Decode(b); err == nil {
			t.Errorf("%s is a row of stock: %v", bad, v)
		}
		if v, err := schemas.FraudRows.Decode(b); err == nil {
			t.Errorf("%s is a row of fraud: %v", bad, v)
		}
	}
	for _, bad := range []any{nil, (*tallyv1.StockRow)(nil), &tallyv1.FraudRow{}} {
		if _, err := schemas.StockRows.Encode(bad); err == nil {
			t.Errorf("%T was written as a row of stock", bad)
		}
	}
}

func read[T proto.Message](t *testing.T, c schemas.RowCodec[T], golden string) T {
	t.Helper()
	b, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	row, err := c.Unmarshal(b)
	if err != nil {
		t.Fatalf("%s: %v", golden, err)
	}
	again, err := c.Encode(row)
	if err != nil || hex.EncodeToString(again) != golden {
		t.Errorf("%s is written as %x today: %v", golden, again, err)
	}
	return row
}

func show[T proto.Message](t *testing.T, c schemas.RowCodec[T], row T, want string) {
	t.Helper()
	if text, err := c.JSON(row); err != nil || string(text) != want {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
}
