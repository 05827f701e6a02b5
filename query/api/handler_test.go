package api_test

import (
	"io"
	"net/http"
	"testing"
)

// TestNobodyAnswers: what nobody answers is a problem too, at the paths of the interface and
// beside them, and a method that is not taken comes with those that are.
func TestNobodyAnswers(t *testing.T) {
	wk := open(t, 1).workers[0]
	for _, c := range []struct {
		method, path string
		status       int
		name, allow  string
	}{
		{"GET", "/nope", 404, "path", ""},
		{"GET", "/orders/", 404, "path", ""},
		{"GET", "/orders/o/nope", 404, "path", ""},
		{"GET", "/customers/ann", 404, "path", ""},
		{"POST", "/", 404, "path", ""},
		{"GET", "//nope", 404, "path", ""},
		{"GET", "/orders", 405, "method", "POST"},
		{"DELETE", "/orders/o", 405, "method", "GET, HEAD"},
		{"PATCH", "/stuck", 405, "method", "GET, HEAD"},
	} {
		in, err := http.NewRequestWithContext(t.Context(), c.method, wk.server.URL+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		out, err := http.DefaultClient.Do(in)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(out.Body)
		out.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		h := out.Header
		if h.Get("Allow") != c.allow || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s, allowed %q", c.method, c.path, h.Get("Content-Type"), h.Get("Allow"))
		}
		wk.spec.valid(t, "#/components/schemas/Problem", text)
		asked{out.StatusCode, h, string(text)}.is(t, c.status, "urn:tallystick:problem:"+c.name,
			`"hint":`)
	}
}
