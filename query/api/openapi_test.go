package api_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A specification is the description of the interface, to which all answers of the
// tests are held.
type specification struct {
	paths    map[string]map[string]operation
	compiler *jsonschema.Compiler
	mu       sync.Mutex // of the compiler, which is for one at a time
}

type operation struct {
	Responses map[string]response `json:"responses"`
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"content"`
}

func specified(t *testing.T) *specification {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &specification{compiler: jsonschema.NewCompiler()}
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	s.paths = doc.Paths
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return s
}

// pathOf returns the path of the description that a request is for.
func (s *specification) pathOf(path string) (string, bool) {
	for template := range s.paths {
		pattern := "^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(
			regexp.QuoteMeta(template), "[^/]+") + "$"
		if regexp.MustCompile(pattern).MatchString(path) {
			return template, true
		}
	}
	return "", false
}

// holds fails the test unless the answer is one that is described.
func (s *specification) holds(t *testing.T, method, path string, out *http.Response, body []byte) {
	t.Helper()
	template, ok := s.pathOf(path)
	if !ok {
		t.Errorf("%s is not described", path)
		return
	}
	op, ok := s.paths[template][strings.ToLower(method)]
	if !ok { // a method that is not allowed is answered as for the others
		for _, op = range s.paths[template] {
			break
		}
	}
	code := strconv.Itoa(out.StatusCode)
	described, ok := op.Responses[code]
	if !ok {
		t.Errorf("%s %s answers %s, which is not described: %s", method, template, code, body)
		return
	}
	at := "#/paths/" + strings.ReplaceAll(strings.ReplaceAll(template, "~", "~0"), "/", "~1") + "/" +
		strings.ToLower(method) + "/responses/" + code
	kind, _, err := mime.ParseMediaType(out.Header.Get("Content-Type"))
	if err != nil {
		t.Errorf("%s %s: %v", method, template, err)
	}
	if described.Ref != "" {
		at = described.Ref
		kind = "application/problem+json"
		if !strings.HasPrefix(out.Header.Get("Content-Type"), kind) {
			t.Errorf("%s %s answers %s as %s", method, template, code, out.Header.Get("Content-Type"))
		}
	} else if _, ok := described.Content[kind]; !ok {
		t.Errorf("%s %s answers %s as %s, which is not described", method, template, code, kind)
		return
	}
	if kind == "text/event-stream" {
		return
	}
	s.valid(t, at+"/content/"+strings.ReplaceAll(kind, "/", "~1")+"/schema", body)
}

// valid holds a JSON text to a schema of the description.
func (s *specification) valid(t *testing.T, pointer string, text []byte) {
	t.Helper()
	s.mu.Lock()
	schema, err := s.compiler.Compile("openapi.json" + pointer)
	s.mu.Unlock()
	if err != nil {
		t.Errorf("%s: %v", pointer, err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Errorf("%v in %s", err, text)
		return
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s is not as %s says: %v", text, pointer, err)
	}
}

// TestDescribed: every route is described, and nothing else is.
func TestDescribed(t *testing.T) {
	w := open(t, 1)
	spec := w.workers[0].spec
	n := 0
	for template, ops := range spec.paths {
		path := strings.ReplaceAll(template, "{id}", "x")
		for method := range ops {
			n++
			// Whatever is wrong with the request, there is somebody who says so.
			a := w.workers[0].ask(strings.ToUpper(method), path+"?wait=never&limit=none&order="+
				strings.Repeat("x", 300), "")
			if a.status == http.StatusNotFound && !strings.Contains(a.body, "urn:tallystick") {
				t.Errorf("nobody answers %s %s", method, template)
			}
		}
		a := w.workers[0].ask("PATCH", path, "")
		a.is(t, http.StatusMethodNotAllowed, "urn:tallystick:problem:method")
		for method := range ops {
			if !strings.Contains(a.header.Get("Allow"), strings.ToUpper(method)) {
				t.Errorf("%s allows %s, not %s", template, a.header.Get("Allow"), method)
			}
		}
	}
	if n != 10 {
		t.Errorf("%d operations are described, and there are 10", n)
	}
	served := w.workers[0].get("/openapi.json").is(t, 200, `"openapi": "3.1.0"`)
	text, err := os.ReadFile("openapi.json")
	if err != nil || served.body != string(text) {
		t.Errorf("what is served is not the file: %v", err)
	}
}

// TestExamplesAreValid: the example of an order is one that is taken.
func TestExamplesAreValid(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Examples []json.RawMessage `json:"examples"`
			} `json:"schemas"`
		} `json:"components"`
	}
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	w := open(t, 1)
	for _, example := range doc.Components.Schemas["PlaceOrder"].Examples {
		w.workers[0].spec.valid(t, "#/components/schemas/PlaceOrder", example)
		w.workers[0].ask("POST", "/orders", string(example)).is(t, http.StatusAccepted)
	}
}
