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

// seeHelp is the hint to the help of the verb that was called.
const seeHelp = "see --help"

// flagError turns what the flag parser says into a usage error.
func flagError(cmd *cobra.Command, err error) error {
	var (
		invalid *pflag.InvalidValueError
		pointed *pointError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &pointed) && errors.As(err, &invalid):
		currency := "" // as far as it is known when the amount is read
		if f := cmd.Flags().Lookup("currency"); f != nil {
			currency = f.Value.String()
		}
		return usageError(pointed.hint(currency), "--%s %q: %w", invalid.GetFlag().Name,
			invalid.GetValue(), pointed)
	case errors.As(err, &invalid):
		return usageError(seeHelp, "--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), cause(err))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		hint := seeHelp
		if near := nearestFlag(cmd.Flags(), unknown.GetSpecifiedName()); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return usageError(hint, "unknown flag --%s", unknown.GetSpecifiedName())
	}
	return usageError(seeHelp, "%w", err)
}

// nearestFlag is the flag that was probably meant, empty if there is none: one letter
// in three may be wrong.
func nearestFlag(flags *pflag.FlagSet, name string) string {
	nearest, least := "", len(name)/3+1
	flags.VisitAll(func(f *pflag.Flag) {
		if d := edits(name, f.Name); !f.Hidden && d < least {
			nearest, least = f.Name, d
		}
	})
	return nearest
}

// edits is how many letters have to be put in, taken away or changed, or neighbours
// swapped, to make b of a.
func edits(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for k := range last {
		last[k] = k
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for k := range len(b) {
			change := last[k]
			if a[i] != b[k] {
				change++
			}
			row[k+1] = min(change, last[k+1]+1, row[k]+1)
			if i > 0 && k > 0 && a[i] == b[k-1] && a[i-1] == b[k] {
				row[k+1] = min(row[k+1], before[k-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// exactArgs is cobra.ExactArgs with our errors.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usageError(seeHelp,
				"%s takes no arguments, it got %q", cmd.CommandPath(), args[0])
		}
		return usageError(seeHelp, "%s needs %s, it got %d arguments",
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

// complain writes the one line about err: what, and what to do about it. The verb is
// the one that was called.
func (m *Main) complain(verb string, err error) {
	hint := ""
	var (
		f      *failure
		helper interface{ Hint() string }
	)
	if errors.As(err, &f) {
		if hint = f.hint; hint == seeHelp {
			hint = "see " + verb + " --help"
		}
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
