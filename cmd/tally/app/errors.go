package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A failure is an error with what the operator can do about it, and the exit
// code that the process ends with.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// hinted says why a verb failed and what to do about it.
func hinted(hint, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), hint: hint, code: ExitError}
}

// usageError says that the verb was asked in a way that it does not understand.
func usageError(hint, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), hint: hint, code: ExitUsage}
}

// flagError turns what the flag parser says into a usage error.
func flagError(cmd *cobra.Command, err error) error {
	hint := "see " + cmd.CommandPath() + " --help"
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return usageError(hint, "--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), cause(err))
	}
	return usageError(hint, "%w", err)
}

// exactArgs is cobra.ExactArgs with our errors.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usageError("see "+cmd.CommandPath()+" --help",
				"%s takes no arguments, it got %q", cmd.CommandPath(), args[0])
		}
		return usageError("see "+cmd.CommandPath()+" --help", "%s needs %s, it got %d arguments",
			cmd.CommandPath(), strings.Join(names, " "), len(args))
	}
}

// exitCode is the exit code that err asks for.
func exitCode(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return ExitError
}

// complain writes the one line about err: what, and what to do about it.
func (m *Main) complain(err error) {
	hint := ""
	var (
		f      *failure
		helper interface{ Hint() string }
	)
	if errors.As(err, &f) {
		hint = f.hint
	} else if errors.As(err, &helper) {
		hint = helper.Hint()
	} else if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	line := "tally: " + oneLine(err.Error())
	fmt.Fprintln(m.Stderr, withHint(line, hint))
}

// withHint puts hint behind line, into the brackets of a hint that is there.
func withHint(line, hint string) string {
	if hint == "" {
		return line
	}
	if before, ok := strings.CutSuffix(line, ")"); ok && strings.Contains(line, " (hint: ") {
		return before + "; " + hint + ")"
	}
	return line + " (hint: " + hint + ")"
}

// oneLine folds the lines of a text into one.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}
