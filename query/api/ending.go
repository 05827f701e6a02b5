package api

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errEnding means that this worker ends, and cannot answer those who still wait.
var errEnding = errors.New("this worker ends")

// Close tells those who wait, and those who follow, that the worker ends. What does not
// wait is answered as before. Close may be called more than once, and at any time.
func (s *Server) Close() { s.closed.Do(func() { close(s.ending) }) }

// untilEnd returns the request with a context that ends with the worker as well, one
// that is done after wait too, and what frees both.
func (s *Server) untilEnd(
	in *http.Request, wait time.Duration,
) (*http.Request, context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(in.Context())
	go func() {
		select {
		case <-s.ending:
			cancel(errEnding)
		case <-ctx.Done():
		}
	}()
	bounded, stop := context.WithTimeout(ctx, wait)
	return in.WithContext(ctx), bounded, func() { stop(); cancel(nil) }
}

// ends tells whether ctx is done because the worker ends.
func ends(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errEnding) }

// writeEnding answers one who waited. A peer that has passed the question on asks
// whoever has the partition then.
func writeEnding(out http.ResponseWriter, in *http.Request) {
	if hopped(in) {
		out.Header().Set(hopHeader, hopElsewhere)
	}
	problem{
		status: http.StatusServiceUnavailable, name: "ending", detail: errEnding.Error(), retry: 1,
		hint: "ask again, or ask another worker: the token stays good",
	}.write(out)
}

// lastWord is the end of a stream whose worker ends.
func lastWord() []byte { return []byte(": this worker ends: come back\n\n") }
