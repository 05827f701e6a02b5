package generate

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/cmd/tally/app/source"
)

// fingerprint is a hash over all that a generator makes, in its order.
func fingerprint(t *testing.T, o Options) (string, Counts) {
	t.Helper()
	g, err := New(o)
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

func bytesOf(t *testing.T, r source.Record) []byte {
	t.Helper()
	var m proto.Message = r.Order
	if r.Payment != nil {
		m = r.Payment
	}
	if r.Message != nil {
		m = r.Message
	}
	if r.Raw != nil {
		return r.Raw
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everything is a mix in which all that can happen happens.
func everything() Mix {
	return Mix{0.1, 0.1, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1}
}

func TestSameSeedSameRecords(t *testing.T) {
	o := Options{Orders: 2000, Seed: 3, Mix: everything()}
	first, made := fingerprint(t, o)
	again, _ := fingerprint(t, o)
	if first != again {
		t.Error("the same seed made other records")
	}
	o.Seed++
	if other, _ := fingerprint(t, o); other == first {
		t.Error("another seed made the same records")
	}
	sum := made.Orders + made.Payments + made.Duplicates + made.Invalid +
		made.Cancelled + made.Reversed
	if sum != made.Records {
		t.Errorf("%d records, their kinds sum up to %d: %+v", made.Records, sum, made)
	}
}

// TestCounts holds that the generator counts what it sends, and that payments
// overtake orders in both directions.
func TestCounts(t *testing.T) {
	g, err := New(Options{Orders: 5000, Seed: 1, Mix: DefaultMix()})
	if err != nil {
		t.Fatal(err)
	}
	orders, payments := map[string]int{}, map[string]int{}
	invalid, overtaken, minor := 0, 0, int64(0)
	for r := range g.Records() {
		switch {
		case r.Raw != nil:
			invalid++
		case r.Order != nil:
			orders[r.Order.GetOrderPlaced().OrderId]++
		default:
			p := r.Payment.GetPaymentReceived()
			if payments[p.PaymentId]++; payments[p.PaymentId] == 1 {
				minor += p.Amount.GetMinor()
			}
			if orders[p.OrderId] == 0 {
				overtaken++
			}
		}
	}
	made := g.Made()
	var want int64
	for _, m := range made.Minor {
		want += m
	}
	if len(orders) != made.Orders || len(payments) != made.Payments || invalid != made.Invalid ||
		minor != want {
		t.Errorf("got %d orders, %d payments, %d invalid, %d minor; counted %+v",
			len(orders), len(payments), invalid, minor, made)
	}
	if made.Invalid == 0 || made.Duplicates == 0 || made.Excess == 0 || made.Covered == made.Orders {
		t.Errorf("the default mix leaves something out: %+v", made)
	}
	if overtaken < len(payments)/50 || overtaken > len(payments)/2 {
		t.Errorf("%d of %d payments overtook their order", overtaken, len(payments))
	}
}

// TestPlain is the mix of the throughput runs: one payment for each order.
func TestPlain(t *testing.T) {
	_, made := fingerprint(t, Options{Orders: 1000, Seed: 9})
	if made.Records != 2000 || made.Payments != 1000 || made.Covered != 1000 {
		t.Errorf("%+v", made)
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{{Orders: -1}, {Mix: Mix{Excess: 2}}, {Mix: Mix{Split: -0.1}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
