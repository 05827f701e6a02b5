package send_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tallystick/processors/notify/send"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

const within = time.Minute

// reports stand for the topic of results.
type reports struct {
	mu   sync.Mutex
	list []*tallyv1.NotifyResultEvent
	read int
	fail int // this many more fail
}

func (r *reports) take(_ context.Context, key string, value []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail > 0 {
		r.fail--
		return errors.New("no broker")
	}
	m, err := schemas.NotifyResults.Unmarshal(value)
	if err != nil {
		return err
	}
	if schemas.NotifyResultOrderID(m) != key {
		return fmt.Errorf("key %s of %v", key, m)
	}
	r.list = append(r.list, m)
	return nil
}

func (r *reports) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.list)
}

func (r *reports) next(t *testing.T) *tallyv1.NotifyResultEvent {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		r.mu.Lock()
		if r.read < len(r.list) {
			r.read++
			r.mu.Unlock()
			return r.list[r.read-1]
		}
		r.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("no result within %v", within)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func newSender(t *testing.T, cfg send.Config) (*send.Sender, *reports) {
	t.Helper()
	r := &reports{}
	if cfg.Report == nil {
		cfg.Report = r.take
	}
	cfg.Now, cfg.Logger = time.Now, slog.New(slog.DiscardHandler)
	s, err := send.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		done, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(done)
	})
	return s, r
}

func effects(t *testing.T, channel tallyv1.Channel, orders ...string) []send.Effect {
	t.Helper()
	var list []send.Effect
	for _, o := range orders {
		list = append(list, effect(t, channel, o, "Ada"))
	}
	return list
}

func effect(t *testing.T, channel tallyv1.Channel, order, name string) send.Effect {
	t.Helper()
	return effectUntil(t, channel, order, name, time.Now().Add(time.Hour))
}

func effectUntil(
	t *testing.T, channel tallyv1.Channel, order, name string, until time.Time,
) send.Effect {
	t.Helper()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	b, err := schemas.NotifyEffects.Marshal(&tallyv1.SendConfirmation{
		OrderId: order, Channel: channel, Attempt: 1, EventId: "c-" + order,
		DeadlineUs: until.UnixMicro(),
		Confirmation: &tallyv1.ConfirmationEvent{
			Meta: schemas.MetaOf("c-"+order, at.UnixMicro()),
			Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
				OrderId: order, Total: schemas.Money(1234, "EUR"),
				Contact: &tallyv1.Contact{Name: name, Email: order + "@example.com"},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return send.Effect{Key: order, Value: b}
}

// brief is a result in a word.
func brief(m *tallyv1.NotifyResultEvent) string {
	switch v := m.GetEvent().(type) {
	case *tallyv1.NotifyResultEvent_AttemptAccepted:
		return "accepted"
	case *tallyv1.NotifyResultEvent_AttemptRefused:
		word := "refused"
		if v.AttemptRefused.GetPermanent() {
			word += " for good"
		}
		if v.AttemptRefused.GetUntried() {
			word += ", untried"
		}
		return word
	case *tallyv1.NotifyResultEvent_AttemptUnsettled:
		return "unsettled"
	}
	return "nothing"
}

// slow is a receiver that waits for a token per request.
func slow(t *testing.T) (url string, tokens chan struct{}, asked func() int) {
	t.Helper()
	tokens = make(chan struct{})
	var mu sync.Mutex
	n := 0
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		<-tokens
	}))
	t.Cleanup(web.CloseClientConnections)
	return web.URL, tokens, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// TestFullQueue gives a sender more than it has room for: it does not block for
// long, and what it could not take is reported as not begun. Each gets one result.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	url, tokens, asked := slow(t)
	results := &reports{}
	s, _ := newSender(t, send.Config{
		Webhook: &send.Webhook{URL: url}, Workers: 1, Queue: 2, MaxBlock: 50 * time.Millisecond,
		Report: func(ctx context.Context, key string, value []byte) error {
			<-time.After(20 * time.Millisecond) // as brokers are
			return results.take(ctx, key, value)
		},
	})
	var orders []string
	for i := range 10 {
		orders = append(orders, fmt.Sprintf("o%d", i))
	}
	began := time.Now()
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, orders...))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("taking took %v", d)
	}
	if n := results.size(); n < 7 { // all but one with the worker and two in the queue
		t.Errorf("%d of those that are not begun are reported when they are taken", n)
	}
	close(tokens)
	seen, words := map[string]int{}, map[string]int{}
	for range orders {
		m := results.next(t)
		seen[schemas.NotifyResultOrderID(m)]++
		words[brief(m)]++
	}
	if len(seen) != len(orders) || words["refused, untried"] < 6 || words["accepted"] != asked() {
		t.Errorf("results of %v: %v, asked %d times", seen, words, asked())
	}
	if got := s.Stats(); got.Untried != int64(words["refused, untried"]) || got.Lost != 0 {
		t.Errorf("stats are %+v", got)
	}
}

