package details_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/details"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestFollowsFromWhatIsKnown: the same order and the same knowledge give the same
// words; an order is refused exactly if something that it names is known to be
// gone, or is not known and has to be.
func TestFollowsFromWhatIsKnown(t *testing.T) { rapid.Check(t, follows) }

func follows(t *rapid.T) {
	rules := details.Rules{
		KnownCustomersOnly: rapid.Bool().Draw(t, "known customers"),
		KnownProductsOnly:  rapid.Bool().Draw(t, "known products"),
	}
	var customer *tallyv1.CustomerUpdated
	if rapid.Bool().Draw(t, "customer is known") {
		customer = &tallyv1.CustomerUpdated{
			CustomerId: "c1", Closed: rapid.Bool().Draw(t, "closed"),
			Email: rapid.SampledFrom([]string{"", "ann@example.org"}).Draw(t, "email"),
		}
	}
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 4).Draw(t, "lines")
	products := map[string]*tallyv1.ProductUpdated{}
	bad := customer.GetClosed() || customer == nil && rules.KnownCustomersOnly
	for _, id := range []string{"a", "b", "c"} {
		known := rapid.Bool().Draw(t, "product is known")
		gone := known && rapid.Bool().Draw(t, "discontinued")
		if known {
			products[id] = &tallyv1.ProductUpdated{ProductId: id, Discontinued: gone}
		}
		bad = bad || slices.Contains(names, id) && (gone || !known && rules.KnownProductsOnly)
	}
	o, _ := details.OfOrder(order("c1", names...), time.Unix(7, 0))
	said := details.Step(rules, o, customer, products)
	if _, err := schemas.OrderChecks.Marshal(said); err != nil {
		t.Fatal(err)
	}
	if again := details.Step(rules, o, customer, products); !proto.Equal(said, again) {
		t.Fatalf("said %v, then %v", said, again)
	}
	if refused := said.GetDetailsRefused() != nil; refused != bad {
		t.Fatalf("said %v", said)
	}
	if got := said.GetDetailsAccepted().GetContact().GetEmail(); !bad && got != customer.GetEmail() {
		t.Fatalf("contact %q of %v", got, customer)
	}
}

// TestLookedUp: what cannot be used counts as not there, and is named.
func TestLookedUp(t *testing.T) {
	ann := &tallyv1.CustomerUpdated{CustomerId: "c1"}
	event := &tallyv1.CustomerEvent{Event: &tallyv1.CustomerEvent_CustomerUpdated{
		CustomerUpdated: ann,
	}}
	for name, c := range map[string]struct {
		id           string
		v            any
		found, wrong bool
	}{
		"there":          {"c1", event, true, false},
		"not there":      {"c1", nil, false, false},
		"malformed":      {"c1", schemas.Malformed{Reason: "nonsense"}, false, true},
		"about another":  {"c2", event, false, true},
		"no event in it": {"c1", &tallyv1.CustomerEvent{}, false, true},
	} {
		got, err := details.Customer(c.id, c.v)
		if (got != nil) != c.found || (err != nil) != c.wrong {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	tea := &tallyv1.ProductEvent{Event: &tallyv1.ProductEvent_ProductUpdated{
		ProductUpdated: &tallyv1.ProductUpdated{ProductId: "p1"},
	}}
	if got, err := details.Product("p1", tea); got == nil || err != nil {
		t.Errorf("product: %v, %v", got, err)
	}
	if got, err := details.Product("p2", tea); got != nil || err == nil {
		t.Errorf("another product: %v, %v", got, err)
	}
	if got, err := details.Product("p1", nil); got != nil || err != nil {
		t.Errorf("no product: %v, %v", got, err)
	}
}
