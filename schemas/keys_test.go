package schemas_test

import (
	"testing"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A keyed is a record with its key, "k", and other ids in it.
type keyed struct {
	codec interface{ Decode([]byte) (any, error) }
	value string
}

const (
	order1 = `{"order_id":"k","customer_id":"c","total":{"minor":1,"currency":"EUR"}}`
	pay1   = `{"order_id":"k","payment_id":"p","amount":{"minor":1,"currency":"EUR"}}`
	eur1   = `{"minor":1,"currency":"EUR"}`
)

// keyeds has one of each event and each command.
var keyeds = []keyed{
	{schemas.Orders, `{"order_placed":` + order1 + `}`},
	{schemas.Orders, `{"order_cancelled":{"order_id":"k"}}`},
	{schemas.Orders, `{"order_rejected":{"order_id":"k"}}`},
	{schemas.Orders, `{"order_refused":{"order_id":"k","reason":"ID_TAKEN","command":"PlaceOrder"}}`},
	{schemas.Orders, `{"order_validated":{"order":` + order1 + `}}`},
	{schemas.Payments, `{"payment_received":` + pay1 + `}`},
	{schemas.Payments, `{"payment_reversed":{"order_id":"k","payment_id":"p"}}`},
	{schemas.Confirmations, `{"order_confirmed":{"order_id":"k","customer_id":"c",` +
		`"total":{"minor":0,"currency":"EUR"}}}`},
	{schemas.Exceptions, `{"payment_excess":{"order_id":"k","payment_id":"p","amount":` + eur1 +
		`,"excess":` + eur1 + `}}`},
	{schemas.Exceptions, `{"payment_mismatch":{"order_id":"k","payment_id":"p","amount":` + eur1 +
		`,"order_currency":"USD"}}`},
	{schemas.Exceptions, `{"payment_unmatched":{"order_id":"k","payment_id":"p",` +
		`"reason":"ORDER_UNKNOWN"}}`},
	{schemas.Exceptions, `{"confirmed_payment_reversed":{"order_id":"k","payment_id":"p",` +
		`"amount":` + eur1 + `,"was":"EXCESS"}}`},
	{schemas.Exceptions, `{"order_cancel_refused":{"order_id":"k"}}`},
	{schemas.Exceptions, `{"order_conflicted":{"first":` + order1 + `,"second":` + order1 + `}}`},
	{schemas.Exceptions, `{"payment_conflicted":{"first":` + pay1 + `,"second":` + pay1 + `}}`},
	{schemas.Exceptions, `{"order_expired":{"order_id":"k","customer_id":"c","total":` + eur1 +
		`,"due":"2026-05-04T12:00:00Z"}}`},
	{schemas.Exceptions, `{"order_withdrawn":{"order_id":"k"}}`},
	{schemas.Exceptions, `{"refund_owed":{"order_id":"k","payment_id":"p","amount":` + eur1 +
		`,"reason":"EXCESS"}}`},
	{schemas.OrderCommands, `{"place_order":` + order1 + `}`},
	{schemas.OrderCommands, `{"cancel_order":{"order_id":"k"}}`},
	{schemas.OrderChecks, `{"stock_reserved":{"order_id":"k"}}`},
	{schemas.OrderChecks, `{"stock_short":{"order_id":"k","product_ids":["p"]}}`},
	{schemas.OrderChecks, `{"fraud_cleared":{"order_id":"k"}}`},
	{schemas.OrderChecks, `{"fraud_suspected":{"order_id":"k"}}`},
	{schemas.OrderChecks, `{"details_accepted":{"order_id":"k"}}`},
	{schemas.OrderChecks, `{"details_refused":{"order_id":"k"}}`},
	{schemas.Corrections, `{"meta":{"id":"e"},"payment_voided":{"order_id":"k","payment_id":"p",` +
		`"reason":"r","by":"b"}}`},
	{schemas.Corrections, `{"meta":{"id":"e"},"payment_adjusted":{"order_id":"k","payment_id":"p",` +
		`"amount":` + eur1 + `,"reason":"r","by":"b","replaces":"q"}}`},
	{schemas.Notices, `{"confirmation_sent":{"order_id":"k","channel":"MAIL","attempts":1}}`},
	{schemas.Notices, `{"confirmation_bounced":{"order_id":"k","channel":"MAIL"}}`},
	{schemas.Notices, `{"confirmation_unresolved":{"order_id":"k","channel":"MAIL","attempts":1}}`},
	{schemas.Customers, `{"customer_updated":{"customer_id":"k"}}`},
	{schemas.Products, `{"product_updated":{"product_id":"k"}}`},
	{schemas.Stock, `{"stock_added":{"product_id":"k","quantity":1}}`},
	{schemas.Stock, `{"stock_counted":{"product_id":"k","quantity":0}}`},
}

// decoded returns what value holds, which must be valid.
func (k keyed) decoded(t *testing.T) any {
	t.Helper()
	msg, err := k.codec.Decode([]byte(k.value))
	if err != nil {
		t.Fatal(err)
	}
	if m, bad := msg.(schemas.Malformed); bad {
		t.Fatalf("%s: %v", k.value, m)
	}
	return msg
}

// TestCheckKey: the key is what the topic is about, for every event and every
// command, and nothing else passes for it.
func TestCheckKey(t *testing.T) {
	members := 0
	for _, e := range envelopes(t) {
		members += speech(e).Fields().Len()
	}
	if members != len(keyeds) {
		t.Errorf("%d members of envelopes, %d are tried", members, len(keyeds))
	}
	for _, k := range keyeds {
		msg := k.decoded(t)
		if err := schemas.CheckKey("k", msg); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"", "c", "p", "K", "k "} {
			if schemas.CheckKey(key, msg) == nil {
				t.Errorf("the key %q is taken for %v", key, msg)
			}
		}
	}
	if err := schemas.CheckKey("k", schemas.Malformed{}); err != nil {
		t.Errorf("what is no event has no key to check: %v", err)
	}
}

// TestCheckPaymentKey: payments can be keyed by payment; all others are keyed as
// they are.
func TestCheckPaymentKey(t *testing.T) {
	for _, k := range keyeds {
		msg, key := k.decoded(t), "k"
		if _, ok := msg.(*tallyv1.PaymentEvent); ok {
			key = "p"
		}
		if err := schemas.CheckPaymentKey(key, msg); err != nil {
			t.Error(err)
		}
		if schemas.CheckPaymentKey(key+"x", msg) == nil {
			t.Errorf("the key %qx is taken for %v", key, msg)
		}
	}
}
