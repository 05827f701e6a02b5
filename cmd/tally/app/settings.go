package app

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// settings are what every verb shares: where Kafka is and how to show results.
type settings struct {
	Config  string
	Output  string
	Brokers []string
	Timeout time.Duration

	TLS                      bool
	TLSCA, TLSCert, TLSKey   string
	SASLMechanism, SASLUser  string
	SASLPasswordFile         string
	Prefix, App, LogFormat   string
	LogLevel                 slog.Level
	brokersGiven, jsonOutput bool
	Chain                    bool
}

// Names of the two forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

const defaultBroker = "localhost:9092"

// newSettings registers the flags that every verb has.
func newSettings(f *pflag.FlagSet) *settings {
	s := &settings{}
	f.StringVar(&s.Config, "config", "",
		"file of settings, one \"name: value\" a line "+
			"(default: tally/tally.conf in the user's configuration directory)")
	f.StringVarP(&s.Output, "output", "o", outputText, "form of the result: text or json")
	f.BoolVar(&s.jsonOutput, "json", false, "the same as -o json")
	f.StringSliceVarP(&s.Brokers, "brokers", "b", []string{defaultBroker},
		"Kafka brokers to ask first; also KAFKA_BROKERS or KAFKA_BOOTSTRAP_SERVERS")
	f.DurationVar(&s.Timeout, "timeout", 5*time.Second,
		"how long to wait for a broker's first answer")
	f.BoolVar(&s.TLS, "tls", false, "talk TLS to the brokers")
	f.StringVar(&s.TLSCA, "tls-ca", "",
		"file of the certificates that sign the brokers'; implies --tls")
	f.StringVar(&s.TLSCert, "tls-cert", "", "file of this client's certificate; implies --tls")
	f.StringVar(&s.TLSKey, "tls-key", "", "file of this client's key; implies --tls")
	f.StringVar(&s.SASLMechanism, "sasl-mechanism", "",
		"plain, scram-sha-256 or scram-sha-512 (default: no SASL)")
	f.StringVar(&s.SASLUser, "sasl-user", "", "user name for SASL")
	f.StringVar(&s.SASLPasswordFile, "sasl-password-file", "",
		"file that holds the password for SASL")
	f.StringVar(&s.Prefix, "prefix", "", "put before the names of the event topics")
	f.StringVar(&s.App, "app", "tally",
		"put before the names of groups, tables and dead letters")
	f.BoolVar(&s.Chain, "chain", false,
		"the whole chain of services, not only the main job; also TALLY_CHAIN")
	f.StringVar(&s.LogFormat, "log-format", outputText,
		"form of the log on stderr: text or json")
	f.TextVar(&s.LogLevel, "log-level", slog.LevelInfo,
		"least `level` that is logged: debug, info, warn, error")
	return s
}

// configure fills in what the command line left open, from the environment and
// then from the file, and checks what cannot be checked flag by flag.
func (m *Main) configure(cmd *cobra.Command, s *settings) error {
	given := make(map[string]bool)
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	if err := m.fromEnvironment(cmd.Flags(), given); err != nil {
		return err
	}
	if err := m.fromFile(cmd, s, given); err != nil {
		return err
	}
	s.brokersGiven = given["brokers"]
	if s.jsonOutput {
		s.Output = outputJSON
	}
	return s.validate()
}

func (s *settings) validate() error {
	for _, v := range []struct{ flag, value string }{
		{"output", s.Output}, {"log-format", s.LogFormat},
	} {
		if v.value != outputText && v.value != outputJSON && v.value != "" {
			return usageError("use text or json", "--%s has no form %q", v.flag, v.value)
		}
	}
	if s.Timeout <= 0 {
		return usageError("for example 5s", "--timeout must be above zero, not %v", s.Timeout)
	}
	if len(s.Brokers) == 0 {
		return usageError("for example --brokers localhost:9092", "--brokers names no broker")
	}
	return nil
}

// fromEnvironment sets the flags that were not given from TALLY_<NAME>, and the
// brokers from the names that other Kafka programs use as well.
func (m *Main) fromEnvironment(flags *pflag.FlagSet, given map[string]bool) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if given[f.Name] || f.Name == "help" {
			return
		}
		names := []string{"TALLY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))}
		if f.Name == "brokers" {
			names = append(names, "KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS")
		}
		for _, name := range names {
			value, ok := m.LookupEnv(name)
			if !ok || value == "" {
				continue
			}
			if err := flags.Set(f.Name, value); err != nil {
				errs = append(errs, usageError("the same as --"+f.Name,
					"environment %s=%q: %w", name, value, cause(err)))
			}
			given[f.Name] = true
			return
		}
	})
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// cause strips what the flag parser wraps around an error, which speaks of a
// command line that nobody wrote.
func cause(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = invalid.Unwrap()
	}
	var number *strconv.NumError
	if errors.As(err, &number) {
		switch {
		case !errors.Is(err, strconv.ErrSyntax):
			return number.Err
		case number.Func == "ParseBool":
			return errors.New("neither true nor false")
		case number.Func == "ParseFloat":
			return errors.New("not a number")
		}
		return errors.New("not a whole number")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "time: "))
}

// fromFile sets the flags that are still open from the file of settings.
func (m *Main) fromFile(cmd *cobra.Command, s *settings, given map[string]bool) error {
	path := s.Config
	if path == "" {
		dir, ok := m.configDir()
		if !ok {
			return nil
		}
		path = filepath.Join(dir, "tally", "tally.conf")
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && s.Config == "" {
		return nil
	} else if err != nil {
		return hinted("check --config", "settings: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		if err := setLine(cmd, lines.Text(), given); err != nil {
			return usageError("a line is \"name: value\", the names are those of the flags",
				"%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("settings: %s: %w", path, err)
	}
	return nil
}

// configDir is where the user keeps configuration.
func (m *Main) configDir() (string, bool) {
	if dir, ok := m.LookupEnv("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return dir, true
	}
	home, ok := m.LookupEnv("HOME")
	return filepath.Join(home, ".config"), ok && home != ""
}

// setLine applies one line of the file of settings. A name that only another
// verb knows is left to that verb.
func setLine(cmd *cobra.Command, line string, given map[string]bool) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return fmt.Errorf("%q has no name and value", line)
	}
	if cmd.Flags().Lookup(name) == nil {
		if anywhere(cmd.Root(), name) {
			return nil
		}
		if near := nearestFlag(cmd.Flags(), name); near != "" {
			return fmt.Errorf("there is no setting %q, did you mean %q", name, near)
		}
		return fmt.Errorf("there is no setting %q", name)
	}
	if given[name] {
		return nil
	}
	if err := cmd.Flags().Set(name, strings.Trim(strings.TrimSpace(value), `"`)); err != nil {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	return nil
}

// anywhere says whether any verb below cmd has a flag of that name.
func anywhere(cmd *cobra.Command, name string) bool {
	for _, c := range cmd.Commands() {
		if c.Flags().Lookup(name) != nil || anywhere(c, name) {
			return true
		}
	}
	return false
}
