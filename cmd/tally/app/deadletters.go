package app

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sorting is which dead letters a verb is about.
type sorting struct {
	group, topic, key, class string
	open                     bool
	limit                    int
}

func (m *Main) deadLettersCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dead-letters",
		Aliases: []string{"dead-letter"},
		Short:   "See what could not be processed and why, and process it again or drop it",
		Long: paragraph(`
			A record that a processor cannot take goes to the dead letters with the reason. Where
			keys are parked, all later records of its key wait there behind it, in order, until the
			first one is retried or dropped.

			A retry goes through the processor's own topic, so that each letter is processed once,
			in its place, however often it is asked for. A PLACE is topic/partition/offset of the
			dead letter, as ls prints it.`),
		Example: examples(`
			tally dead-letters ls
			tally dead-letters show tally-dead-letters/0/17
			tally dead-letters retry o1-000042 --value mended.json --reason "broken JSON"
			tally dead-letters drop o1-000042 --reason "a test of the shop's"`),
		GroupID: groupWork,
	}
	needVerb(cmd)
	cmd.AddCommand(m.lettersLs(s), m.lettersShow(s), m.lettersRetry(s), m.lettersDrop(s))
	return cmd
}

func (m *Main) lettersLs(s *settings) *cobra.Command {
	w := &sorting{}
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the dead letters and what became of them, the latest last",
		Example: examples(`
			tally dead-letters ls
			tally dead-letters ls --open --group tally-confirm
			tally dead-letters ls --key o1-000042 -o json`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.limit < 0 {
				return usageError("0 prints them all", "--limit must not be below zero")
			}
			cl, err := m.connect(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer cl.Close()
			box, err := m.readLetters(cmd.Context(), s, cl)
			if err != nil {
				return err
			}
			return m.listLetters(s, w, box)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.group, "group", "", "only those of this consumer group")
	f.StringVar(&w.topic, "topic", "", "only records of this topic")
	f.StringVar(&w.key, "key", "", "only records of this key")
	f.StringVar(&w.class, "class", "", "only this class, for example malformed or parked")
	f.BoolVar(&w.open, "open", false, "only those that nothing has been done about")
	f.IntVar(&w.limit, "limit", 50, "the latest so many; 0 for all")
	return cmd
}

func (w *sorting) takes(l *deadLetter) bool {
	return (w.group == "" || w.group == l.Group) && (w.topic == "" || w.topic == l.Topic) &&
		(w.key == "" || w.key == string(l.Key)) && (w.class == "" || w.class == l.Class) &&
		(!w.open || l.open())
}

// listLetters prints the latest attempt at each record.
func (m *Main) listLetters(s *settings, w *sorting, box *letterBox) error {
	var list []*deadLetter
	latest := box.latest()
	for _, l := range latest {
		if w.takes(l) {
			list = append(list, l)
		}
	}
	all := len(list)
	if w.limit > 0 && all > w.limit {
		list = list[all-w.limit:]
	}
	if s.Output == outputJSON {
		out := json.NewEncoder(m.Stdout)
		out.SetEscapeHTML(false)
		for _, l := range list {
			if err := out.Encode(l.shown()); err != nil {
				return fmt.Errorf("output: %w", err)
			}
		}
	} else if err := writeLetters(m.Stdout, list, len(latest)); err != nil {
		return err
	}
	if all > len(list) {
		fmt.Fprintf(m.Stderr, "the latest %s of %s are shown (hint: --limit 0 prints them all, "+
			"--key, --group, --topic, --class and --open choose)\n", thousands(len(list)), thousands(all))
	}
	return nil
}

// reasonWidth is how much of a reason a line of ls holds.
const reasonWidth = 60

// writeLetters writes those of so many letters that were asked for.
func writeLetters(w io.Writer, list []*deadLetter, of int) error {
	switch {
	case len(list) == 0 && of > 0:
		_, err := fmt.Fprintf(w, "no dead letters that fit, of %s\n", thousands(of))
		return err
	case len(list) == 0:
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "PLACE\tWHEN\tGROUP\tRECORD\tKEY\tCLASS\tSTATE\tREASON")
	for _, l := range list {
		reason := []rune(oneLine(l.Reason))
		if len(reason) > reasonWidth {
			reason = append(reason[:reasonWidth-1], '…')
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.place,
			l.Timestamp.UTC().Format(time.DateTime), l.Group, l.Where(),
			cmp.Or(oneLine(string(l.Key)), "-"), l.Class, l.says(), string(reason))
	}
	return out.Flush()
}

// A shownLetter is a dead letter as JSON.
type shownLetter struct {
	Place    string            `json:"place"`
	When     time.Time         `json:"when"`
	Group    string            `json:"group"`
	Record   string            `json:"record"`
	Key      string            `json:"key"`
	Class    string            `json:"class"`
	Reason   string            `json:"reason"`
	State    letterState       `json:"state"`
	Behind   int64             `json:"behind"`
	Attempt  int               `json:"attempt"`
	ParkedBy string            `json:"parked_by,omitempty"`
	Sequence *int64            `json:"sequence,omitempty"`
	Retry    string            `json:"retry,omitempty"`
	Said     string            `json:"operator_reason,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Bytes    int               `json:"value_bytes"`
	Kept     int               `json:"value_bytes_kept"`
	Value    json.RawMessage   `json:"value,omitempty"`
	Hex      string            `json:"value_hex,omitempty"`
}

func (l *deadLetter) shown() shownLetter {
	shown := shownLetter{
		Place: l.place, When: l.Timestamp.UTC(), Group: l.Group, Record: l.Where(),
		Key: string(l.Key), Class: l.Class, Reason: l.Reason, State: l.state, Behind: l.behind,
		Attempt: l.Attempt, ParkedBy: l.ParkedBy, Retry: l.Retry, Said: l.said,
		Bytes: l.ValueBytes, Kept: len(l.Value),
	}
	if l.ParkedBy != "" {
		shown.Sequence = &l.Sequence
	}
	return shown
}

func (m *Main) lettersShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "show PLACE",
		Short: "Print one dead letter: its headers, and its value as JSON or else in hex",
		Example: examples(`
			tally dead-letters show tally-dead-letters/0/17
			tally dead-letters show tally-dead-letters/0/17 -o json`),
		Args: exactArgs("PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := m.connect(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer cl.Close()
			box, err := m.readLetters(cmd.Context(), s, cl)
			if err != nil {
				return err
			}
			l, err := box.at(args[0])
			if err != nil {
				return err
			}
			shown := l.shown()
			shown.Headers = headerTexts(l.Headers)
			if value, err := s.decode(l.Topic, l.Value); err == nil {
				shown.Value = value
			} else {
				shown.Hex = hex.EncodeToString(l.Value)
			}
			return m.show(s, shown, func(w io.Writer) error { return writeLetter(w, l, shown) })
		},
	}
}

func headerTexts(headers []kgo.RecordHeader) map[string]string {
	texts := map[string]string{}
	for _, h := range headers {
		texts[h.Key] = string(h.Value)
	}
	return texts
}

// writeLetter prints a dead letter for people.
func writeLetter(w io.Writer, l *deadLetter, shown shownLetter) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%s\t%s\n", name, oneLine(value))
		}
	}
	line("place", l.place)
	line("record", l.Where())
	line("time", l.Timestamp.UTC().Format(time.RFC3339Nano))
	line("key", string(l.Key))
	line("group", l.Group)
	line("class", l.Class)
	line("reason", l.Reason)
	line("state", l.says())
	line("attempt", fmt.Sprint(l.Attempt))
	line("parked by", l.ParkedBy)
	line("retry", l.Retry)
	line("said", l.said)
	for _, h := range l.Headers {
		line("header "+h.Key, string(h.Value))
	}
	size := count(l.ValueBytes, "byte")
	if len(l.Value) < l.ValueBytes {
		size += fmt.Sprintf(", of which the letter has %s", thousands(len(l.Value)))
	}
	line("value", size)
	if err := out.Flush(); err != nil {
		return err
	}
	if shown.Value != nil {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, shown.Value, "", "  "); err != nil {
			return fmt.Errorf("output: %w", err)
		}
		_, err := fmt.Fprintln(w, pretty.String())
		return err
	}
	_, err := io.WriteString(w, hex.Dump(l.Value))
	return err
}

// decode reads a value as what its topic holds, or as JSON of any kind.
func (s *settings) decode(topic string, value []byte) (json.RawMessage, error) {
	read := s.wiring().decoders()[topic]
	if read != nil {
		if event, err := read(value); err == nil {
			return event.JSON()
		}
	}
	if !json.Valid(value) {
		return nil, fmt.Errorf("not JSON, nor what %s holds", topic)
	}
	return slices.Clone(value), nil
}
