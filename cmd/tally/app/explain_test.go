package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/history"
	"tallystick/query/reading"
	"tallystick/query/replay"
	"tallystick/topology"
)

// demonstration runs a demo that stays up, and returns the flag that names its
// broker and the address of its worker.
func demonstration(t *testing.T, args ...string) (at, worker string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := newCommand()
	serving, ended := make(chan Serving, 1), make(chan int, 1)
	c.Ready = func(s Serving) { serving <- s }
	go func() { ended <- c.Run(ctx, append([]string{"demo", "--serve"}, args...)) }()
	select {
	case s := <-serving:
		t.Cleanup(func() {
			stop()
			<-ended
		})
		return "--brokers=" + strings.Join(s.Brokers, ","), s.HTTP
	case code := <-ended:
		stop()
		t.Fatalf("exit %d before it served\n%s\n%s", code, &c.out, &c.err)
	case <-time.After(time.Minute):
		stop()
		t.Fatal("the demo does not serve")
	}
	return "", ""
}

func brokersOf(at string) []string {
	return strings.Split(strings.TrimPrefix(at, "--brokers="), ",")
}

// rowsAt are the rows of confirm by their keys, as the changelog has them.
func rowsAt(t *testing.T, at string, args ...string) map[string]json.RawMessage {
	t.Helper()
	out, _ := tally(t, ExitOK,
		append([]string{"table", "scan", at, "--changelog", "--limit=0"}, args...)...)
	rows := map[string]json.RawMessage{}
	lines := json.NewDecoder(strings.NewReader(out))
	for lines.More() {
		var row shownRow
		if err := lines.Decode(&row); err != nil {
			t.Fatal(err)
		}
		rows[row.Key] = row.Row
	}
	return rows
}

func story(t *testing.T, at, order string, args ...string) *history.Story {
	t.Helper()
	out, said := tally(t, ExitOK, append([]string{"explain", order, at, "-o", "json"}, args...)...)
	if !strings.Contains(said, "found by scan") {
		t.Errorf("the cost is not told: %q", said)
	}
	s := &history.Story{}
	if err := json.Unmarshal([]byte(out), s); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return s
}

func stateAt(t *testing.T, at, order, when string, args ...string) *history.State {
	t.Helper()
	out, _ := tally(t, ExitOK,
		append([]string{"state", order, at, "--at", when, "-o", "json"}, args...)...)
	s := &history.State{}
	if err := json.Unmarshal([]byte(out), s); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return s
}

// TestExplainDemo asks about every order of a demo of the chain: what is told fits
// the cause and the table, each record's state fits its row.
func TestExplainDemo(t *testing.T) {
	const orders = 60
	at, worker := demonstration(t, "--orders", fmt.Sprint(orders), "--seed", "3", "--unpaid=0.2",
		"--discontinued=0.1", "--split=0.3", "--duplicates=0.2")
	seen := map[string]string{}
	for i := range orders {
		order := fmt.Sprintf("o3-%06d", i+1)
		s := story(t, at, order, "--chain")
		if seen[s.State] == "" {
			seen[s.State] = order
		}
		fits(t, s)
		in := map[string]int{}
		for _, e := range s.Events {
			in[e.Topic]++
		}
		if in["payments"] != in["payments-by-order"] {
			t.Errorf("%s: %d payments, %d of them by order", order, in["payments"],
				in["payments-by-order"])
		}
	}
	theTable(t, at, orders)
	for state, kinds := range map[string][]string{
		"confirmed": {
			"PlaceOrder", "OrderPlaced", "ReserveStock", "StockLineReserved", "StockReserved",
			"FraudCleared", "DetailsAccepted", "OrderValidated", "PaymentReceived", "OrderConfirmed",
			"ShipStock", "AttemptAccepted", "ConfirmationSent",
		},
		"expired":  {"OrderValidated", history.TypeDeadline, "OrderExpired", "ReleaseStock"},
		"rejected": {"DetailsRefused", "OrderRejected", "OrderWithdrawn"},
	} {
		if seen[state] == "" {
			t.Errorf("no order is %s: %v", state, seen)
			continue
		}
		s := story(t, at, seen[state], "--chain")
		for _, kind := range kinds {
			if !slices.ContainsFunc(s.Events, func(e history.Event) bool { return e.Type == kind }) {
				t.Errorf("%s, which is %s: no %s", s.Order, state, kind)
			}
		}
		text, _ := tally(t, ExitOK, "explain", s.Order, at, "--chain")
		if !strings.HasPrefix(text, "order "+s.Order+": "+state+"\n") ||
			!strings.Contains(text, "because of ") || !strings.Contains(text, "confirm: ") {
			t.Errorf("explain printed\n%s", text)
		}
		everyMoment(t, at, s)
		byIndex(t, at, worker, s)
	}
	paidFor(t, at, seen["confirmed"])
	everyCause(t, at)
}

