package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestLocal: tables, and what the page keeps for this machine, are not for those who come
// through a proxy on it.
func TestLocal(t *testing.T) {
	handler := local(func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusOK) })
	for header, want := range map[string]int{
		"": 200, "Accept": 200, "Forwarded": 403, "X-Forwarded-For": 403, "Via": 403,
	} {
		in := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tables", http.NoBody)
		if in.RemoteAddr, in.Host = "127.0.0.1:9", "localhost:80"; header != "" {
			in.Header.Set(header, "192.0.2.1")
		}
		out := httptest.NewRecorder()
		if handler.ServeHTTP(out, in); out.Code != want {
			t.Errorf("with %q: %d, want %d", header, out.Code, want)
		}
	}
}
