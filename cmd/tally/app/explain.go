package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/history"
)

// looking back is what explain and state share.
type lookingBack struct {
	rules  rules
	worker string
}

func (l *lookingBack) register(cmd *cobra.Command) {
	l.rules.waits(cmd)
	cmd.Flags().StringVar(&l.worker, "worker", "",
		"address of a worker that runs views, whose index spares the scan")
}

// pastOf opens the past of the topics.
func (m *Main) pastOf(
	ctx context.Context, s *settings, cl *kgo.Client, l *lookingBack,
) (*history.Reader, error) {
	o := s.wiring().past(l.rules, engine.ExactlyOnce, patience)
	if l.worker != "" {
		o.Finder = &history.Views{Address: l.worker}
	}
	return history.Open(ctx, cl, o)
}

// past says how history is to be read that was made by those rules.
func (w wiring) past(r rules, g engine.Guarantee, patience time.Duration) history.Options {
	return history.Options{
		Topology: w.topology, Names: w.names, Chain: w.chain, Rules: r.confirming(w, g),
		Retried: retried, Patience: patience,
	}
}

// unknown puts hints to what history cannot answer.
func unknown(err error, order string) error {
	switch {
	case errors.Is(err, history.ErrUnknown):
		return hinted("check the id, --prefix and --chain", "no topic says anything of order %q", order)
	case errors.Is(err, history.ErrLong):
		return hinted("tally table get "+order+" prints the row of confirm as it is", "%w", err)
	case errors.Is(err, history.ErrUnprocessed):
		return hinted("is a worker of confirm running? tally audit counts what waits", "%w", err)
	case errors.Is(err, history.ErrViews):
		return hinted("is that a worker's HTTP address? Leave --worker out to scan the topics", "%w", err)
	}
	return err
}

// tellCost says on stderr what an answer has cost.
func (m *Main) tellCost(c history.Cost, milliseconds int64) {
	fmt.Fprintf(m.Stderr, "read %s of %s in %s ms, found by %s\n", count(c.Records, "record"),
		count(c.Topics, "topic"), thousands(milliseconds), c.By)
}

func (m *Main) explainCommand(s *settings) *cobra.Command {
	l := &lookingBack{}
	var format string
	var kcat bool
	cmd := &cobra.Command{
		Use:   "explain ORDER",
		Short: "Tell why an order is what it is: who caused what, and each row before and after",
		Long: paragraph(`
			Prints every command and event about the order, none above what caused it, with the
			place of its record, the numbers of its causes, and what it did to the row of
			confirm. All of it is in the topics: the ids of the causes are in each record, and
			--kcat prints the commands that fetch them without tally.

			Without --worker the order's partition of each topic is scanned. The settings of
			rules must be those of the workers.`),
		Example: examples(`
			tally explain o1-000042 --chain
			tally explain o1-000042 --chain --format mermaid
			tally explain o1-000042 --chain --kcat
			tally explain o1-000042 -o json`),
		GroupID: groupLook,
		Args:    exactArgs("ORDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneForm(format, kcat, s.Output == outputJSON); err != nil {
				return err
			}
			if err := l.rules.validate(); err != nil {
				return err
			}
			return m.explain(cmd.Context(), s, l, args[0], func(w io.Writer, story *history.Story) error {
				switch {
				case kcat:
					return writeKcat(w, s.Brokers, story)
				case format == "mermaid":
					return story.Mermaid(w)
				}
				return writeStory(w, story)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", outputText, "text or mermaid")
	cmd.Flags().BoolVar(&kcat, "kcat", false, "print the commands of kcat that fetch the records")
	l.register(cmd)
	return cmd
}

// oneForm refuses an answer that is asked for in two forms.
func oneForm(format string, kcat, inJSON bool) error {
	chart := format == "mermaid"
	switch {
	case format != outputText && !chart:
		return usageError("use text or mermaid, or -o json", "--format has no form %q", format)
	case kcat && chart, kcat && inJSON, chart && inJSON:
		return usageError("ask once for each of them",
			"--kcat, --format mermaid and -o json are three forms of the answer: it has one")
	}
	return nil
}

func (m *Main) explain(
	ctx context.Context, s *settings, l *lookingBack, order string,
	text func(io.Writer, *history.Story) error,
) error {
	began := m.Now()
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	past, err := m.pastOf(ctx, s, cl, l)
	if err != nil {
		return err
	}
	story, err := past.Story(ctx, order)
	if err != nil {
		return unknown(err, order)
	}
	err = m.show(s, story, func(w io.Writer) error { return text(w, story) })
	if err == nil {
		m.tellCost(story.Cost, m.Now().Sub(began).Milliseconds())
	}
	return err
}

const showTime = "2006-01-02 15:04:05.000"

// writeStory writes a story for people.
func writeStory(w io.Writer, s *history.Story) error {
	var b strings.Builder
	fmt.Fprintf(&b, "order %s: %s\n", s.Order, s.State)
	if s.Why != "" {
		fmt.Fprintf(&b, "  by %s\n", s.Why)
	}
	for i := range s.Events {
		writeEvent(&b, &s.Events[i])
	}
	writeNotes(&b, s.Horizon, s.Notes)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeNotes writes what an answer could not take in.
func writeNotes(b *strings.Builder, horizon []history.Place, notes []string) {
	for _, p := range horizon {
		fmt.Fprintf(b, "horizon: %s/%d begins at offset %s; what was before is gone\n", p.Topic,
			p.Partition, thousands(p.Offset))
	}
	for _, note := range notes {
		fmt.Fprintf(b, "note: %s\n", note)
	}
}

// writeEvent writes one event, further to the right than what caused it.
func writeEvent(b *strings.Builder, e *history.Event) {
	indent := strings.Repeat("  ", e.Depth)
	fmt.Fprintf(b, "%4d  %s  %s%s  %s", e.No, e.At.Format(showTime), indent, e.Type, e.Place)
	if e.CopyOf > 0 {
		fmt.Fprintf(b, "  copy of %d", e.CopyOf)
	} else if len(e.Because) > 0 {
		fmt.Fprintf(b, "  because of %s", numbers(e.Because))
	}
	b.WriteByte('\n')
	more := func(text string) {
		fmt.Fprintf(b, "%31s%s    %s\n", "", indent, text)
	}
	if e.Words != "" && e.CopyOf == 0 {
		more(e.Words)
	}
	if e.Row != nil {
		more(e.Row.Processor + ": " + e.Row.Words)
	}
	if e.Refused {
		more("in the dead letters of confirm")
	}
	for _, id := range e.Missing {
		more("because of " + id + ", whose record was not found")
	}
}

func numbers(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

// writeKcat writes the commands that fetch the records of a story.
func writeKcat(w io.Writer, brokers []string, s *history.Story) error {
	for i := range s.Events {
		e := &s.Events[i]
		_, err := fmt.Fprintf(w, "# %d %s\nkcat -C -q -e -b %s -t %s -p %d -o %d -c 1 "+
			"-X isolation.level=read_committed\n", e.No, e.Type, strings.Join(brokers, ","), e.Topic,
			e.Partition, e.Offset)
		if err != nil {
			return err
		}
	}
	return nil
}
