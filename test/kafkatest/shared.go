package kafkatest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// shared holds the brokers of this test binary. It is the one thing that
// outlives a test: a real broker takes seconds to start.
//
//nolint:gochecknoglobals // one broker of a kind per test binary is the point
var shared = &pool{kinds: map[Kind]*entry{
	Fake: {}, External: {}, Container: {}, Process: {},
}}

// A pool starts each kind of broker at most once.
type pool struct{ kinds map[Kind]*entry }

type entry struct {
	probe  sync.Once
	reason string

	start  sync.Once
	broker *Broker
	err    error
}

// lacks says why this machine has no broker of the kind, or nothing if it has.
func (p *pool) lacks(kind Kind) string {
	e := p.kinds[kind]
	e.probe.Do(func() { e.reason = probe(kind) })
	return e.reason
}

func (p *pool) broker(c config) (*Broker, error) {
	e := p.kinds[c.kind]
	e.start.Do(func() {
		e.broker, e.err = boot(c)
		if e.broker != nil {
			e.broker.shared = true
		}
	})
	return e.broker, e.err
}

func probe(kind Kind) string {
	if kind != Fake && testing.Short() {
		return "-short uses the fake alone"
	}
	switch kind {
	case Fake:
		return ""
	case External:
		if len(externalAddrs()) == 0 {
			return "TALLY_TEST_BROKERS names none"
		}
		return ""
	case Container:
		return probeDocker()
	case Process:
		return probeJava()
	default:
		return fmt.Sprintf("no such kind: %q", kind)
	}
}

// report notes a started broker in the file that TALLY_TEST_REPORT names.
func report(b *Broker) (err error) {
	name := os.Getenv("TALLY_TEST_REPORT")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("kafkatest: report: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := fmt.Fprintf(f, "%s %s\n", filepath.Base(os.Args[0]), b.what()); err != nil {
		return fmt.Errorf("kafkatest: report: %w", err)
	}
	return nil
}
