package api

import (
	_ "embed"
	"net/http"
)

// description is the interface as OpenAPI 3.1 describes it. A test holds it to what
// the handlers answer.
//
//go:embed openapi.json
var description []byte

// describe answers with the description of the interface.
func (s *Server) describe(out http.ResponseWriter, _ *http.Request) {
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "application/json")
	out.Write(description) //nolint:errcheck // the one who asked has gone
}
