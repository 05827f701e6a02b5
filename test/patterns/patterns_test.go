package patterns_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallystick/cmd/tally/app"
)

// TestEventNotification holds what thin events cost: lookup asks back for each of
// them, and waits while nobody answers. The same job on fat events asks nobody.
func TestEventNotification(t *testing.T) {
	lookup, confirm := way(t, "lookup", "plain"), way(t, "confirm", "plain")
	if lookup.Lookups < lookup.Records || confirm.Lookups != 0 {
		t.Errorf("look-ups: lookup %d, confirm %d, for %d records", lookup.Lookups, confirm.Lookups,
			lookup.Records)
	}
	down := way(t, "lookup", "outage")
	if down.Lookups <= down.Records {
		t.Errorf("while the order service was down, lookup asked %d times for %d records",
			down.Lookups, down.Records)
	}
	if c := way(t, "confirm", "outage"); c.Lost != 0 || c.Lookups != 0 || c.P50 >= down.P50 {
		t.Errorf("confirm noticed that the order service was down: %+v, lookup: %+v", c, down)
	}
}

// TestThreeWays holds what each way to do the job loses where.
func TestThreeWays(t *testing.T) {
	for _, scenario := range []string{"plain", "outage", "late", "restart"} {
		if r := way(t, "confirm", scenario); r.Lost+r.Doubled != 0 || r.Confirmed != r.Expected {
			t.Errorf("confirm: %+v", r)
		}
	}
	if r := way(t, "window", "plain"); r.Lost != 0 {
		t.Errorf("what comes in time is not joined by the window: %+v", r)
	}
	if r := way(t, "window", "late"); r.Lost == 0 {
		t.Errorf("what comes when the window has passed is joined: %+v", r)
	}
	if r := way(t, "lookup+cache", "late"); r.Lost == 0 {
		t.Errorf("the cache is never stale: %+v", r)
	}
}

// TestEventsAndCommands holds that a command can be refused, and its refusal is an
// event with the reason, while an event cannot: what does not fit is answered.
func TestEventsAndCommands(t *testing.T) {
	s := openShop(t)
	s.place(t, "asked", "ann", "tea:1:450")
	other := []string{"order", "place", "asked", "--customer", "bob", "--line", "tea:2:450", "--wait"}
	why := s.refused(t, other...)
	if !strings.Contains(why, "ID_TAKEN") {
		t.Errorf("refused because of %s", why)
	}
	o := s.show(t, "asked")
	commands, refusal := o.all("PlaceOrder"), o.one(t, "OrderRefused")
	if len(commands) != 2 || !slices.Contains(refusal.Causes, commands[1].ID) ||
		!strings.Contains(string(refusal.Value), "ID_TAKEN") {
		t.Errorf("commands %v, refusal %+v", commands, refusal)
	}
	s.pay(t, "double", "asked", 2*450)
	if o = s.has(t, "asked", "PaymentExcess"); len(o.all("OrderRefused")) != 1 {
		t.Errorf("a payment that is too much was refused: %v", o.kinds())
	}
	for _, topic := range s.graph(t).Topics {
		for _, kind := range topic.Kinds {
			asks := slices.Contains([]string{"PlaceOrder", "CancelOrder"}, kind.Name)
			if asks != strings.HasSuffix(topic.Name, "order-commands") {
				t.Errorf("%s is in %s", kind.Name, topic.Name)
			}
		}
	}
}

// TestHiddenChain holds that the way from a command to its last consequence can
// be told, and that each step of what happened is an edge of the map.
func TestHiddenChain(t *testing.T) {
	s := openShop(t)
	s.place(t, "chain", "ann", "tea:1:450")
	s.comes(t, "chain", "validated")
	s.pay(t, "pay-chain", "chain", 450)
	o := s.comes(t, "chain", "confirmed")
	byID := map[string]event{}
	for _, e := range o.Events {
		byID[e.ID] = e
	}
	g, seen := s.graph(t), map[string]bool{}
	var walk func(e event)
	walk = func(e event) {
		seen[e.Type] = true
		for _, id := range e.Causes {
			cause, ok := byID[id]
			if !ok { // it is in an inner topic
				continue
			}
			if !g.leads(cause.Topic, e.Topic) {
				t.Errorf("%s of %s caused %s in %s: no edge of the map", cause.Type, cause.Topic, e.Type,
					e.Topic)
			}
			walk(cause)
		}
	}
	walk(o.one(t, "OrderConfirmed"))
	for _, kind := range []string{
		"PlaceOrder", "OrderPlaced", "StockReserved", "FraudCleared", "DetailsAccepted",
		"OrderValidated", "PaymentReceived",
	} {
		if !seen[kind] {
			t.Errorf("no way from OrderConfirmed back to %s: %v", kind, seen)
		}
	}
	text := s.tally(t, "order", "show", "chain")
	if !strings.Contains(text, "order chain: confirmed") || !strings.Contains(text, "orders/") {
		t.Errorf("order show printed\n%s", text)
	}
}