// theTable holds that each order's story ends with its row, and that this is its
// state. Deadlines come at any time, so that the three are asked for until they are
// of one moment.
func theTable(t *testing.T, at string, orders int) {
	t.Helper()
	rows := rowsAt(t, at, "--chain")
	for i := range orders {
		order := fmt.Sprintf("o3-%06d", i+1)
		waitFor(t, func() bool {
			want := rows[order]
			if want == nil {
				want = json.RawMessage("null")
			}
			ends := story(t, at, order, "--chain").Row
			is := stateAt(t, at, order, "", "--chain").Row
			if string(ends) == string(want) && string(is) == string(want) {
				return true
			}
			rows = rowsAt(t, at, "--chain")
			return false
		})
	}
}

// fits holds that no event stands above one that it follows from, that all causes
// were found, and that rows change one after the other.
func fits(t *testing.T, s *history.Story) {
	t.Helper()
	last := map[string]string{topology.Confirm: "null", topology.Orders: "null"}
	for _, e := range s.Events {
		if len(e.Missing) > 0 {
			t.Errorf("%s: %s at %s misses %v", s.Order, e.Type, e.Place, e.Missing)
		}
		for _, cause := range e.Because {
			if cause >= e.No {
				t.Errorf("%s: %s at %s stands above its cause %d", s.Order, e.Type, e.Place, cause)
			}
		}
		if e.By != topology.Outside && e.By != "" && len(e.Because) == 0 {
			t.Errorf("%s: nothing caused %s at %s by %s", s.Order, e.Type, e.Place, e.By)
		}
		if e.Row == nil {
			continue
		}
		if before := string(e.Row.Before); before != last[e.Row.Processor] {
			t.Errorf("%s: before %s the row of %s was\n%s, not\n%s", s.Order, e.Place, e.Row.Processor,
				last[e.Row.Processor], before)
		}
		last[e.Row.Processor] = string(e.Row.After)
	}
	if len(s.Notes) > 0 {
		t.Errorf("%s: %v", s.Order, s.Notes)
	}
}

// everyMoment holds that the state after each event that changed the row is the row
// of the story.
func everyMoment(t *testing.T, at string, s *history.Story) {
	t.Helper()
	for _, e := range s.Events {
		if e.Row == nil || e.Row.Processor != topology.Confirm || e.Type == history.TypeDeadline {
			continue
		}
		was := stateAt(t, at, s.Order, e.Place.String(), "--chain")
		if string(was.Row) != string(e.Row.After) {
			t.Errorf("%s after %s is\n%s, not\n%s", s.Order, e.Place, was.Row, e.Row.After)
		}
	}
}

// byIndex holds that an index which has the topics that anybody may read leads to the
// same story as a scan: one that is made up, and that of the demo's views.
func byIndex(t *testing.T, at, worker string, s *history.Story) {
	t.Helper()
	var index []history.Place
	for _, about := range reading.AboutOrders(topology.Options{}.Names(), true) {
		for _, e := range s.Events {
			if e.Topic == about.Name {
				index = append(index, e.Place)
			}
		}
	}
	views := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/orders/"+s.Order+"/places" {
			t.Errorf("it was asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(index); err != nil {
			t.Error(err)
		}
	}))
	defer views.Close()
	told := func(args ...string) (events, said string) {
		line := append([]string{"explain", s.Order, at, "--chain", "-o", "json"}, args...)
		out, said := tally(t, ExitOK, line...)
		var story struct{ Events json.RawMessage }
		if err := json.Unmarshal([]byte(out), &story); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		return string(story.Events), said
	}
	for _, address := range []string{views.URL, worker} {
		var got, said, want string
		defer func() {
			if t.Failed() {
				t.Logf("%s: %sby an index it is\n%s\nby a scan\n%s", address, said, got, want)
			}
		}()
		waitFor(t, func() bool { // views may be behind, and deadlines come at any time
			got, said = told("--worker", address)
			want, _ = told()
			return got == want && strings.Contains(said, "found by index")
		})
	}
}

