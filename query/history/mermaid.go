package history

import (
	"fmt"
	"io"
	"strings"
)

// Mermaid writes the story as a flowchart of Mermaid: who caused what.
func (s *Story) Mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	for i := range s.Events {
		e := &s.Events[i]
		lines := []string{e.Type, e.At.Format("2006-01-02 15:04:05.000"), e.Place.String()}
		if e.Words != "" {
			lines = append(lines, e.Words)
		}
		if e.Row != nil {
			lines = append(lines, e.Row.Processor+": "+e.Row.Words)
		}
		for k := range lines {
			lines[k] = label(lines[k])
		}
		fmt.Fprintf(&b, "  e%d[\"%s\"]\n", e.No, strings.Join(lines, "<br/>"))
	}
	for i := range s.Events {
		e := &s.Events[i]
		for _, cause := range e.Because {
			arrow := "-->"
			if cause == e.CopyOf {
				arrow = "-.->"
			}
			fmt.Fprintf(&b, "  e%d %s e%d\n", cause, arrow, e.No)
		}
		for k, id := range e.Missing {
			fmt.Fprintf(&b, "  m%d_%d[\"not found: %s\"] --> e%d\n", e.No, k, label(id), e.No)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// label makes a text fit for a quoted label.
func label(text string) string {
	return strings.NewReplacer(
		"#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ",
	).Replace(text)
}
