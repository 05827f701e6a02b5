package api

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// A problem is an answer that says why there is no other: RFC 9457, with a hint for
// whoever asked.
type problem struct {
	status int
	// name is the last part of the type, which programs can tell problems apart by.
	name   string
	detail string
	hint   string
	// retry is after how many seconds it makes sense to ask again; 0 if never.
	retry int
	// here says that it is the answer to a question that a peer has passed on.
	here bool
}

// problemJSON is how a problem is written.
type problemJSON struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

func (p problem) write(out http.ResponseWriter) {
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "application/problem+json")
	if p.here {
		h.Set(hopHeader, hopHere)
	}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	text, err := json.Marshal(problemJSON{
		Type: "urn:tallystick:problem:" + p.name, Title: http.StatusText(p.status), Status: p.status,
		Detail: p.detail, Hint: p.hint,
	})
	if err != nil { // texts alone: it does not happen
		text = []byte("{}")
	}
	out.WriteHeader(p.status)
	out.Write(append(text, '\n')) //nolint:errcheck // the one who asked has gone
}

// badRequest says what is wrong with a request.
func badRequest(detail, hint string) problem {
	return problem{status: http.StatusBadRequest, name: "request", detail: detail, hint: hint}
}

// busy says that too much is under way already. A peer is told that it has asked a
// worker nevertheless.
func busy(in *http.Request, status int, what string) problem {
	return problem{
		here: hopped(in), status: status, name: "busy", retry: 1,
		detail: "too many " + what + " are under way",
		hint:   "ask again, or ask another worker",
	}
}

// failed says that a table could not be read.
func failed(err error) problem {
	return problem{
		status: http.StatusServiceUnavailable, name: "table", detail: err.Error(), retry: 1,
		hint: "the table may be on its way to another worker: ask again",
	}
}

// secured says what browsers may not do with an answer.
func secured(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
}

// answer writes a value as JSON.
func answer(out http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		failed(err).write(out)
		return
	}
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "application/json")
	out.WriteHeader(status)
	out.Write(append(text, '\n')) //nolint:errcheck // the one who asked has gone
}
