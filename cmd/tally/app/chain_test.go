package app

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
)

// TestDemoChain holds that the demo of the chain ends with every disposition
// present, everybody told once, and an audit that balances.
func TestDemoChain(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	out, _ := tally(t, ExitOK, "demo", "-o", "json", "--orders", "600", "--seed", "4")
	var d demonstratedChain
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if d.Audit != audit.OK || d.Unprocessed != 0 || d.InFlight != 0 {
		t.Errorf("audit: %v", d.Differences)
	}
	for _, outcome := range []string{
		"confirmed", "pending", "expired", "cancelled", "rejected", "refused", "duplicate", "late",
		"unmatched", "mismatched", "excess", "reversed", "invalid",
	} {
		if d.Outcomes[outcome] == 0 {
			t.Errorf("none is %s: %v", outcome, d.Outcomes)
		}
	}
	if n := d.Ends[endConfirmed]; int64(d.Received.Webhooks) != n || d.Received.Twice != 0 ||
		int64(d.Received.Mails+d.Received.Bounced) != n {
		t.Errorf("%d are confirmed, received was %+v", n, d.Received)
	}
	if d.Received.Bounced == 0 || d.Received.Deferred == 0 {
		t.Errorf("the receivers took everything at once: %+v", d.Received)
	}
	var ended int64
	for _, n := range d.Ends {
		ended += n
	}
	if want := int64(600 - d.Made.Pending); ended != want {
		t.Errorf("%d orders ended, want %d: %v", ended, want, d.Ends)
	}
	rejected := d.Made.Closed + d.Made.Discontinued + d.Made.Suspicious
	if d.Ends[endRefused] != int64(d.Made.Refused) || d.Ends[endRejected] < int64(rejected) {
		t.Errorf("ends %v, made %+v", d.Ends, d.Made)
	}
}

