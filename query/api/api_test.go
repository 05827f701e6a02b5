package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tallystick/query/api"
	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func order(id string) string {
	return fmt.Sprintf(`{"orderId":%q,"customerId":"ann","total":{"minor":900,"currency":"EUR"}}`, id)
}

// accepted reads the answer to a command.
func accepted(t *testing.T, a asked) (token string, at api.Position) {
	t.Helper()
	a.is(t, http.StatusAccepted)
	var said struct {
		Order, Token string
		Command      api.Position
	}
	if err := json.Unmarshal([]byte(a.body), &said); err != nil {
		t.Fatal(err)
	}
	if want := "/orders/" + said.Order + "?after=" + said.Token; a.header.Get("Location") != want {
		t.Errorf("Location %q, want %q", a.header.Get("Location"), want)
	}
	return said.Token, said.Command
}

// TestReadYourOwnWrite: an answer that is asked for with the token has taken the
// command in, from the worker that has the order and from one that has not; without
// it there is none yet.
func TestReadYourOwnWrite(t *testing.T) {
	w := open(t, 2)
	for _, wk := range w.workers {
		wk.api.WokenOnly()
	}
	for i, wk := range w.workers {
		id := fmt.Sprintf("o%d", i)
		w.hold()
		token, at := accepted(t, wk.ask("POST", "/orders", order(id)))
		if at.Topic != "order-commands" || at.Partition != partitionOf(id) {
			t.Errorf("the command is at %+v", at)
		}
		wk.get("/orders/"+id).is(t, http.StatusNotFound, "?after=")
		wk.get("/orders/"+id+"?wait=20ms&after="+token).is(t, http.StatusGatewayTimeout,
			"views is behind")
		answered := make(chan asked, 2)
		for _, other := range w.workers {
			go func() { answered <- other.get("/orders/" + id + "?after=" + token) }()
		}
		w.eventually("both wait", func() bool { return w.workers[0].feed.Waiting(id) == 2 })
		w.release()
		for range w.workers {
			(<-answered).is(t, 200, `"state":"asked"`, `"customer":"ann"`, `"records":1`)
		}
		wk.get("/orders/"+id+"/places?after="+token).is(t, 200, `"type":"PlaceOrder"`,
			fmt.Sprintf(`"topic":"order-commands","partition":%d,"offset":%d`, at.Partition, at.Offset))
		w.hold()
		cancel, _ := accepted(t, wk.ask("POST", "/orders/"+id+"/cancel", `{"reason":"enough"}`))
		wk.get("/orders/"+id+"?wait=20ms&after="+cancel).is(t, http.StatusGatewayTimeout)
		w.release()
		wk.get("/orders/"+id+"?after="+cancel).is(t, 200, `"records":2`)
		accepted(t, wk.ask("POST", "/orders/"+id+"/cancel", ""))
	}
}

// TestTokensAreOfOneOrder: a token that belongs elsewhere, or nowhere, is refused.
func TestTokensAreOfOneOrder(t *testing.T) {
	w := open(t, 1)
	wk := w.workers[0]
	token, _ := accepted(t, wk.ask("POST", "/orders", order("o1")))
	wk.get("/orders/o2?after="+token).is(t, http.StatusBadRequest, "another order")
	for _, bad := range []string{"x", token + "A", token[:5], "AQ", strings.Repeat("A", 3000), "%ff"} {
		wk.get("/orders/o1?after="+bad).is(t, http.StatusBadRequest, "after: ")
	}
	wk.get("/orders/o1?after="+token).is(t, 200)
}

// TestRefusedRequests: what is wrong with a request is said, with a hint.
func TestRefusedRequests(t *testing.T) {
	w := open(t, 1)
	wk := w.workers[0]
	for _, tc := range []struct {
		status             int
		method, path, body string
		words              []string
		headers            []string
	}{
		{400, "POST", "/orders", "{", []string{"not one JSON object"}, nil},
		{400, "POST", "/orders", `{}}`, []string{"not one JSON object"}, nil},
		{400, "POST", "/orders", `{},"meta":{}`, []string{"not one JSON object"}, nil},
		{400, "POST", "/orders", `[]`, []string{"not one JSON object"}, nil},
		{400, "POST", "/orders", `{"orderId":"o"}`, []string{"customer", "docs/events.md"}, nil},
		{400, "POST", "/orders", `{"orderId":7}`, []string{"bad JSON"}, nil},
		{
			415, "POST", "/orders", order("o"),
			[]string{"application/json"},
			[]string{"Content-Type", "text/plain"},
		},
		{
			413, "POST", "/orders", `{"orderId":"` + strings.Repeat("x", 1<<20) + `"}`,
			[]string{"1 MiB"},
			nil,
		},
		{400, "POST", "/orders/o/cancel", `{"orderId":"p"}`, []string{"not a reason"}, nil},
		{400, "POST", "/orders/o/cancel", `{"reason":7}`, []string{"not a reason"}, nil},
		{400, "GET", "/orders/" + strings.Repeat("x", 201), "", []string{"1 to 200"}, nil},
		{400, "GET", "/orders/%ff", "", []string{"UTF-8"}, nil},
		{400, "GET", "/orders/o?wait=31s", "", []string{"30s"}, nil},
		{400, "GET", "/stuck?limit=501", "", []string{"500"}, nil},
		{400, "GET", "/stuck?cursor=x", "", []string{"cursor: "}, nil},
		{404, "GET", "/orders/o", "", []string{"nothing is known"}, nil},
		{404, "GET", "/orders/a%2Fb", "", []string{"a/b"}, nil},
		{503, "GET", "/orders/broken", "", []string{errBroken.Error()}, nil},
		{501, "GET", "/orders/o/events", "", []string{"tally explain"}, nil},
	} {
		a := wk.ask(tc.method, tc.path, tc.body, tc.headers...)
		a.is(t, tc.status, append(tc.words, `"hint":"`)...)
	}
	w.fault = errors.New("no broker")
	wk.ask("POST", "/orders", order("o")).is(t, http.StatusServiceUnavailable, "no broker",
		"send the same")
}