// watched is a context that tells when somebody asks for its end.
type watched struct {
	context.Context
	asked func()
}

func (w watched) Done() <-chan struct{} {
	w.asked()
	return w.Context.Done()
}

// TestClose waits for what is under way, and reports the rest as not begun.
func TestClose(t *testing.T) {
	t.Parallel()
	url, tokens, asked := slow(t)
	s, results := newSender(t, send.Config{Webhook: &send.Webhook{URL: url}, Workers: 1})
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1", "o2", "o3"))
	waitFor(t, func() bool { return asked() == 1 })
	// It asks for the end of the context when it has begun to close.
	begun := watched{t.Context(), sync.OnceFunc(func() { close(tokens) })}
	if err := s.Close(begun); err != nil {
		t.Error(err)
	}
	if got := brief(results.next(t)); got != "accepted" {
		t.Errorf("the one under way is %s", got)
	}
	for range 2 {
		if got := brief(results.next(t)); got != "refused, untried" {
			t.Errorf("one that waited is %s", got)
		}
	}
	if asked() != 1 {
		t.Errorf("the receiver was asked %d times", asked())
	}
}

// TestCloseInAHurry cuts off what is under way: nobody knows what became of it.
func TestCloseInAHurry(t *testing.T) {
	t.Parallel()
	url, tokens, asked := slow(t)
	defer close(tokens)
	s, results := newSender(t, send.Config{Webhook: &send.Webhook{URL: url}, Workers: 1})
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1"))
	waitFor(t, func() bool { return asked() == 1 })
	hurry, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(hurry); err != nil {
		t.Error(err)
	}
	if got := brief(results.next(t)); got != "unsettled" {
		t.Errorf("the one under way is %s", got)
	}
}

// TestTooLate does not begin what could outlast its gate, nor what is not set up.
func TestTooLate(t *testing.T) {
	t.Parallel()
	url, tokens, asked := slow(t)
	close(tokens)
	s, results := newSender(t, send.Config{Webhook: &send.Webhook{URL: url}})
	soon := time.Now().Add(10 * time.Second) // a request may take longer
	s.Take(t.Context(), []send.Effect{effectUntil(t, tallyv1.Channel_WEBHOOK, "o1", "", soon)})
	if got := brief(results.next(t)); got != "refused, untried" {
		t.Errorf("late, it is %s", got)
	}
	s.Take(t.Context(), effects(t, tallyv1.Channel_MAIL, "o2"))
	if got := brief(results.next(t)); got != "refused for good, untried" {
		t.Errorf("without a mail server it is %s", got)
	}
	if asked() != 0 {
		t.Errorf("the receiver was asked %d times", asked())
	}
}

// TestReportIsTriedAgain: the attempt is not.
func TestReportIsTriedAgain(t *testing.T) {
	t.Parallel()
	url, tokens, asked := slow(t)
	close(tokens)
	r := &reports{fail: 3}
	s, _ := newSender(t, send.Config{Webhook: &send.Webhook{URL: url}, Report: r.take})
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1"))
	if got := brief(r.next(t)); got != "accepted" {
		t.Errorf("the attempt is %s", got)
	}
	r.mu.Lock()
	r.fail = 1 << 30
	r.mu.Unlock()
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o2"))
	waitFor(t, func() bool { return asked() == 2 })
	hurry, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(hurry); err == nil || !strings.Contains(err.Error(), "1 attempts were lost") {
		t.Errorf("closing says %v", err)
	}
	if asked() != 2 {
		t.Errorf("the receiver was asked %d times", asked())
	}
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v", within)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