// TestDemoChainTells looks at what people see.
func TestDemoChainTells(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	out, _ := tally(t, ExitOK, "demo", "--orders", "100")
	for _, want := range []string{
		"before the first order: 25 customers", "11 processors at work", "OrderValidated ",
		"every order has come to its end but 2 that can still be paid, ",
		"outside: ", "OrderConfirmed ", "audit: ok",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// chainWorker runs some services of the chain beside the test.
func chainWorker(t *testing.T, at, name string, args ...string) (Serving, func()) {
	t.Helper()
	return aWorker(t, at, name, append(args, "--chain")...)
}

// aWorker runs some services beside the test.
func aWorker(t *testing.T, at, name string, args ...string) (Serving, func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := newCommand()
	serving, ended := make(chan Serving, 1), make(chan int, 1)
	c.Ready = func(s Serving) { serving <- s }
	dir := filepath.Join(t.TempDir(), name)
	line := append([]string{"run", at, "--instance", name, "--state-dir", dir}, args...)
	go func() { ended <- c.Run(ctx, line) }()
	s := await(t, serving, ended, c)
	end := func() {
		stop()
		if code := <-ended; code != ExitOK {
			t.Errorf("%s: exit %d\n%s", name, code, &c.err)
		}
		ended <- ExitOK
	}
	t.Cleanup(end)
	waitFor(t, func() bool { return fetch(t, s.HTTP, "/readyz") == "200 ok" })
	return s, end
}

// TestChain is what a shop does with the chain, its services in two processes:
// ask for orders, be refused, pay, look.
func TestChain(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "3")
	tally(t, ExitOK, "topics", "check", at, "--chain")
	one, _ := chainWorker(t, at, "one", "rekey", "orders", "inventory", "fraud", "--interval=20ms")
	two, _ := chainWorker(t, at, "two", "details", "validate", "confirm", "notify", "views",
		"--interval=20ms")
	known := filepath.Join(t.TempDir(), "known.jsonl")
	write(t, known, `{"customerUpdated":{"customerId":"ann","email":"ann@customers.example"}}
{"productUpdated":{"productId":"tea"}}
{"stockCounted":{"productId":"tea","quantity":"5"}}
`)
	tally(t, ExitOK, "load", at, "--chain", known)
	place := []string{
		"order", "place", "o1", at, "--chain", "--customer=ann", "--line=tea:2:450", "--wait",
	}
	out, _ := tally(t, ExitOK, place...)
	if !strings.Contains(out, "order o1: command ") || !strings.Contains(out, "OrderPlaced") {
		t.Errorf("place printed\n%s", out)
	}
	tally(t, ExitOK, place...) // again: nothing changes, and the answer is the same
	_, said := tally(t, ExitError, "order", "place", "o1", at, "--chain", "--customer=bob",
		"--line=tea:1:450", "--wait")
	if !strings.Contains(said, "order o1: PlaceOrder was refused: ID_TAKEN") {
		t.Errorf("a taken id: %s", said)
	}
	_, said = tally(t, ExitError, "order", "place", at, "--chain", "--customer=ann",
		"--line=tea:1:450", "--total=9", "--wait")
	if !strings.Contains(said, "INCONSISTENT") {
		t.Errorf("a total that is none: %s", said)
	}
	_, said = tally(t, ExitError, "order", "cancel", "nobody", at, "--chain", "--wait")
	if !strings.Contains(said, "ORDER_UNKNOWN") {
		t.Errorf("cancel of nothing: %s", said)
	}
	paid := filepath.Join(t.TempDir(), "paid.jsonl")
	write(t, paid, `{"paymentReceived":{"paymentId":"p1","orderId":"o1","amount":`+
		`{"minor":"900","currency":"EUR"}}}`+"\n")
	tally(t, ExitOK, "load", at, "--chain", paid)
	for _, verb := range [][]string{
		{"explain", "o1"},
		{"state", "o1"},
		{"whatif"},
		{"audit"},
		{"order", "show", "o1"},
		{"load", paid},
		{"run"},
		{"correct", "o1", "--void=p1", "--reason=none"},
	} {
		_, said := tally(t, ExitUsage, append(verb, at)...)
		if !strings.Contains(said, "add --chain") {
			t.Errorf("%s without --chain: %s", verb[0], said)
		}
	}
	shown := showUntil(t, at, "o1", "confirmed")
	for _, kind := range []string{
		"PlaceOrder", "OrderPlaced", "StockReserved", "FraudCleared", "DetailsAccepted",
		"OrderValidated", "PaymentReceived", "OrderConfirmed",
	} {
		if !strings.Contains(shown, `"type":"`+kind+`"`) {
			t.Errorf("%s is not in\n%s", kind, shown)
		}
	}
	belowCauses(t, shown)
	tally(t, ExitOK, "order", "place", "o2", at, "--chain", "--customer=ann", "--line=tea:9:450")
	showUntil(t, at, "o2", "rejected")
	out, _ = tally(t, ExitOK, "order", "show", "o2", at, "--chain")
	if !strings.Contains(out, "order o2: rejected") || !strings.Contains(out, "OrderRejected") {
		t.Errorf("show printed\n%s", out)
	}
	looked(t, at, one, two)
}

// belowCauses holds that no event that is shown stands above one that caused it.
func belowCauses(t *testing.T, shown string) {
	t.Helper()
	var o shownOrder
	if err := json.Unmarshal([]byte(shown), &o); err != nil {
		t.Fatal(err)
	}
	links := 0
	for i, e := range o.Events {
		for _, below := range o.Events[i+1:] {
			if slices.Contains(e.Causes, below.ID) {
				t.Errorf("%s stands above %s, which caused it", e.Type, below.Type)
			}
			if slices.Contains(below.Causes, e.ID) {
				links++
			}
		}
	}
	if links < 5 {
		t.Errorf("%d links in\n%s", links, shown)
	}
}

// looked looks at the workers of a chain from outside.
func looked(t *testing.T, at string, one, two Serving) {
	t.Helper()
	out, _ := tally(t, ExitOK, "table", "get", "tea", at, "--chain", "--processor=inventory-stock",
		"--worker", one.HTTP)
	if !strings.Contains(out, `"source": "worker `+one.HTTP) {
		t.Errorf("get printed\n%s", out)
	}
	_, said := tally(t, ExitError, "table", "get", "o1", at, "--chain", "--worker", one.HTTP)
	if !strings.Contains(said, "it does not have the table tally-confirm-table, but ") {
		t.Errorf("a table that is elsewhere: %s", said)
	}
	tally(t, ExitOK, "table", "verify", at, "--chain", "--worker", two.HTTP, "--all")
	metrics := fetch(t, one.HTTP, "/metrics") + fetch(t, two.HTTP, "/metrics")
	for _, p := range processorsOf(services()) {
		if !strings.Contains(metrics, `tally_ready{group="tally-`+p.name+`"`) {
			t.Errorf("no metrics of %s", p.name)
		}
	}
	for _, want := range []string{
		`tally_replica_newest_seconds{group="tally-details",instance="two",topic="customers"} 1.`,
		`tally_sends_total{group="tally-notify",instance="two",result="accepted"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	out, _ = tally(t, ExitOK, "audit", at, "--chain", "-o", "json")
	if r := report(t, out); r.Audit != audit.OK || r.Confirmed != 1 {
		t.Errorf("audit: %s", out)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for p := range int32(3) { // one key in every partition: at most one of them is right
		lost := &kgo.Record{Topic: "products", Partition: p, Key: []byte("tea"), Value: []byte("{}")}
		if err := cl.ProduceSync(t.Context(), lost).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	_, said = tally(t, ExitError, "topics", "check", at, "--chain")
	if !strings.Contains(said, "topic products") {
		t.Errorf("check said %s", said)
	}
}

// showUntil shows an order until it is in a state.
func showUntil(t *testing.T, at, id, state string) string {
	t.Helper()
	var out string
	waitFor(t, func() bool {
		out, _ = tally(t, ExitOK, "order", "show", id, at, "--chain", "-o", "json")
		return strings.Contains(out, `"state":"`+state+`"`)
	})
	return out
}

// TestLoadChain generates for the chain, and runs it until nothing is left to do.
func TestLoadChain(t *testing.T) {
	at, dir := cluster(t), t.TempDir()
	t.Setenv("TMPDIR", dir)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "2")
	tally(t, ExitOK, "load", at, "--chain", "--generate", "--orders=100", "--plain", "--unpaid=0.1")
	run := []string{"run", at, "--chain", "--state-dir", dir, "--interval=20ms", "--until-idle=3s"}
	_, said := tally(t, ExitOK, run...)
	if strings.Count(said, "worker ends") != 11 || !strings.Contains(said, "notify tells nobody") {
		t.Errorf("log: %s", said)
	}
	out, _ := tally(t, ExitOK, "audit", at, "--chain", "-o", "json")
	if r := report(t, out); r.Audit != audit.OK || r.Expired == 0 || r.Confirmed+r.Expired != 100 {
		t.Errorf("audit: confirmed %d, expired %d: %v", r.Confirmed, r.Expired, r.Differences)
	}
}

// TestFirstErrorStopsAll holds that a worker of several processors ends, and
// names the one that could not go on.
func TestFirstErrorStopsAll(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "2")
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	value := []byte(`{"cancelOrder":{"orderId":"o1"}}`)
	for p := range int32(2) { // one of them is where no key "o1" belongs
		r := &kgo.Record{Topic: "order-commands", Partition: p, Key: []byte("o1"), Value: value}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_, said := tally(t, ExitError, "run", "orders", "confirm", at, "--chain", "--state-dir",
		t.TempDir())
	if !strings.Contains(said, "tally: processor orders: ") || time.Since(began) > 30*time.Second {
		t.Errorf("after %v: %s", time.Since(began), said)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
