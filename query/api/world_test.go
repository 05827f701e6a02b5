package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/query/api"
	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology/keyhash"
)

const partitions = 4

// A world is a group of workers that share a table of views. Which worker has which
// partition is for the test to say.
type world struct {
	t       *testing.T
	workers []*worker

	mu    sync.Mutex
	rows  map[string]*views.Row
	owner [partitions]*worker // nil while it is on its way
	ends  map[string]int64    // of the topics
	fault error               // of the producer
	held  bool                // what is written is not taken in
	later []func()
	ids   []string // of the commands
	looks int      // how often the group was asked
}

// A worker is one server of the world.
type worker struct {
	w      *world
	server *httptest.Server
	api    *api.Server
	feed   *api.Feed
	spec   *specification
}

type setting func(*api.Config)

// open starts n workers, of which the first has all partitions.
func open(t *testing.T, n int, settings ...setting) *world {
	t.Helper()
	w := &world{t: t, rows: map[string]*views.Row{}, ends: map[string]int64{}}
	for range n {
		wk := &worker{w: w, feed: api.NewFeed(), spec: specified(t)}
		mux := http.NewServeMux()
		wk.server = httptest.NewUnstartedServer(mux)
		cfg := api.Config{
			Views: wk, Peers: w, Commander: w, Feed: wk.feed, Topics: topicNames,
			Address: wk.server.Listener.Addr().String(), Loopback: true, Now: time.Now,
			Log: slog.New(slog.DiscardHandler),
		}
		for _, s := range settings {
			s(&cfg)
		}
		wk.api = api.New(cfg)
		wk.api.Register(mux)
		wk.server.Config.Handler = api.Handler(mux, cfg.Now)
		wk.server.Start()
		t.Cleanup(wk.server.Close)
		w.workers = append(w.workers, wk)
	}
	for p := range w.owner {
		w.owner[p] = w.workers[0]
	}
	return w
}

var topicNames = map[tallyv1.OrderView_Topic]string{
	tallyv1.OrderView_ORDER_COMMANDS: "order-commands", tallyv1.OrderView_ORDERS: "orders",
	tallyv1.OrderView_PAYMENTS: "payments-by-order", tallyv1.OrderView_CONFIRMATIONS: "confirmations",
	tallyv1.OrderView_CORRECTIONS: "corrections", tallyv1.OrderView_EXCEPTIONS: "exceptions",
}

// move gives a partition to a worker, or to none.
func (w *world) move(p int32, to *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner[p] = to
}

func partitionOf(order string) int32 { return keyhash.Partition([]byte(order), partitions) }

// Peers is what the group says.
func (w *world) Peers(context.Context) (map[int32]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	at := map[int32]string{}
	for p, wk := range w.owner {
		if wk != nil {
			at[int32(p)] = wk.server.Listener.Addr().String()
		}
	}
	return at, nil
}

// asked is how often the group was asked who has what.
func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// Command takes a command, and the views take it in at once unless they are held.
func (w *world) Command(_ context.Context, c *tallyv1.OrderCommand) (api.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault != nil {
		return api.Position{}, w.fault
	}
	w.ids = append(w.ids, c.GetMeta().GetId())
	order := schemas.CommandOrderID(c)
	at := api.Position{
		Topic: "order-commands", Partition: partitionOf(order), Offset: w.ends["order-commands"],
	}
	w.ends["order-commands"]++
	kind := uint32(3)
	if c.GetCancelOrder() != nil {
		kind = 4
	}
	take := func() { w.take(order, tallyv1.OrderView_ORDER_COMMANDS, at.Offset, kind, c) }
	if w.held {
		w.later = append(w.later, take)
	} else {
		take()
	}
	return at, nil
}

// hold keeps the views from taking in what is written.
func (w *world) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

// release lets the views take in what was held.
func (w *world) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = false
	for _, take := range w.later {
		take()
	}
	w.later = nil
}

// take is what the processor does; mu is held.
func (w *world) take(
	order string, topic tallyv1.OrderView_Topic, offset int64, kind uint32, m proto.Message,
) {
	at := (1_000_000 + offset) * 1_000_000
	was := w.rows[order].GetState()
	row, _ := views.Step(proto.CloneOf(w.rows[order]), views.Event{
		Topic: topic, Offset: offset, Kind: kind, Recorded: at, At: at, Said: m,
	})
	w.rows[order] = row
	value, err := schemas.OrderViewChanges.Marshal(&tallyv1.OrderViewed{
		Topic: topic, Partition: partitionOf(order), Offset: offset, Kind: kind, TimeUs: at,
		State: row.GetState(), Was: was,
	})
	if err != nil {
		w.t.Error(err)
	}
	if wk := w.owner[partitionOf(order)]; wk != nil {
		wk.feed.Changed(order, value)
	}
}