// TestSameWishSameID: a command that is sent again is the same command.
func TestSameWishSameID(t *testing.T) {
	w := open(t, 1)
	accepted(t, w.workers[0].ask("POST", "/orders", order("o")))
	accepted(t, w.workers[0].ask("POST", "/orders", order("o")))
	if ids := w.ids; len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("ids %q", ids)
	}
}

// TestNoCommands: the main job takes none.
func TestNoCommands(t *testing.T) {
	w := open(t, 1, func(c *api.Config) { c.Commander = nil })
	w.workers[0].ask("POST", "/orders", order("o")).is(t, http.StatusNotImplemented, "--chain")
	w.workers[0].ask("POST", "/orders/o/cancel", "").is(t, http.StatusNotImplemented, "--chain")
}

// TestOwnerMoves: who asks while the partition is on its way is answered when it has
// arrived, wherever it is then.
func TestOwnerMoves(t *testing.T) {
	w := open(t, 3)
	w.placed("o", "ann", 900, "EUR")
	p := partitionOf("o")
	for _, to := range []*worker{w.workers[1], w.workers[2], w.workers[0]} {
		w.move(p, nil)
		answered := make(chan asked, 1)
		go func() { answered <- w.workers[0].get("/orders/o") }()
		w.workers[1].get("/orders/o?wait=30ms").is(t, http.StatusServiceUnavailable, "hint")
		w.move(p, to)
		(<-answered).is(t, 200, `"state":"placed"`)
	}
	// The group still names a worker that is gone.
	w.workers[1].server.Close()
	w.move(p, w.workers[1])
	w.workers[0].get("/orders/o?wait=50ms").is(t, http.StatusServiceUnavailable)
	w.workers[0].get("/money-at-risk", "Tally-Hop", "asked").is(t, http.StatusServiceUnavailable)
	w.move(p, w.workers[2])
	w.workers[0].get("/orders/o").is(t, 200, `"state":"placed"`)
}

// TestForwardedOnce: a question that a peer passed on is not passed on again, and
// what answers at a peer's address has to be a worker.
func TestForwardedOnce(t *testing.T) {
	w := open(t, 2)
	a := w.workers[1].get("/orders/o", "Tally-Hop", "asked")
	a.is(t, http.StatusServiceUnavailable)
	if a.header.Get("Tally-Hop") != "elsewhere" {
		t.Errorf("headers %v", a.header)
	}
	stranger := &worker{w: w, server: newStranger(t)}
	w.move(partitionOf("o"), stranger)
	w.workers[0].get("/orders/o?wait=20ms").is(t, http.StatusServiceUnavailable, "--advertise")
}

// TestLists: the orders of a customer from all workers, the newest first, and what is
// open, the oldest first, page by page; each order once.
func TestLists(t *testing.T) {
	w := open(t, 2)
	w.move(0, w.workers[1])
	w.move(2, w.workers[1])
	const n = 25
	var want []string
	for i := range n {
		id := fmt.Sprintf("o%02d", i)
		w.placed(id, "ann", 100, "EUR")
		w.placed("x"+id, "bob", 100, "EUR")
		want = append(want, id)
	}
	w.confirmed("o03")
	w.confirmed("xo03")
	newest := slices.Clone(want)
	slices.Reverse(newest)
	for _, wk := range w.workers {
		for _, limit := range []int{7, n, n + 1} {
			if got := walk(t, wk, "/customers/ann/orders", limit); !slices.Equal(got, newest) {
				t.Errorf("by %d: %v, want %v", limit, got, newest)
			}
		}
		got := slices.DeleteFunc(walk(t, wk, "/stuck", 9),
			func(id string) bool { return id[0] == 'x' })
		if open := slices.Delete(slices.Clone(want), 3, 4); !slices.Equal(got, open) {
			t.Errorf("stuck: %v, want %v", got, open)
		}
	}
	a := w.workers[0].get("/customers/ann/orders?limit=3").is(t, 200, `"next":"`)
	var page struct{ Next string }
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		t.Fatal(err)
	}
	w.workers[0].get("/customers/bob/orders?cursor="+page.Next).is(t, 400, "cursor: ")
	w.workers[0].get("/customers/nobody/orders").is(t, 200, `"orders":[]`)
	w.move(0, nil)
	before := w.asked()
	answered := make(chan asked, 1)
	go func() { answered <- w.workers[0].get("/money-at-risk") }()
	w.eventually("it looks for the partition again", func() bool { return w.asked() > before+1 })
	w.move(0, w.workers[0])
	(<-answered).is(t, 200, `"orders":48`)
}

