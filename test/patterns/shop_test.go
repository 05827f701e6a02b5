package patterns_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallystick/cmd/tally/app"
	"tallystick/test/kafkatest"
)

const (
	// patience bounds every wait of these tests.
	patience = time.Minute
	// pause is how often a wait looks again.
	pause = 20 * time.Millisecond
)

// A shop is the whole chain of services on a broker, with topics of its own. Its
// workers go on until the last test has ended.
type shop struct {
	where []string
	dir   string // of what workers keep
	mu    sync.Mutex
	works []*worker
}

// A worker is one process' share of the services.
type worker struct {
	name, dir, http string
	services        []string
	stop            context.CancelFunc
	out, err        bytes.Buffer
	ended           chan struct{}
	code            int
}

// all is the shop that most tests share, and base is where shops keep their files.
//
//nolint:gochecknoglobals // the chain takes seconds to start, and the tests can share it
var (
	all    shop
	opened sync.Once
	base   string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if base, err = os.MkdirTemp("", "tally-patterns-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(base) }()
		defer all.close()
		return m.Run()
	}())
}

// openShop returns the running shop. It knows two customers and sells tea.
func openShop(t *testing.T) *shop {
	t.Helper()
	opened.Do(func() {
		all.found(t, "shop-")
		all.start(t, "front", "rekey", "orders", "inventory", "fraud")
		all.start(t, "middle", "details")
		all.start(t, "back", "validate", "confirm", "notify", "views")
		all.load(t, `{"customerUpdated":{"customerId":"ann","email":"ann@customers.example"}}`,
			`{"customerUpdated":{"customerId":"bob","email":"bob@customers.example"}}`,
			`{"productUpdated":{"productId":"tea"}}`,
			`{"stockCounted":{"productId":"tea","quantity":"100"}}`)
		all.know(t, "tea", "ann", "bob")
	})
	if len(all.works) != 3 {
		t.Fatal("the shop did not open")
	}
	return &all
}

// found makes the topics of a shop whose names begin with prefix.
func (s *shop) found(t *testing.T, prefix string) {
	t.Helper()
	b := kafkatest.Start(t)
	s.where = []string{
		"--brokers", strings.Join(b.Addrs(), ","), "--prefix", prefix, "--app", prefix + "app", "--chain",
	}
	s.dir = filepath.Join(base, prefix)
	s.tally(t, "topics", "apply", "--partitions", "2")
}

// start runs services in one worker until it is ready.
func (s *shop) start(t *testing.T, name string, services ...string) *worker {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background()) // it outlives the test
	w := &worker{
		name: name, dir: filepath.Join(s.dir, name), services: services, stop: stop,
		ended: make(chan struct{}),
	}
	m := command(&w.out, &w.err)
	serving := make(chan app.Serving, 1)
	m.Ready = func(at app.Serving) { serving <- at }
	args := append([]string{"run"}, services...)
	args = append(args, "--instance", name, "--state-dir", w.dir, "--interval", "20ms")
	args = append(args, s.where...)
	go func() {
		defer close(w.ended)
		w.code = m.Run(ctx, args)
	}()
	select {
	case at := <-serving:
		w.http = at.HTTP
	case <-w.ended:
		t.Fatalf("worker %s: exit code %d\n%s", name, w.code, &w.err)
	case <-time.After(patience):
		t.Fatalf("worker %s does not serve", name)
	}
	s.mu.Lock()
	s.works = append(s.works, w)
	s.mu.Unlock()
	until(t, "worker "+name+" is ready", func() bool {
		return strings.HasPrefix(get(t, w.http, "/readyz"), "ok")
	})
	return w
}

// end stops a worker as SIGTERM does.
func (s *shop) end(t *testing.T, name string) *worker {
	t.Helper()
	i := slices.IndexFunc(s.works, func(w *worker) bool { return w.name == name })
	w := s.works[i]
	w.stop()
	<-w.ended
	if w.code != app.ExitOK {
		t.Fatalf("worker %s: exit code %d\n%s", name, w.code, &w.err)
	}
	s.works = slices.Delete(s.works, i, i+1)
	return w
}

// worker is the running one of that name.
func (s *shop) worker(t *testing.T, name string) *worker {
	t.Helper()
	i := slices.IndexFunc(s.works, func(w *worker) bool { return w.name == name })
	if i < 0 {
		t.Fatalf("no worker %s", name)
	}
	return s.works[i]
}

func (s *shop) close() {
	for _, w := range s.works {
		w.stop()
		<-w.ended
	}
}

// command returns the command within this process, as nobody's environment
// changes it.
func command(out, err *bytes.Buffer) *app.Main {
	m := app.New(out, err)
	m.LookupEnv = func(string) (string, bool) { return "", false }
	return m
}

