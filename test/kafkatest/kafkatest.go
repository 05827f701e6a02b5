package kafkatest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A Kind is a way to get a broker.
type Kind string

// The kinds of brokers, cheapest first.
const (
	Fake      Kind = "kfake"
	External  Kind = "external"
	Container Kind = "container"
	Process   Kind = "process"
)

// An Option says what kind of broker a test needs.
type Option func(*config)

type config struct {
	kind     Kind
	own      bool
	direct   bool
	large    bool
	settings map[string]string
}

// OfKind asks for a broker of kind k. Without it Start gives a fake.
func OfKind(k Kind) Option { return func(c *config) { c.kind = k } }

// Own asks for a broker that no other test sees, so that it may be stopped,
// killed and cut off. It ends with the test.
func Own() Option { return func(c *config) { c.own = true } }

// Set asks for a broker of the test's own with one more broker setting, by its
// name in server.properties. Fakes know few settings and refuse the others.
func Set(name, value string) Option {
	return func(c *config) {
		c.own = true
		if c.settings == nil {
			c.settings = map[string]string{}
		}
		c.settings[name] = value
	}
}

// Large asks for a broker of the test's own for measurements: a heap of 1 GiB,
// the JVM's full compiler, and no proxy in the way.
func Large() Option {
	return func(c *config) { c.own, c.direct, c.large = true, true, true }
}

// Each runs test as a subtest on every kind of broker that is asked for and to
// be had.
func Each(t *testing.T, test func(*testing.T, *Broker), options ...Option) {
	t.Helper()
	for _, kind := range wanted(t) {
		t.Run(string(kind), func(t *testing.T) {
			test(t, Start(t, append(slices.Clip(options), OfKind(kind))...))
		})
	}
}

// Start returns a running broker. It skips the test, or fails it where
// KAFKA_TESTS=required, if this machine has no broker of that kind.
func Start(t testing.TB, options ...Option) *Broker {
	t.Helper()
	c := config{kind: Fake}
	for _, option := range options {
		option(&c)
	}
	if reason := shared.lacks(c.kind); reason != "" {
		if c.kind != External && os.Getenv("KAFKA_TESTS") == "required" {
			t.Fatalf("kafkatest: no %s broker: %s", c.kind, reason)
		}
		t.Skipf("kafkatest: no %s broker: %s", c.kind, reason)
	}
	if !c.own {
		// Nobody may spoil the connections of others: no proxy, except to a
		// container, whose port is known only once it runs.
		c.direct = c.kind != Container
		b, err := shared.broker(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("kafkatest: %s", b)
		return b
	}
	if c.kind == External {
		t.Skip("kafkatest: an external broker is not ours to stop or to set up")
	}
	b, err := boot(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kafkatest: %s, its own", b)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kafkatest: end of the broker's log:\n%s", b.Log())
		}
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// wanted lists the kinds that Each runs on.
func wanted(t testing.TB) []Kind {
	t.Helper()
	if testing.Short() {
		return []Kind{Fake}
	}
	if list := os.Getenv("TALLY_TEST_KINDS"); list != "" {
		kinds, err := parseKinds(list)
		if err != nil {
			t.Fatal(err)
		}
		return kinds
	}
	if os.Getenv("TALLY_TEST_BROKERS") != "" {
		return []Kind{Fake, External}
	}
	return []Kind{Fake, Container, Process}
}

func parseKinds(list string) ([]Kind, error) {
	var kinds []Kind
	for name := range strings.SplitSeq(list, ",") {
		kind := Kind(strings.TrimSpace(name))
		switch kind {
		case Fake, External, Container, Process:
			kinds = append(kinds, kind)
		default:
			return nil, fmt.Errorf("kafkatest: TALLY_TEST_KINDS: no kind %q", name)
		}
	}
	return kinds, nil
}