// leads tells whether some processor reads the one topic and writes the other.
func (g graph) leads(from, to string) bool {
	for _, p := range g.Processors {
		if slices.Contains(p.Inputs, from) && slices.Contains(p.Outputs, to) {
			return true
		}
	}
	return false
}

// TestEventCarriedStateTransfer holds that what is known of a customer goes on
// with the order: neither the customers' owner nor the service that keeps their
// replica is there when the confirmation is said, and yet it says where to write.
func TestEventCarriedStateTransfer(t *testing.T) {
	s := openShop(t)
	for _, p := range s.graph(t).Processors {
		if p.Service != "details" && len(p.Lookups) > 0 {
			t.Errorf("%s looks up in %v", p.Name, p.Lookups)
		}
	}
	s.place(t, "carried", "ann", "tea:1:450")
	s.comes(t, "carried", "validated")
	s.end(t, "middle")
	s.pay(t, "pay-carried", "carried", 450)
	confirmed := s.comes(t, "carried", "confirmed").one(t, "OrderConfirmed")
	s.start(t, "middle", "details")
	if !strings.Contains(string(confirmed.Value), "ann@customers.example") {
		t.Errorf("OrderConfirmed does not say how to reach the customer: %s", confirmed.Value)
	}
	// The replica is still there, though nobody has said anything of customers again.
	s.place(t, "carried-2", "bob", "tea:1:450")
	if o := s.comes(t, "carried-2", "validated", "rejected"); o.State != "validated" {
		t.Errorf("with the replica of before the order is %s", o.State)
	}
}

// TestEventSourcing holds that the log is what counts: a worker whose disk is gone
// has the same rows again, and the log also says what was asked for and refused.
func TestEventSourcing(t *testing.T) {
	s := openShop(t)
	s.place(t, "sourced", "ann", "tea:2:450")
	s.pay(t, "pay-sourced", "sourced", 900)
	s.comes(t, "sourced", "confirmed")
	s.refused(t, "order", "place", "sourced", "--customer", "bob", "--line", "tea:7:1", "--wait")
	rows := func() (out []string) {
		for _, processor := range []string{"confirm", "validate"} {
			row := ""
			until(t, "a row of "+processor+" on disk", func() bool {
				code, out, _ := s.try(t, "table", "get", "sourced", "--processor", processor,
					"--worker", s.worker(t, "back").http, "-o", "json")
				var got struct{ Row json.RawMessage }
				if code == 0 {
					read(t, out, &got)
					row = string(got.Row)
				}
				return code == 0
			})
			out = append(out, row)
		}
		return out
	}
	before := rows()
	w := s.end(t, "back")
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	w = s.start(t, "back", w.services...)
	if after := rows(); !slices.Equal(before, after) {
		t.Errorf("rows were\n%v\nand are\n%v", before, after)
	}
	out := s.tally(t, "table", "verify", "--all", "--worker", w.http)
	if !strings.Contains(out, "ok: ") {
		t.Errorf("table verify printed\n%s", out)
	}
	asked := s.show(t, "sourced").all("PlaceOrder")
	if len(asked) != 2 || !strings.Contains(string(asked[1].Value), `"bob"`) {
		t.Errorf("what was asked for is not in the log: %+v", asked)
	}
}

// TestEventsAsTheSourceOfTruth holds that a correction is one more event: what was
// said stays as and where it was, and the sums balance before and after.
func TestEventsAsTheSourceOfTruth(t *testing.T) {
	s := openShop(t)
	s.place(t, "truth", "ann", "tea:1:450")
	s.pay(t, "pay-truth", "truth", 450)
	before := s.comes(t, "truth", "confirmed")
	s.audit(t)
	s.load(t, `{"paymentReversed":{"paymentId":"pay-truth","orderId":"truth","reason":"chargeback"}}`)
	after := s.has(t, "truth", "ConfirmedPaymentReversed")
	for _, was := range before.Events {
		if !slices.ContainsFunc(after.Events, func(is event) bool {
			return is.Topic == was.Topic && is.Offset == was.Offset && string(is.Value) == string(was.Value)
		}) {
			t.Errorf("%s at %s/%d@%d is no longer what it was", was.Type, was.Topic, was.Partition,
				was.Offset)
		}
	}
	said := after.one(t, "ConfirmedPaymentReversed")
	if !strings.Contains(string(said.Value), "chargeback") {
		t.Errorf("the reversal does not say why: %s", said.Value)
	}
	after.one(t, "OrderConfirmed")
	s.audit(t)
}

