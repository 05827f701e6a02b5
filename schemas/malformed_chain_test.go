package schemas_test

import (
	"strings"
	"testing"

	"tallystick/schemas"
)

// placing is a command in JSON with one part replaced.
func placing(part, by string) string {
	const good = `{"place_order":{"order_id":"o1","customer_id":"c1",` +
		`"total":{"minor":1200,"currency":"EUR"},"lines":[{"product_id":"tea","quantity":2,` +
		`"price":{"minor":600,"currency":"EUR"}}]}}`
	if !strings.Contains(good, part) {
		panic("no such part: " + part)
	}
	return strings.Replace(good, part, by, 1)
}

// lines returns n lines of an order in JSON.
func lines(n int) string {
	const line = `,{"product_id":"tea","quantity":1,"price":{"minor":1,"currency":"EUR"}}`
	return strings.Repeat(line, n)[1:]
}

// aLine is the line in placing.
const aLine = `{"product_id":"tea","quantity":2,"price":{"minor":600,"currency":"EUR"}}`

// A wrong is a value of a topic, and what is wrong with it.
type wrong struct {
	codec         interface{ Decode([]byte) (any, error) }
	value, reason string
}

// TestMalformedCommands: what is not a valid command says why it is not.
func TestMalformedCommands(t *testing.T) {
	long := strings.Repeat("x", schemas.MaxIDBytes+1)
	c := schemas.OrderCommands
	for _, w := range []wrong{
		{c, `{}`, "the envelope holds no command that is known here"},
		{c, `{"order_placed":{"order_id":"o1"}}`, "holds no command"},
		{c, `{"place_order":{},"cancel_order":{}}`, "oneof"},
		{c, `{"cancel_order":{}}`, "cancel_order.order_id is missing"},
		{c, `{"cancel_order":{"order_id":"o1","reason":"a\nb"}}`, "reason holds the control"},
		{c, `{"meta":{"id":"` + long + `"},"cancel_order":{"order_id":"o1"}}`, "meta.id has 201"},
		{c, placing(`"order_id":"o1",`, ``), "place_order.order_id is missing"},
		{c, placing(`"customer_id":"c1",`, ``), "place_order.customer_id is missing"},
		{c, placing(`"c1"`, `"`+long+`"`), "customer_id has 201 bytes"},
		{c, placing(`"minor":1200,`, ``), "place_order.total.minor is missing"},
		{c, placing(`"lines"`, `"due":"1926-05-04T12:00:00Z","lines"`), "due is not a time"},
		{c, placing(`"product_id":"tea",`, ``), "place_order.lines.product_id is missing"},
		{c, placing(`"tea"`, `"`+long+`"`), "lines.product_id has 201 bytes"},
		{c, placing(`"quantity":2,`, ``), "lines.quantity is 0, it is between 1 and 1000000000"},
		{c, placing(`"quantity":2,`, `"quantity":-2,`), "lines.quantity is -2"},
		{c, placing(`"quantity":2,`, `"quantity":1000000001,`), "lines.quantity is 1000000001"},
		{c, placing(`,"price":{"minor":600,"currency":"EUR"}`, ``), "lines.price is missing"},
		{c, placing(`600,"currency":"EUR"`, `600`), "lines.price.currency is missing"},
		{c, placing(`600`, `-600`), "lines.price.minor is -600"},
		{
			c, placing(`600`, `500000000000001`),
			"lines: 2 times 500000000000001 is above the limit of 1000000000000000",
		},
		{c, placing(aLine, lines(101)), "lines: 101 of them, the limit is 100"},
		{c, placing(aLine, `null`), "bad JSON"},
	} {
		w.refused(t)
	}
}

