// Package app is the command line of tally: one file per verb, and the wiring
// of the rooms that a verb needs. It decides nothing about orders or money.
// The binary and the end-to-end tests run the same [Main].
package app

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"
)

// Exit codes of the process. Only a verb that did all of its work exits with
// [ExitOK].
const (
	ExitOK    = 0 // the verb did what it was asked
	ExitError = 1 // it could not, or it found differences
	ExitUsage = 2 // it was asked in a way that it does not understand
)

// Main is one run of the tally command, with everything that it takes from the
// process as a field, so that tests can stand in for the process.
type Main struct {
	// Stdout receives results, Stderr progress, logs and the one line that
	// says why a verb failed.
	Stdout, Stderr io.Writer
	// LookupEnv reads the environment.
	LookupEnv func(string) (string, bool)
	// Now is the clock of the process.
	Now func() time.Time
	// Client is put behind the options of every Kafka client that is made.
	Client []kgo.Opt
	// Terminal says that Stderr is a terminal, which is where progress may
	// rewrite its own line. Width is the terminal's, 0 when unknown.
	Terminal bool
	Width    func() int
	// Answers is read where a verb asks something on the terminal; nil where nobody
	// can be asked.
	Answers io.Reader
	// Name is what the process was called by, as its first argument; "tally" if empty.
	Name string
	// Ready is told the addresses of what a verb serves, when it serves it.
	// Nil where nobody asks.
	Ready func(Serving)
}

// Serving names what a running verb answers on.
type Serving struct {
	Brokers []string // the embedded broker of a demo, else those of the cluster
	HTTP    string   // the worker's address, empty without one
}

// New returns the command of this process, writing to out and err.
func New(out, err io.Writer) *Main {
	m := &Main{
		Stdout: out, Stderr: err, LookupEnv: os.LookupEnv, Now: time.Now, Name: os.Args[0],
	}
	m.Terminal, m.Width = terminal(err)
	if m.Terminal && term.IsTerminal(int(os.Stdin.Fd())) {
		m.Answers = os.Stdin
	}
	return m
}

// called is what to type for another verb.
func (m *Main) called() string {
	switch {
	case m.Name == "":
		return "tally"
	case strings.Contains(m.Name, "go-build"): // by go run
		return "go run ./cmd/tally"
	}
	return m.Name
}

// Run executes the verb that args name and returns the exit code. It writes at
// most one line about a failure to Stderr.
func (m *Main) Run(ctx context.Context, args []string) int {
	root := m.root()
	root.SetArgs(args)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	verb, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	m.complain(verb.CommandPath(), err)
	return exitCode(err)
}

// verbs are the groups that the help shows, in this order.
const (
	groupWork = "work"
	groupLook = "look"
)

// root builds the command tree. It is built for each run, so that no flag
// keeps a value from one run to the next.
func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tally",
		Short: "Join orders and payments on Kafka, exactly once",
		Long: paragraph(`
			tally keeps each half of a deal, the order and its payments, in a local table
			until the other half arrives, and emits one confirmation, exactly once.
			
			New here? "tally demo" shows everything in one process, without Kafka.`),
		Example: examples(`
			tally demo
			tally topics apply --brokers localhost:9092
			tally run --brokers localhost:9092`),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: groupWork, Title: "Work:"},
		&cobra.Group{ID: groupLook, Title: "Look:"})
	root.SetUsageTemplate(shortUsage(root.UsageTemplate()))
	root.SetFlagErrorFunc(flagError)
	s := newSettings(root.PersistentFlags())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return m.configure(cmd, s)
	}
	for _, verb := range []func(*settings) *cobra.Command{
		m.demoCommand, m.runCommand, m.topicsCommand, m.loadCommand, m.orderCommand,
		m.correctCommand,
		m.tableCommand, m.explainCommand, m.stateCommand, m.auditCommand, m.whatifCommand,
		m.deadLettersCommand, m.noticesCommand, m.graphCommand, m.benchCommand, m.versionCommand,
	} {
		root.AddCommand(verb(s))
	}
	needVerb(root)
	return root
}

// groupFlags shows a verb of a group the flags that its group shares.
const groupFlags = `{{if and .HasParent .Parent.HasParent .Parent.HasAvailablePersistentFlags}}

Flags of {{.Parent.CommandPath}}:
{{.Parent.PersistentFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}`

// shortUsage is cobra's template of the usage without the flags that all verbs
// share, which are shown once, in the help of tally itself.
func shortUsage(template string) string {
	const begin, end = "{{if .HasAvailableInheritedFlags}}", "{{if .HasHelpSubCommands}}"
	before, rest, ok := strings.Cut(template, begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		return template
	}
	return before + begin + groupFlags +
		"\n\nFor brokers, TLS, SASL, output and log see tally --help.{{end}}" + end + after
}

// needVerb makes cmd show its help when it is called without a verb of its own,
// and name the verb that was meant when it is called with an unknown one.
func needVerb(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := seeHelp
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + cmd.CommandPath() + " " + near[0] + "?"
		}
		return usageError(hint, "%s has no verb %q", cmd.CommandPath(), args[0])
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// paragraph strips the indentation of the source from a text.
func paragraph(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t")
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// examples indents the lines of a paragraph as the help shows them.
func examples(s string) string {
	return "  " + strings.ReplaceAll(paragraph(s), "\n", "\n  ")
}
