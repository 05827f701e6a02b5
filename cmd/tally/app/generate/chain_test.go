package generate

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"tallystick/cmd/tally/app/source"
	"tallystick/schemas/tallyv1"
)

// chainPrint is a hash over all that a generator of the chain makes.
func chainPrint(t *testing.T, o ChainOptions) (string, ChainCounts) {
	t.Helper()
	g, err := NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for r := range g.Records() {
		fmt.Fprintf(h, "%d %s %v\n", r.Kind, r.Key, r.At.UnixNano())
		h.Write(bytesOf(t, r))
	}
	return fmt.Sprintf("%x", h.Sum(nil)), g.Made()
}

func TestChainSameSeedSameRecords(t *testing.T) {
	o := ChainOptions{Orders: 1000, Seed: 3, Mix: DefaultChainMix()}
	first, _ := chainPrint(t, o)
	if again, _ := chainPrint(t, o); again != first {
		t.Error("the same seed made other records")
	}
	o.Seed++
	if other, _ := chainPrint(t, o); other == first {
		t.Error("another seed made the same records")
	}
}

// TestChainHasEverything holds that the default mix leaves out nothing, that the
// keys are those of the topics, and that time passes for everybody at the end.
func TestChainHasEverything(t *testing.T) {
	g, err := NewChain(ChainOptions{Orders: 1000, Seed: 1, Tail: true, Mix: DefaultChainMix()})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[source.Kind]int{}
	payments := map[string]bool{}
	var due time.Time
	n, minor := 0, int64(0)
	for r := range g.Records() {
		n++
		kinds[r.Kind]++
		if p := r.Payment.GetPaymentReceived(); p != nil {
			if string(r.Key) != p.PaymentId {
				t.Fatalf("payment %s has the key %s", p.PaymentId, r.Key)
			}
			if !payments[p.PaymentId] {
				minor += p.Amount.GetMinor()
			}
			payments[p.PaymentId] = true
		}
		if c, ok := r.Message.(*tallyv1.OrderCommand); ok {
			if o := c.GetPlaceOrder(); o != nil && kinds[source.Command] <= 900 {
				due = o.Due.AsTime()
			}
		}
	}
	made := g.Made()
	var sum int64
	for _, m := range made.Minor {
		sum += m
	}
	if n != made.Records || len(payments) != made.Payments || minor != sum {
		t.Errorf("got %d records, %d payments, %d minor; counted %+v", n, len(payments), minor, made)
	}
	for k, want := range map[source.Kind]int{
		source.Customer: made.Customers, source.Product: made.Products, source.Stock: made.Products,
	} {
		if kinds[k] != want {
			t.Errorf("%d records of %s, want %d", kinds[k], k, want)
		}
	}
	for name, n := range map[string]int{
		"paid": made.Paid, "unpaid": made.Unpaid, "partial": made.Partial, "late": made.Late,
		"cancelled": made.Cancelled, "refused": made.Refused, "closed": made.Closed,
		"discontinued": made.Discontinued, "short": made.Short, "suspicious": made.Suspicious,
		"pending": made.Pending, "duplicates": made.Duplicates, "invalid": made.Invalid,
	} {
		if n == 0 {
			t.Errorf("there is none %s: %+v", name, made)
		}
	}
	if !g.placed(1000 - g.tail()).After(due.Add(meanwhile)) {
		t.Errorf("the last order of all others is due at %v, the tail begins at %v", due,
			g.placed(1000-g.tail()))
	}
}

func TestChainValidate(t *testing.T) {
	for _, o := range []ChainOptions{
		{Orders: -1},
		{Due: time.Second},
		{Mix: ChainMix{Unpaid: 0.6, Late: 0.6}},
		{Mix: ChainMix{Unpaid: -0.1}},
		{Mix: ChainMix{Split: 2}},
	} {
		if _, err := NewChain(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