// paidFor looks at an order before and after what completed it.
func paidFor(t *testing.T, at, order string) {
	t.Helper()
	s := story(t, at, order, "--chain")
	i := slices.IndexFunc(s.Events, func(e history.Event) bool { return e.Type == "OrderConfirmed" })
	said := s.Events[i]
	if was := stateAt(t, at, order, said.Place.String(), "--chain"); was.State != "confirmed" ||
		was.Paid != was.Total || was.Total == 0 || len(was.Payments) == 0 {
		t.Errorf("after its confirmation %s was %+v", order, was)
	}
	first := s.Events[0].At.Add(-time.Second).Format(time.RFC3339)
	if was := stateAt(t, at, order, first, "--chain"); was.State != "unknown" || was.Taken != 0 {
		t.Errorf("before everything %s was %+v", order, was)
	}
	out, _ := tally(t, ExitOK, "table", "get", order, at, "--chain", "--at", said.Place.String())
	if !strings.Contains(out, `"source": "replay"`) || !strings.Contains(out, `"CONFIRMED"`) {
		t.Errorf("the row then:\n%s", out)
	}
	out, said2 := tally(t, ExitOK, "table", "get", order, at, "--chain", "--at=now",
		"--processor=orders")
	if !strings.Contains(out, "tally-orders-table") || !strings.Contains(said2, "compaction") {
		t.Errorf("the row of orders:\n%s\n%s", out, said2)
	}
	_, refused := tally(t, ExitError, "state", order, at, "--chain", "--at=order-commands/0/999999")
	if !strings.Contains(refused, "hint: tally explain lists") {
		t.Errorf("a place that is none: %s", refused)
	}
	_, refused = tally(t, ExitUsage, "state", order, at, "--chain", "--at=yesterday")
	if !strings.Contains(refused, "--at is no moment") {
		t.Errorf("a moment that is none: %s", refused)
	}
	out, _ = tally(t, ExitOK, "explain", order, at, "--chain", "--kcat")
	want := fmt.Sprintf("-t confirmations -p %d -o %d -c 1", said.Partition, said.Offset)
	if !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	out, _ = tally(t, ExitOK, "explain", order, at, "--chain", "--format", "mermaid")
	if !strings.HasPrefix(out, "flowchart TD\n") || !strings.Contains(out, " --> ") {
		t.Errorf("no chart:\n%s", out)
	}
}

// everyCause holds that every event that a service has written has an id and causes,
// and that each cause is the id of a record.
func everyCause(t *testing.T, at string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokersOf(at)...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	o := topology.Options{Chain: true}
	decoders := reading.Decoders(o.Names(), true)
	log, err := replay.Open(t.Context(), cl, time.Minute, slices.Sorted(maps.Keys(decoders))...)
	if err != nil {
		t.Fatal(err)
	}
	writers := map[string]string{} // of topic and kind
	for _, topic := range topology.Default(o).Topics {
		for _, kind := range topic.Holds {
			writers[topic.Name+" "+kind.Name] = kind.Writer
		}
	}
	ids, causes := map[string]bool{}, map[string]string{}
	written := map[string]bool{}
	for topic, decode := range decoders {
		for p := range log.Partitions(topic) {
			for r, err := range log.Records(t.Context(), topic, p) {
				if err != nil {
					t.Fatal(err)
				}
				e, err := decode(r.Value)
				if err != nil {
					continue
				}
				where := fmt.Sprintf("%s at %s/%d@%d", e.Kind, topic, p, r.Offset)
				ids[e.ID()] = true
				for _, id := range e.Meta.GetCauses() {
					causes[id] = where
				}
				writer := writers[topic+" "+e.Kind]
				// What is repeated under another key stays as it was, without an id too.
				if writer == topology.Outside || writer == topology.Rekey {
					continue
				}
				written[topic+" "+e.Kind] = true
				if e.Meta.GetId() == "" || len(e.Meta.GetCauses()) == 0 {
					t.Errorf("%s has the id %q and the causes %v", where, e.Meta.GetId(), e.Meta.GetCauses())
				}
			}
		}
	}
	for id, where := range causes {
		if !ids[id] {
			t.Errorf("%s names %s as its cause, which is nowhere", where, id)
		}
	}
	if len(written) < 20 {
		t.Errorf("there are only %d kinds: %v", len(written), written)
	}
}
