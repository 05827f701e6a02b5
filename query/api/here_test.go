package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"tallystick/query/api"
	"tallystick/query/history"
)

// TestFromHere: this machine's own are those who come from it by a name of it, and for
// nobody else.
func TestFromHere(t *testing.T) {
	for _, tc := range []struct {
		from, host, header string
		want               bool
	}{
		{"127.0.0.1:9", "localhost:80", "", true},
		{"127.0.0.1:9", "127.0.0.1", "", true},
		{"[::1]:9", "[::1]:80", "", true},
		{"127.0.0.1:9", "LocalHost", "", true},
		{"192.0.2.1:9", "localhost", "", false},
		{"127.0.0.1:9", "192.0.2.1", "", false},
		{"127.0.0.1:9", "evil.example", "", false},
		{"", "localhost", "", false},
		{"127.0.0.1:9", "", "", false},
		{"127.0.0.1:9", "localhost", "Forwarded", false},
		{"127.0.0.1:9", "localhost", "X-Forwarded-For", false},
		{"127.0.0.1:9", "localhost", "X-Real-Ip", false},
		{"127.0.0.1:9", "localhost", "Via", false},
	} {
		in := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if in.RemoteAddr, in.Host = tc.from, tc.host; tc.header != "" {
			in.Header.Set(tc.header, "")
		}
		if got := api.FromHere(in); got != tc.want {
			t.Errorf("from %q for %q with %q: %t, want %t", tc.from, tc.host, tc.header, got, tc.want)
		}
	}
}

// TestBehindAProxy: who comes through a proxy may read, and nothing that is for this
// machine alone, unless he has the token.
func TestBehindAProxy(t *testing.T) {
	story := func(context.Context, string) (*history.Story, error) {
		return &history.Story{Order: "o", State: "placed", Events: []history.Event{}}, nil
	}
	w := open(t, 1, func(c *api.Config) { c.Story = story })
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		wk := w.workers[0]
		wk.get("/stuck", header, "192.0.2.1").is(t, http.StatusOK)
		wk.get("/orders/o/events", header, "192.0.2.1").is(t, http.StatusForbidden, `"hint":"`)
		wk.ask("POST", "/orders", order("o"), header, "192.0.2.1").
			is(t, http.StatusForbidden, "--http-token-file")
	}
	w = open(t, 1, func(c *api.Config) { c.Story, c.Token = story, "s3cret" })
	wk := w.workers[0]
	wk.get("/orders/o/events", "Via", "1.1 p", "Authorization", "Bearer s3cret").is(t, http.StatusOK)
	wk.ask("POST", "/orders", order("o"), "Via", "1.1 p", "Authorization", "Bearer s3cret").
		is(t, http.StatusAccepted)
}
