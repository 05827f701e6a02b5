package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// refusing is a way by which nothing gets anywhere, like a proxy that is none.
type refusing struct{}

// RoundTrip fails.
func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this is the way of the proxy")
}

// TestPageBuffersMissing: partitions that are missing on any page of the list are named
// once, and a worker asks itself without a proxy.
func TestPageBuffersMissing(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if in.URL.Query().Get("cursor") == "" {
			fmt.Fprint(out, `{"orders":[],"next":"2","missing":[3]}`)
			return
		}
		fmt.Fprint(out, `{"orders":[],"missing":[1,3]}`)
	}))
	t.Cleanup(s.Close)
	usual := http.DefaultTransport
	http.DefaultTransport = refusing{}
	t.Cleanup(func() { http.DefaultTransport = usual })
	w, err := (&viewBuffers{strings.TrimPrefix(s.URL, "http://")}).Waiting(t.Context())
	if err != nil || !slices.Equal(w.Missing, []int32{1, 3}) {
		t.Errorf("missing %v, want 1 and 3 (%v)", w.Missing, err)
	}
}

// TestPageBuffersCount: what waits is counted as the table of confirm has it. Money that
// has to go back covers no order, and an order that has not come waits only if something
// is held for it.
func TestPageBuffersCount(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(out, `{"orders":[
			{"order":"o1","total":{"minor":900,"currency":"EUR"},
			 "paid":[{"minor":700,"currency":"EUR"}],"owed":[{"minor":300,"currency":"EUR"}]},
			{"order":"p1","paid":[{"minor":50,"currency":"EUR"}],"owed":[]},
			{"order":"void","paid":[],"owed":[]},
			{"order":"owed","paid":[{"minor":80,"currency":"USD"}],
			 "owed":[{"minor":80,"currency":"USD"}]}]}`)
	}))
	t.Cleanup(s.Close)
	w, err := (&viewBuffers{strings.TrimPrefix(s.URL, "http://")}).Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w.Orders.Count != 1 || w.Orders.Money["EUR"] != 500 || w.Payments.Count != 1 ||
		len(w.Payments.Money) != 1 || w.Payments.Money["EUR"] != 50 || len(w.Longest) != 2 {
		t.Errorf("what waits is %+v", w)
	}
}
