package api

import (
	"net/http"
	"time"
)

// bodyWithin is how long the body of a request may take to come.
const bodyWithin = 10 * time.Second

// Handler answers as mux does, and by a problem what mux has nobody for: a path that is
// not there, or a method that is not taken at it. It ends the line of a request whose
// body does not come, also where nobody reads it. A time-out of the server for all that
// it reads would end those that wait as well.
func Handler(mux *http.ServeMux, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if in.ContentLength != 0 {
			// A writer without deadlines belongs to a test.
			_ = http.NewResponseController(out).SetReadDeadline(now().Add(bodyWithin))
		}
		unanswered, pattern := mux.Handler(in)
		if pattern != "" {
			mux.ServeHTTP(out, in)
			return
		}
		said := headers{}
		unanswered.ServeHTTP(said, in)
		p := problem{
			status: http.StatusNotFound, name: "path", detail: "there is nothing at " + in.URL.Path,
			hint: "the page is at /; where views run, /openapi.json describes the rest",
		}
		if methods := said.Header().Get("Allow"); methods != "" {
			out.Header().Set("Allow", methods)
			p = problem{status: http.StatusMethodNotAllowed, name: "method", hint: "use " + methods}
		}
		p.write(out)
	})
}

// headers are all that is kept of an answer.
type headers http.Header

func (h headers) Header() http.Header            { return http.Header(h) }
func (h headers) WriteHeader(int)                {}
func (h headers) Write(text []byte) (int, error) { return len(text), nil }
