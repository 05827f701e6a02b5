package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A command is one run of tally in a test.
type command struct {
	*Main
	out, err bytes.Buffer
	env      map[string]string
}

func newCommand() *command {
	c := &command{env: map[string]string{}}
	c.Main = &Main{
		Stdout: &c.out, Stderr: &c.err, Now: time.Now,
		LookupEnv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok },
		Width:     func() int { return 0 },
	}
	return c
}

// tally runs a verb and returns what it printed. It fails the test unless the
// verb exits as expected.
func tally(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	c := newCommand()
	if got := c.Run(t.Context(), args); got != want {
		t.Fatalf("tally %s: exit %d, want %d\n%s\n%s", strings.Join(args, " "), got, want,
			&c.out, &c.err)
	}
	return c.out.String(), c.err.String()
}

// TestCommandLine runs the stories of testdata. In them "tally" runs a verb in a
// directory of the story's own, "file" writes a file there, and the lines below
// a tally command are its environment. Nothing listens on port 1.
func TestCommandLine(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, filepath.Join(home, "testdata", "cli"), func(t *testing.T, path string) {
		t.Chdir(t.TempDir())
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "file":
				if err := os.WriteFile(d.CmdArgs[0].Key, []byte(d.Input+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			case "tally":
				return runLine(t, d)
			default:
				t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
				return ""
			}
		})
	})
}

func runLine(t *testing.T, d *datadriven.TestData) string {
	c := newCommand()
	for line := range strings.SplitSeq(d.Input, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			c.env[name] = value
		}
	}
	args := make([]string, len(d.CmdArgs))
	for i, arg := range d.CmdArgs {
		args[i] = arg.String()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code := c.Run(ctx, args)
	return fmt.Sprintf("%s%sexit %d\n", &c.out, &c.err, code)
}

// TestEveryVerbIsExplained holds that each verb says what it does and shows an
// example, and that each flag says what it is for and is not one of all verbs.
func TestEveryVerbIsExplained(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s lacks a description or an example of itself", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not explained", cmd.CommandPath(), f.Name)
			}
			if all := cmd.Root().PersistentFlags().Lookup(f.Name); all != nil && all != f {
				t.Errorf("%s --%s hides the flag of all verbs", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newCommand().root())
}

// TestPrecedence holds that a flag beats the environment, which beats the file,
// which beats the default.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tally", "tally.conf")
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	settings := "# mine\nbrokers: file:1\nprefix: file-\napp: file\nuntil-idle: 3s\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"default", nil, nil, "[localhost:9092]"},
		{"file", map[string]string{"XDG_CONFIG_HOME": dir}, nil, "[file:1] file- file"},
		{
			"environment",
			map[string]string{"XDG_CONFIG_HOME": dir, "TALLY_PREFIX": "env-"},
			nil,
			"[file:1] env- file",
		},
		{"kafka's name", map[string]string{"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}, nil, "[a:1 b:2]"},
		{
			"our name first",
			map[string]string{"KAFKA_BROKERS": "a:1", "TALLY_BROKERS": "b:2"},
			nil,
			"[b:2]",
		},
		{
			"flag",
			map[string]string{"XDG_CONFIG_HOME": dir, "TALLY_BROKERS": "env:1"},
			[]string{"-b", "flag:1"},
			"[flag:1] file- file",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newCommand()
			for name, value := range c.env {
				m.env[name] = value
			}
			cmd := &cobra.Command{Use: "verb", RunE: func(*cobra.Command, []string) error { return nil }}
			s := newSettings(cmd.Flags())
			cmd.Flags().Duration("until-idle", 0, "")
			cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return m.configure(cmd, s) }
			cmd.SetArgs(append([]string{}, c.args...))
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSpace(fmt.Sprint(s.Brokers, " ", s.Prefix, " ",
				strings.TrimPrefix(s.App, "tally")))
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestHintsAreOne holds that a line has one hint, whoever knows something.
func TestHintsAreOne(t *testing.T) {
	for _, c := range []struct{ line, hint, want string }{
		{"a", "", "a"},
		{"a", "b", "a (hint: b)"},
		{"a (x)", "b", "a (x) (hint: b)"},
		{"a (hint: x)", "b", "a (hint: x; b)"},
		{"a (hint: x): c", "b", "a (hint: x): c (hint: b)"},
	} {
		if got := withHint(c.line, c.hint); got != c.want {
			t.Errorf("%q with %q: got %q, want %q", c.line, c.hint, got, c.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000",
	} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
