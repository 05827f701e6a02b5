package send_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tallystick/processors/notify/send"
	"tallystick/schemas/tallyv1"
)

func clientTLS(t *testing.T, transport http.RoundTripper) *tls.Config {
	t.Helper()
	tr, ok := transport.(*http.Transport)
	if !ok {
		t.Fatalf("%T is not a transport", transport)
	}
	c := tr.TLSClientConfig.Clone()
	c.ServerName = "example.com" // as the certificate has it
	return c
}

// TestWebhookOutcomes has a real receiver answer and fail in all ways.
func TestWebhookOutcomes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"taken":       {status(204), "accepted"},
		"later":       {status(503), "refused"},
		"too many":    {status(429), "refused"},
		"failed":      {status(500), "refused"},
		"gone":        {status(410), "refused for good"},
		"bad gateway": {status(502), "unsettled"},
		"slow behind": {status(504), "unsettled"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
		}, "refused for good"},
		"connection lost": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, "unsettled"},
		"no answer": {func(http.ResponseWriter, *http.Request) { <-release }, "unsettled"},
		"endless answer": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				tc.handler(w, r)
			}))
			t.Cleanup(web.CloseClientConnections)
			s, results := newSender(t, send.Config{Webhook: &send.Webhook{
				URL: web.URL, Timeout: 500 * time.Millisecond,
			}})
			s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1"))
			if got := brief(results.next(t)); got != tc.want {
				t.Errorf("the attempt is %s, want %s", got, tc.want)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the receiver was asked %d times", n)
			}
		})
	}
}

// TestWebhookNobodyThere: no connection, or none that can be trusted, so that
// nothing can have been taken.
func TestWebhookNobodyThere(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	foreign := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request came through")
	}))
	t.Cleanup(foreign.Close)
	for _, url := range []string{gone.URL, foreign.URL} {
		s, results := newSender(t, send.Config{Webhook: &send.Webhook{URL: url}})
		s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1"))
		if got := brief(results.next(t)); got != "refused" {
			t.Errorf("%s: the attempt is %s", url, got)
		}
	}
}

// TestWebhookEvent reads the request as a receiver of CloudEvents does.
func TestWebhookEvent(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan map[string]any, 1)
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" ||
			r.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("headers are %v", r.Header)
		}
		var e map[string]any
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
		got <- e
	}))
	t.Cleanup(web.Close)
	s, results := newSender(t, send.Config{Webhook: &send.Webhook{
		URL: web.URL, TokenFile: token, TLS: clientTLS(t, web.Client().Transport),
	}})
	s.Take(t.Context(), effects(t, tallyv1.Channel_WEBHOOK, "o1"))
	e := <-got
	for name, want := range map[string]string{
		"specversion": "1.0", "id": "c-o1", "source": "tally-notify", "subject": "o1",
		"type": "tally.v1.OrderConfirmed", "datacontenttype": "application/json",
		"time": "2026-05-04T12:00:00Z",
	} {
		if e[name] != want {
			t.Errorf("%s is %v, want %s", name, e[name], want)
		}
	}
	data, _ := e["data"].(map[string]any)
	if data["order_confirmed"] == nil {
		t.Errorf("data is %v", data)
	}
	r := results.next(t).GetAttemptRefused()
	if r.GetRetryAfterUs() != 120_000_000 {
		t.Errorf("the refusal is %v", r)
	}
}

// TestWebhookSettings: what can't work or would show a secret is refused.
func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "ftp://example.com", "http://u:p@example.com", "http://"} {
		_, err := send.New(t.Context(), send.Config{
			Webhook: &send.Webhook{URL: url}, Report: (&reports{}).take, Now: time.Now,
		})
		if err == nil {
			t.Errorf("%q was accepted", url)
		}
	}
}
