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