// TestMalformedChain: what is not valid on the topics around the join says why.
func TestMalformedChain(t *testing.T) {
	long := strings.Repeat("x", 1001)
	o, x, k := schemas.Orders, schemas.Exceptions, schemas.OrderChecks
	const refused = `{"order_refused":{"order_id":"o1","reason":"ID_TAKEN","command":"PlaceOrder"`
	const told = `{"confirmation_sent":{"order_id":"o1","channel":"MAIL","attempts":`
	const expired = `{"order_expired":{"order_id":"o1","total":` + eur1
	const customer = `{"customer_updated":{"customer_id":"c",`
	const due = `,"due":"2026-05-04T12:00:00Z"`
	refund := func(minor, reason string) string {
		return `{"refund_owed":{"order_id":"o","payment_id":"p","amount":{"minor":` + minor +
			`,"currency":"EUR"}` + reason + `}}`
	}
	for _, w := range []wrong{
		{o, placed(`"due"`, `"lines":[{}],"due"`), "order_placed.lines.product_id is missing"},
		{o, `{"order_refused":{}}`, "order_refused.order_id is missing"},
		{o, `{"order_refused":{"order_id":"o1","command":"c"}}`, "reason is missing"},
		{o, `{"order_refused":{"order_id":"o1","reason":1}}`, "command is missing"},
		{o, refused + `,"note":"` + long + `"}}`, "order_refused.note has 1001 bytes"},
		{o, strings.Replace(refused, "PlaceOrder", long, 1) + `}}`, "command has 1001 bytes"},
		{o, `{"order_validated":{}}`, "order_validated.order is missing"},
		{o, `{"order_validated":{"order":{}}}`, "order_validated.order.order_id is missing"},
		{
			o, `{"order_validated":{"order":` + order1 + `,"contact":{"name":"` + long + `"}}}`,
			"contact.name has 1001 bytes, the limit is 500",
		},
		{
			o, `{"order_validated":{"order":` + order1 + `,"contact":{"email":"` + long + `"}}}`,
			"contact.email has 1001 bytes, the limit is 254",
		},
		{
			schemas.Confirmations, `{"order_confirmed":{"order_id":"o","total":{"minor":0,` +
				`"currency":"EUR"},"contact":{"name":"a\u0000"}}}`, "contact.name holds the control",
		},
		{x, `{"order_expired":{}}`, "order_expired.order_id is missing"},
		{x, expired + `}}`, "order_expired.due is missing"},
		{x, `{"order_expired":{"order_id":"o1"` + due + `}}`, "total is missing"},
		{x, expired + due + `,"returns":[{"payment_id":"p"}]}}`, "returns.minor is 0"},
		{x, expired + due + `,"returns":[{"minor":1}]}}`, "returns.payment_id is missing"},
		{x, `{"order_withdrawn":{}}`, "order_withdrawn.order_id is missing"},
		{x, `{"refund_owed":{"order_id":"o"}}`, "refund_owed.payment_id is missing"},
		{x, refund("0", `,"reason":"EXCESS"`), "amount.minor is 0"},
		{x, refund("1", ``), "reason is missing"},
		{k, `{}`, "holds no event"},
		{k, `{"stock_reserved":{}}`, "stock_reserved.order_id is missing"},
		{k, `{"stock_short":{"order_id":"o1","product_ids":[""]}}`, "product_ids is missing"},
		{
			k, `{"stock_short":{"order_id":"o","product_ids":["p"` + strings.Repeat(`,"p"`, 100) +
				`]}}`, "product_ids: 101 of them, the limit is 100",
		},
		{k, `{"fraud_cleared":{}}`, "fraud_cleared.order_id is missing"},
		{k, `{"fraud_suspected":{"order_id":"o","reason":"` + long + `"}}`, "reason has 1001"},
		{k, `{"details_accepted":{"contact":{}}}`, "details_accepted.order_id is missing"},
		{k, `{"details_refused":{}}`, "details_refused.order_id is missing"},
		{schemas.Customers, `{"customer_updated":{"name":"Ann"}}`, "customer_id is missing"},
		{schemas.Customers, customer + `"name":"` + long + `"}}`, "name has"},
		{schemas.Customers, customer + `"email":"` + long + `"}}`, "email has"},
		{schemas.Customers, `{"product_updated":{"product_id":"p"}}`, "holds no event"},
		{schemas.Products, `{"product_updated":{}}`, "product_updated.product_id is missing"},
		{schemas.Products, `{"product_updated":{"product_id":"p","name":"a\tb"}}`, "name holds"},
		{schemas.Stock, `{"stock_added":{"product_id":"p"}}`, "stock_added.quantity is 0"},
		{schemas.Stock, `{"stock_added":{"quantity":1}}`, "stock_added.product_id is missing"},
		{schemas.Stock, `{"stock_counted":{"product_id":"p"}}`, "stock_counted.quantity is missing"},
		{schemas.Stock, `{"stock_counted":{"product_id":"p","quantity":-1}}`, "quantity is -1"},
		{schemas.Stock, `{"stock_counted":{"product_id":"p","quantity":1000000001}}`, "quantity is 1000"},
		{schemas.Notices, told + `0}}`, "attempts is 0, it is between 1 and 10000"},
		{schemas.Notices, told + `10001}}`, "attempts is 10001"},
		{schemas.Notices, `{"confirmation_sent":{"order_id":"o1"}}`, "channel is missing"},
		{schemas.Notices, `{"confirmation_bounced":{"channel":1}}`, "order_id is missing"},
		{
			schemas.Notices, `{"confirmation_unresolved":{"order_id":"o","channel":1}}`,
			"confirmation_unresolved.attempts is 0",
		},
	} {
		w.refused(t)
	}
}

// refused fails unless the value decodes to Malformed for that reason.
func (w wrong) refused(t *testing.T) {
	t.Helper()
	v, err := w.codec.Decode([]byte(w.value))
	if err != nil {
		t.Fatal("Decode returned an error: Goka would stop")
	}
	m, ok := v.(schemas.Malformed)
	if !ok {
		t.Errorf("%.200s is taken for %v", w.value, v)
	} else if !strings.Contains(m.Reason, w.reason) {
		t.Errorf("%.200s: %q, want %q", w.value, m.Reason, w.reason)
	}
}

// TestLenientChain: limits are taken, and so is what may be left out.
func TestLenientChain(t *testing.T) {
	for _, k := range []keyed{
		{schemas.OrderCommands, placing(`600`, `500000000000000`)},
		{schemas.OrderCommands, placing(`600`, `0`)},
		{schemas.OrderCommands, placing(`"quantity":2`, `"quantity":1000000000`)},
		{schemas.OrderCommands, placing(aLine, lines(100))},
		{schemas.OrderCommands, placing(`[`+aLine+`]`, `[]`)},
		// Whether it adds up is not for the schema to say.
		{schemas.OrderCommands, placing(`1200`, `7`)},
		{schemas.OrderCommands, placing(`600,"currency":"EUR"`, `600,"currency":"USD"`)},
		{schemas.Orders, `{"order_validated":{"order":` + order1 + `,"contact":{}}}`},
		{schemas.Stock, `{"stock_counted":{"product_id":"p","quantity":1000000000}}`},
		{schemas.Notices, `{"confirmation_bounced":{"order_id":"o","channel":2,"attempts":10000}}`},
	} {
		k.decoded(t)
	}
}