// TestCorrectionsAreEvents holds that what was booked wrongly is put right by events
// that say why and who said so, which the payment's own event outlives.
func TestCorrectionsAreEvents(t *testing.T) {
	s := openShop(t)
	s.place(t, "typo", "ann", "tea:2:450")
	s.pay(t, "pay-typo", "typo", 90)
	before := s.comes(t, "typo", "validated")
	s.has(t, "typo", "PaymentReceived")
	correct := []string{"correct", "typo", "--payment=pay-typo", "--amount=900", "--by=ann"}
	code, _, said := s.try(t, correct...)
	if code != app.ExitUsage || !strings.Contains(said, "a correction needs a reason") {
		t.Errorf("without a reason: exit code %d, %s", code, said)
	}
	s.tally(t, append(correct, "--reason=a digit was lost")...)
	after := s.comes(t, "typo", "confirmed")
	for _, was := range before.Events {
		if !slices.ContainsFunc(after.Events, func(is event) bool {
			return is.Topic == was.Topic && is.Offset == was.Offset && string(is.Value) == string(was.Value)
		}) {
			t.Errorf("%s is no longer what it was", was.Type)
		}
	}
	paid, void := after.one(t, "PaymentReceived"), after.one(t, "PaymentVoided")
	adjusted, confirmed := after.one(t, "PaymentAdjusted"), after.one(t, "OrderConfirmed")
	if !slices.Contains(void.Causes, paid.ID) || !slices.Contains(adjusted.Causes, void.ID) ||
		!slices.Contains(confirmed.Causes, adjusted.ID) {
		t.Errorf("%s, %s, %s, %s are no chain", paid.ID, void.Causes, adjusted.Causes, confirmed.Causes)
	}
	for _, e := range []event{void, adjusted} {
		if v := string(e.Value); !strings.Contains(v, "a digit was lost") || !strings.Contains(v, "ann") {
			t.Errorf("%s does not say why or who: %s", e.Type, e.Value)
		}
	}
	s.audit(t)
}

// TestCQRS holds that writing and reading are two models: commands change and
// answer nothing but whether they were taken, the views answer and change nothing,
// and who has waited for the answer sees what he wrote.
func TestCQRS(t *testing.T) {
	s := openShop(t)
	said := s.place(t, "split", "ann", "tea:1:450")
	o := s.show(t, "split") // at once
	command, placed := o.one(t, "PlaceOrder"), o.one(t, "OrderPlaced")
	if !strings.Contains(said, command.ID) || !slices.Contains(placed.Causes, command.ID) {
		t.Errorf("place said %s, and read was %+v, %+v", said, command, placed)
	}
	var row struct{ Row json.RawMessage }
	until(t, "the view has the order", func() bool {
		code, out, _ := s.try(t, "table", "get", "split", "--processor", "orders",
			"--worker", s.worker(t, "front").http, "-o", "json")
		if code == 0 {
			read(t, out, &row)
		}
		return code == 0
	})
	if len(row.Row) == 0 || strings.Contains(string(row.Row), "lines") {
		t.Errorf("the row is the command: %s", row.Row)
	}
	settled := s.comes(t, "split", "validated")
	for range 3 {
		if again := s.show(t, "split"); len(again.Events) != len(settled.Events) {
			t.Errorf("reading changed %v to %v", settled.kinds(), again.kinds())
		}
	}
	s.readOwnWrite(t)
	// The same command once more changes nothing, as the one behind it tells.
	s.place(t, "split", "ann", "tea:1:450")
	s.tally(t, "order", "cancel", "split", "--reason", "enough", "--wait")
	o = s.show(t, "split")
	o.one(t, "OrderPlaced")
	o.one(t, "OrderCancelled")
}

// readOwnWrite holds that what is written over HTTP is answered with where it is, not
// with what comes of it, and is found by its token in the model that is read.
func (s *shop) readOwnWrite(t *testing.T) {
	t.Helper()
	at := "http://" + s.worker(t, "back").http
	body := `{"orderId":"own","customerId":"ann","total":{"minor":450,"currency":"EUR"}}`
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/orders",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", "application/json")
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	where := out.Header.Get("Location")
	if out.StatusCode != http.StatusAccepted || !strings.HasPrefix(where, "/orders/own?after=") {
		t.Fatalf("the command was answered with %s, and is at %q", out.Status, where)
	}
	var view struct{ Order, State, Customer string }
	read(t, get(t, strings.TrimPrefix(at, "http://"), where), &view)
	if view.Order != "own" || view.Customer != "ann" || view.State == "" {
		t.Errorf("the view with the token is %+v", view)
	}
	until(t, "the view has gone on", func() bool {
		read(t, get(t, strings.TrimPrefix(at, "http://"), "/orders/own"), &view)
		return view.State == "validated"
	})
}

// A result is a line of tally bench ways.
type result struct {
	Way, Scenario                               string
	Records, Expected, Confirmed, Lost, Doubled int
	Lookups                                     int
	P50                                         float64 `json:"p50_ms"`
}

// ways compares them, once for all tests.
//
//nolint:gochecknoglobals // it takes seconds
var ways struct {
	sync.Once
	Results []result
}

func way(t *testing.T, name, scenario string) result {
	t.Helper()
	ways.Do(func() {
		args := []string{"bench", "ways", "--orders", "200", "--cache", "1m", "-o", "json"}
		read(t, new(shop).tally(t, args...), &ways)
	})
	i := slices.IndexFunc(ways.Results, func(r result) bool {
		return r.Way == name && r.Scenario == scenario
	})
	if i < 0 {
		t.Fatalf("no line of %s in %s", name, scenario)
	}
	return ways.Results[i]
}