// walk reads a list to its end and returns the ids.
func walk(t *testing.T, wk *worker, path string, limit int) (ids []string) {
	t.Helper()
	cursor := ""
	for range 100 {
		a := wk.get(fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor)).is(t, 200)
		var page struct {
			Orders []struct{ Order string }
			Next   string
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Orders {
			ids = append(ids, o.Order)
		}
		if cursor = page.Next; cursor == "" {
			return ids
		}
	}
	t.Fatalf("%s has no end", path)
	return nil
}

// TestMoneyAtRisk: what open orders cost and hold, by currency, from all workers.
func TestMoneyAtRisk(t *testing.T) {
	w := open(t, 2)
	w.move(1, w.workers[1])
	w.move(3, w.workers[1])
	for i := range 10 {
		id := fmt.Sprintf("o%d", i)
		w.placed(id, "ann", 100, "EUR")
		w.paid(id, "p"+id, 30, "EUR")
		w.paid(id, "q"+id, 5, "USD")
	}
	w.confirmed("o0")
	for _, wk := range w.workers {
		wk.get("/money-at-risk").is(t, 200,
			`{"currency":"EUR","orders":9,"total":900,"held":270}`,
			`{"currency":"USD","orders":9,"total":0,"held":45}`)
	}
}

// TestPlacesBeyondTheRow: a row that does not know all places says so.
func TestPlacesBeyondTheRow(t *testing.T) {
	w := open(t, 1)
	for range views.MaxPlaces + 1 {
		w.placed("o", "ann", 900, "EUR")
	}
	w.workers[0].get("/orders/o/places").is(t, http.StatusConflict, "1 are beyond the first 1000")
	w.workers[0].get("/orders/o").is(t, 200, `"records":1001`)
}

// TestOrderShowsItsMoney: what was paid, taken back, corrected and is owed.
func TestOrderShowsItsMoney(t *testing.T) {
	w := open(t, 1)
	w.placed("o", "ann", 900, "EUR")
	w.paid("o", "p1", 90, "EUR")
	w.says("o", tallyv1.OrderView_CORRECTIONS, 3, &tallyv1.CorrectionEvent{
		Event: &tallyv1.CorrectionEvent_PaymentVoided{
			PaymentVoided: &tallyv1.PaymentVoided{PaymentId: "p1", OrderId: "o"},
		},
	})
	w.says("o", tallyv1.OrderView_CORRECTIONS, 4, &tallyv1.CorrectionEvent{
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: "p2", OrderId: "o", Amount: schemas.Money(900, "EUR"), Replaces: "p1",
		}},
	})
	w.says("o", tallyv1.OrderView_EXCEPTIONS, 12, &tallyv1.ExceptionEvent{
		Event: &tallyv1.ExceptionEvent_RefundOwed{RefundOwed: &tallyv1.RefundOwed{
			PaymentId: "p2", OrderId: "o", Amount: schemas.Money(5, "EUR"),
			Reason: tallyv1.RefundOwed_EXCESS,
		}},
	})
	w.workers[0].get("/orders/o").is(t, 200, `"paid":[{"minor":900,"currency":"EUR"}]`,
		`"owed":[{"minor":5,"currency":"EUR"}]`, `"counts":false`, `"replaces":"p1"`,
		`"reason":"excess"`, `"waits_for":"its payment"`)
	w.workers[0].get("/orders/o/places").is(t, 200, `"topic":"corrections"`, `"type":"RefundOwed"`)
}

// TestBusy: beyond the limits there is an answer, and it says when to ask again.
func TestBusy(t *testing.T) {
	w := open(t, 1)
	wk := w.workers[0]
	token, _ := accepted(t, wk.ask("POST", "/orders", order("o")))
	wk.api.Fill()
	for _, a := range []asked{
		wk.ask("POST", "/orders", order("o")).is(t, http.StatusTooManyRequests),
		wk.get("/orders/o?after="+token).is(t, http.StatusServiceUnavailable),
		wk.get("/stuck").is(t, http.StatusServiceUnavailable),
		wk.get("/money-at-risk").is(t, http.StatusServiceUnavailable),
		wk.get("/events").is(t, http.StatusServiceUnavailable),
	} {
		if a.is(t, a.status, "problem:busy"); a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
	}
	wk.get("/orders/o").is(t, 200) // who does not wait takes no room
}
