package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// all takes everything that a sequence gives, up to its first error.
func all(seq func(func(Record, error) bool)) ([]Record, error) {
	var records []Record
	for r, err := range seq {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const mapping = `{"files": [
  {"name": "orders*.csv", "kind": "order", "fields": {
    "order_id": {"column": "id", "prefix": "o-"}, "customer_id": "customer",
    "total": {"from": "payments"}, "currency": {"constant": "USD"},
    "at": {"column": "day", "layout": "2006-01-02"}}},
  {"name": "payments*.csv", "kind": "payment", "fields": {
    "payment_id": "id", "order_id": {"column": "order", "prefix": "o-"}, "method": "how",
    "amount": {"column": "amount", "decimals": 2}, "currency": {"from": "order"},
    "at": {"from": "order"}}},
  {"name": "people.csv", "skip": true}
]}`

// TestCSV is the case that a mapping is made for: totals that are the sums of
// payments in another file, payments that have neither time nor currency.
func TestCSV(t *testing.T) {
	m, err := ParseMapping("mapping.json", []byte(mapping))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	orders := write(t, dir, "orders.csv",
		"id,customer,day\n1,7,2018-01-02\n2,8,2018-01-03\n3,,2018-01-04\n")
	payments := write(t, dir, "payments.csv",
		"\ufeffid,order,how,amount\n1,1,card,10.5\n2,1,,3\n3,2,card,0.01\n")
	people := write(t, dir, "people.csv", "nobody reads this\n")
	records, err := all(CSV([]string{orders, payments, people}, m))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		if o := r.Order.GetOrderPlaced(); o != nil {
			got = append(got, fmt.Sprintf("order %s of %s, %s %d, key %s, %s", o.OrderId, o.CustomerId,
				o.Total.Currency, o.Total.GetMinor(), r.Key, r.At.Format(time.DateOnly)))
		} else {
			p := r.Payment.GetPaymentReceived()
			got = append(got, fmt.Sprintf("payment %s for %s by %s, %s %d, %s", p.PaymentId, p.OrderId,
				p.Method, p.Amount.Currency, p.Amount.GetMinor(), r.At.Format(time.DateOnly)))
		}
	}
	want := []string{
		"order o-1 of 7, USD 1350, key o-1, 2018-01-02",
		"order o-2 of 8, USD 1, key o-2, 2018-01-03",
		"order o-3 of , USD 0, key o-3, 2018-01-04",
		"payment 1 for o-1 by card, USD 1050, 2018-01-02",
		"payment 2 for o-1 by , USD 300, 2018-01-02",
		"payment 3 for o-2 by card, USD 1, 2018-01-03",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCSVPlaces holds that whatever is wrong in a file is named by its place.
func TestCSVPlaces(t *testing.T) {
	m, err := ParseMapping("mapping.json", []byte(mapping))
	if err != nil {
		t.Fatal(err)
	}
	const orders = "id,customer,day\n1,7,2018-01-02\n"
	for _, c := range []struct{ name, orders, payments, want string }{
		{
			"no amount", orders, "id,order,how,amount\n1,1,card,5\n2,1,card,ten\n",
			`payments.csv:3:10: column "amount": "ten" is no amount`,
		},
		{
			"empty", orders, "id,order,how,amount\n1,,card,5\n",
			`payments.csv:2:3: column "order": is empty`,
		},
		{
			"negative", orders, "id,order,how,amount\n1,1,card,-5\n",
			`payments.csv:2:10: column "amount": "-5" is below zero`,
		},
		{
			"too precise", orders, "id,order,how,amount\n1,1,card,5.001\n",
			`payments.csv:2:10: column "amount": "5.001" has more than 2 digits behind the point, ` +
				`which is what the mapping's "decimals" says`,
		},
		{
			"too much", orders, "id,order,how,amount\n1,1,card,99999999999999999999\n",
			`payments.csv:2:10: column "amount": "99999999999999999999" is too much`,
		},
		{
			"ragged", orders, "id,order,how,amount\n1,1,card\n",
			`payments.csv:2:1: wrong number of fields`,
		},
		{
			"quote", orders, "id,order,how,amount\n1,1,\"card,5\n",
			"payments.csv:2:13: extraneous or missing \" in quoted-field",
		},
		{
			"no column", orders, "id,order,how,sum\n",
			`payments.csv:1:1: there is no column "amount", which the mapping takes amount from`,
		},
		{"no header", orders, "", `payments.csv:1:1: the file is empty, it needs a line of column names`},
		{
			"time", "id,customer,day\n1,7,yesterday\n", "id,order,how,amount\n",
			`orders.csv:2:5: column "day": "yesterday" is no time like "2006-01-02"`,
		},
		{
			"no order", orders, "id,order,how,amount\n1,9,card,5\n",
			`payments.csv:2:3: column "order": no file has the order "o-9"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := all(CSV([]string{
				write(t, dir, "orders.csv", c.orders), write(t, dir, "payments.csv", c.payments),
			}, m))
			if err == nil || strings.TrimPrefix(err.Error(), dir+"/") != c.want {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestMappingErrors holds that a mapping that cannot be meant is refused.
func TestMappingErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"files": [`, "m.json:1:12: the mapping ends too early"},
		{"{\n \"filez\": []}", `m.json:1:1: json: unknown field "filez"`},
		{`{"files": []}`, "m.json: the mapping names no files"},
		{
			`{"files": [{"name": "a.csv", "kind": "invoice"}]}`,
			`m.json:1:1: kind "invoice" is neither order nor payment`,
		},
		{
			`{"files": [{"name": "a.csv", "kind": "order", "fields": {"order_id": "id"}}]}`,
			`m.json: file "a.csv": an order needs the field "total"`,
		},
		{
			`{"files": [{"name": "a.csv", "kind": "order", "fields": {"amount": "id"}}]}`,
			`m.json: file "a.csv": an order has no field "amount", only order_id, total, currency, ` +
				`customer_id, at, due`,
		},
		{
			`{"files": [{"name": "a.csv", "kind": "order", "fields": {"total": {"from": "order"}}}]}`,
			`m.json: file "a.csv": field "total": cannot come from "order"`,
		},
	} {
		_, err := ParseMapping("m.json", []byte(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestJSONLines(t *testing.T) {
	path := write(t, t.TempDir(), "events.jsonl",
		`{"orderPlaced":{"orderId":"o-1","total":{"minor":"5","currency":"EUR"}}}`+"\n\n"+
			`{"meta":{"at":"2026-01-02T03:04:05Z"},"payment_received":{"payment_id":"p",`+
			`"order_id":"o-1","amount":{"minor":5,"currency":"EUR"}}}`+"\n")
	records, err := all(JSONLines(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || records[0].Kind != Order || records[1].Kind != Payment {
		t.Fatalf("got %+v", records)
	}
	if got, want := records[1].At, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); !got.Equal(want) {
		t.Errorf("at %v, want %v", got, want)
	}
	for _, c := range []struct{ line, want string }{
		{`{"orderPlaced":{]}`, ":1:17: invalid character ']' looking for beginning of object key string"},
		{`{"orderPlacd":{}}`, `:1:1: the line names no event such as "orderPlaced" or "paymentReceived"`},
		{`[]`, ":1:1: the line is no JSON object"},
		{`{"orderPlaced":{"total":{}}}`, ":1:1: the event has no order id, which is its key"},
		{`{"orderPlaced":{"orderId":"a","totl":{}}}`, `:1:31: unknown field "totl"`},
	} {
		bad := write(t, t.TempDir(), "bad.jsonl", c.line)
		_, err := all(JSONLines(bad))
		if err == nil || strings.TrimPrefix(err.Error(), bad) != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.line, err, c.want)
		}
	}
}