// says writes an event that the views take in.
func (w *world) says(order string, topic tallyv1.OrderView_Topic, kind uint32, m proto.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := topicNames[topic]
	w.take(order, topic, w.ends[name], kind, m)
	w.ends[name]++
}

func (w *world) placed(order, customer string, total int64, currency string) {
	w.says(order, tallyv1.OrderView_ORDERS, 3, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: order, CustomerId: customer, Total: schemas.Money(total, currency),
		}},
	})
}

func (w *world) paid(order, payment string, minor int64, currency string) {
	w.says(order, tallyv1.OrderView_PAYMENTS, 3, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: payment, OrderId: order, Amount: schemas.Money(minor, currency),
		}},
	})
}

func (w *world) confirmed(order string) {
	w.says(order, tallyv1.OrderView_CONFIRMATIONS, 3, &tallyv1.ConfirmationEvent{
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{
			OrderConfirmed: &tallyv1.OrderConfirmed{OrderId: order},
		},
	})
}

// Partitions is the width of the table.
func (wk *worker) Partitions() int32 { return partitions }

// Rows are those of the partitions that the worker has.
func (wk *worker) Rows(p int32) (api.Rows, bool) {
	wk.w.mu.Lock()
	defer wk.w.mu.Unlock()
	if wk.w.owner[p] != wk {
		return nil, false
	}
	return table{wk.w, p}, true
}

// A table is a partition of the table.
type table struct {
	w *world
	p int32
}

var errBroken = errors.New("the table is broken")

// Get returns the row of an order.
func (t table) Get(order string) ([]byte, error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if order == "broken" {
		return nil, errBroken
	}
	row := t.w.rows[order]
	if row == nil || partitionOf(order) != t.p {
		return nil, nil
	}
	return schemas.OrderViews.Marshal(row)
}

// Index makes the index up.
func (t table) Index(from, prefix []byte) iter.Seq2[api.Entry, error] {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	var all []api.Entry
	for _, order := range slices.Sorted(maps.Keys(t.w.rows)) {
		if partitionOf(order) != t.p {
			continue
		}
		b, err := schemas.OrderViews.Marshal(t.w.rows[order])
		if err != nil {
			t.w.t.Error(err)
		}
		views.Entries(order, b, func(e []byte) {
			if bytes.HasPrefix(e, prefix) && bytes.Compare(e, from) >= 0 {
				all = append(all, api.Entry{Entry: e, Order: order})
			}
		})
	}
	slices.SortStableFunc(all, func(a, b api.Entry) int { return bytes.Compare(a.Entry, b.Entry) })
	return func(yield func(api.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// newStranger is a server that is no worker.
func newStranger(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		io.WriteString(out, "hello") //nolint:errcheck // the test sees
	}))
	t.Cleanup(s.Close)
	return s
}

// eventually polls until f holds.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// An asked is a request to a worker and its answer.
type asked struct {
	status int
	header http.Header
	body   string
}

// ask sends a request, holds the answer to the description, and returns it.
func (wk *worker) ask(method, path, body string, headers ...string) asked {
	wk.w.t.Helper()
	in, err := http.NewRequestWithContext(wk.w.t.Context(), method, wk.server.URL+path,
		strings.NewReader(body))
	if err != nil {
		wk.w.t.Fatal(err)
	}
	if body != "" {
		in.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			in.Host = headers[i+1]
		}
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	wk.spec.holds(wk.w.t, method, in.URL.EscapedPath(), out, text)
	return asked{out.StatusCode, out.Header, string(text)}
}

func (wk *worker) get(path string, headers ...string) asked {
	wk.w.t.Helper()
	return wk.ask("GET", path, "", headers...)
}

// is fails unless the answer has the status and contains the words.
func (a asked) is(t *testing.T, status int, words ...string) asked {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, word := range words {
		if !strings.Contains(a.body, word) {
			t.Errorf("%q is not in %s", word, a.body)
		}
	}
	return a
}
