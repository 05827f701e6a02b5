package app

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"tallystick/query/reading"
)

// show writes one result: value as one JSON object where the settings ask for
// it, else what text writes.
func (m *Main) show(s *settings, value any, text func(io.Writer) error) error {
	if s.Output != outputJSON {
		return text(m.Stdout)
	}
	out := json.NewEncoder(m.Stdout)
	out.SetEscapeHTML(false)
	if err := out.Encode(value); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// logger writes the log of a verb to Stderr. It speaks of what the operator
// should know, so it starts at the level that the settings say.
func (m *Main) logger(s *settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == outputJSON {
		return slog.New(slog.NewJSONHandler(m.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(m.Stderr, opts))
}

// terminal says whether w is one, and how to ask for its width.
func terminal(w io.Writer) (bool, func() int) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return false, func() int { return 0 }
	}
	return true, func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}

// columns writes lines whose cells, with a tab between them, stand below each other. No
// line ends in blanks.
func columns(w io.Writer, flags uint, fill func(io.Writer)) error {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', flags)
	fill(out)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("output: %w", err)
		}
	}
	return nil
}

// thousands writes n with a comma between groups of three digits.
func thousands[N ~int | ~int32 | ~int64](n N) string {
	return reading.Thousands(int64(n))
}

// count names n things.
func count[N ~int | ~int32 | ~int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}
