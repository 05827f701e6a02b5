package patterns_test

import (
	"slices"
	"testing"
)

// TestEventCollaboration holds that nobody runs the whole: each type of event has
// one writer, the services go on without one of them, and when it is back the
// order goes on from where it was.
func TestEventCollaboration(t *testing.T) {
	s := openShop(t)
	for _, topic := range s.graph(t).Topics {
		for _, kind := range topic.Kinds {
			if kind.Writer == "" {
				t.Errorf("nobody writes %s in %s", kind.Name, topic.Name)
			}
		}
	}
	s.end(t, "middle")
	s.place(t, "together", "ann", "tea:1:450")
	s.has(t, "together", "StockReserved")
	if o := s.has(t, "together", "FraudCleared"); o.State != "placed" {
		t.Errorf("without the word of details the order is %s", o.State)
	}
	s.start(t, "middle", "details")
	o := s.comes(t, "together", "validated")
	causes := o.one(t, "OrderValidated").Causes
	for _, kind := range []string{"StockReserved", "FraudCleared", "DetailsAccepted"} {
		if !slices.Contains(causes, o.one(t, kind).ID) {
			t.Errorf("OrderValidated does not follow from %s: %v", kind, causes)
		}
	}
}

// TestPipesAndChainedFunctions holds that services are put together by topics
// alone, one after the other, each in a worker of its own, and some not at all.
func TestPipesAndChainedFunctions(t *testing.T) {
	s := &shop{}
	s.found(t, "pipes-")
	t.Cleanup(s.close)
	s.load(t, `{"customerUpdated":{"customerId":"ann","email":"ann@customers.example"}}`,
		`{"productUpdated":{"productId":"tea"}}`, `{"stockCounted":{"productId":"tea","quantity":"9"}}`)
	s.pay(t, "pay-first", "piped", 450)
	s.start(t, "1", "orders")
	s.place(t, "piped", "ann", "tea:1:450")
	if o := s.show(t, "piped"); !slices.Equal(o.kinds(), []string{"PlaceOrder", "OrderPlaced"}) {
		t.Errorf("with orders alone: %v", o.kinds())
	}
	s.start(t, "2", "rekey")
	s.has(t, "piped", "PaymentReceived")
	s.start(t, "3", "details", "fraud")
	s.has(t, "piped", "DetailsAccepted")
	s.has(t, "piped", "FraudCleared")
	s.start(t, "4", "inventory")
	if o := s.has(t, "piped", "StockReserved"); o.State != "placed" {
		t.Errorf("before validate and confirm are there, the order is %s", o.State)
	}
	s.start(t, "5", "validate")
	s.comes(t, "piped", "validated")
	s.start(t, "6", "confirm")
	if o := s.comes(t, "piped", "confirmed"); len(o.all("OrderConfirmed")) != 1 {
		t.Errorf("the last pipe says %v", o.kinds())
	}
}
