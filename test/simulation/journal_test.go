package simulation

import (
	"context"
	"log/slog"
	"strings"
)

// A journal keeps the last lines that the workers logged.
type journal struct {
	slog.Handler
	w *worker
	s *simulation
}

// Handle looks at a line: where a restore begins tells whether a crash cost
// more than the tail of the changelog.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	attrs := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		return true
	})
	if r.Message == "restored" {
		p, from := int32(attrs["partition"].Int64()), attrs["from"].Int64()
		if on, ok := j.w.onDisk[p]; ok && from <= on {
			j.s.complain("%s restored partition %d from %d, and had it up to %d",
				j.w.name, p, from, on)
		}
	}
	return j.Handler.Handle(ctx, r)
}

// WithAttrs is needed for the lines of handlers made by With to be looked at.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	j.Handler = j.Handler.WithAttrs(attrs)
	return j
}

// logger keeps the last lines of all workers.
func (s *simulation) logger(w *worker) *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "group" {
			return slog.Attr{}
		}
		return a
	}}
	return slog.New(journal{Handler: slog.NewTextHandler(tail{s}, o), w: w, s: s})
}

// A tail is where the log goes.
type tail struct{ s *simulation }

func (t tail) Write(b []byte) (int, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.lines = append(t.s.lines, t.s.clock()+" "+strings.TrimSpace(string(b)))
	if n := len(t.s.lines); n > 4*tailLines {
		t.s.lines = append([]string{}, t.s.lines[n-tailLines:]...)
	}
	return len(b), nil
}