// try runs a verb to its end.
func (s *shop) try(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var o, e bytes.Buffer
	code = command(&o, &e).Run(ctx, append(args, s.where...))
	return code, o.String(), e.String()
}

// tally runs a verb that must succeed and returns what it printed.
func (s *shop) tally(t *testing.T, args ...string) string {
	t.Helper()
	code, out, err := s.try(t, args...)
	if code != app.ExitOK {
		t.Fatalf("tally %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, err)
	}
	return out
}

// refused runs a verb that must be refused and returns why.
func (s *shop) refused(t *testing.T, args ...string) string {
	t.Helper()
	code, out, err := s.try(t, args...)
	if code != app.ExitError {
		t.Fatalf("tally %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, err)
	}
	return err
}

// load writes lines into the topics that they belong to.
func (s *shop) load(t *testing.T, lines ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tally(t, "load", path)
}

// know waits until the services have what was loaded, which is when an order of
// each customer is validated.
func (s *shop) know(t *testing.T, product string, customers ...string) {
	t.Helper()
	for _, customer := range customers {
		tries := 0
		until(t, "an order of "+customer+" is validated", func() bool {
			tries++
			id := fmt.Sprintf("first-%s-%d", customer, tries)
			s.place(t, id, customer, product+":1:450")
			return s.comes(t, id, "validated", "rejected").State == "validated"
		})
	}
}

// place asks for an order, and waits for the answer.
func (s *shop) place(t *testing.T, id, customer, line string) string {
	t.Helper()
	return s.tally(t, "order", "place", id, "--customer", customer, "--line", line, "--wait")
}

// pay writes a payment for an order.
func (s *shop) pay(t *testing.T, payment, order string, minor int) {
	t.Helper()
	s.load(t, fmt.Sprintf(`{"meta":{"id":"event-%[1]s"},"paymentReceived":{"paymentId":%[1]q,`+
		`"orderId":%[2]q,"amount":{"minor":"%[3]d","currency":"EUR"}}}`, payment, order, minor))
}

// An order is what tally order show tells.
type order struct {
	Order, State string
	Events       []event
}

// An event is one record about an order.
type event struct {
	Type, Topic, ID string
	Partition       int32
	Offset          int64
	Causes          []string
	Value           json.RawMessage
}

// show reads an order.
func (s *shop) show(t *testing.T, id string) order {
	t.Helper()
	var o order
	read(t, s.tally(t, "order", "show", id, "-o", "json"), &o)
	return o
}

// comes waits until an order is in one of the states.
func (s *shop) comes(t *testing.T, id string, states ...string) order {
	t.Helper()
	var o order
	until(t, fmt.Sprintf("order %s is %v", id, states), func() bool {
		o = s.show(t, id)
		return slices.Contains(states, o.State)
	})
	return o
}

// has waits until something of a type was said about an order.
func (s *shop) has(t *testing.T, id, kind string) order {
	t.Helper()
	var o order
	until(t, fmt.Sprintf("%s of order %s", kind, id), func() bool {
		o = s.show(t, id)
		return len(o.all(kind)) > 0
	})
	return o
}

// all are the events of a type, the first one first.
func (o order) all(kind string) []event {
	var out []event
	for _, e := range o.Events {
		if e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

// one is the only event of a type.
func (o order) one(t *testing.T, kind string) event {
	t.Helper()
	found := o.all(kind)
	if len(found) != 1 {
		t.Fatalf("order %s: %d of %s, want 1: %v", o.Order, len(found), kind, o.kinds())
	}
	return found[0]
}

func (o order) kinds() []string {
	out := make([]string, len(o.Events))
	for i, e := range o.Events {
		out[i] = e.Type
	}
	return out
}

// A graph is what tally graph tells.
type graph struct {
	Topics []struct {
		Name  string
		Kinds []struct{ Name, Writer string }
	}
	Processors []struct {
		Name, Service            string
		Inputs, Lookups, Outputs []string
	}
}

func (s *shop) graph(t *testing.T) graph {
	t.Helper()
	var g graph
	read(t, s.tally(t, "graph", "-o", "json"), &g)
	return g
}

// audit holds that every record has one fate and the sums balance.
func (s *shop) audit(t *testing.T) {
	t.Helper()
	until(t, "the audit is done", func() bool {
		var a struct {
			Audit       string
			InFlight    int `json:"in_flight"`
			Unprocessed int
		}
		read(t, s.tally(t, "audit", "-o", "json"), &a)
		return a.Audit == "ok" && a.InFlight == 0 && a.Unprocessed == 0
	})
}

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
}

// get fetches a page of a worker.
func get(t *testing.T, address, path string) string {
	t.Helper()
	in, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in.Body)
	if err = errors.Join(err, in.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// until polls until f holds.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	deadline := time.After(patience)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
