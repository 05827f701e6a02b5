package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readyWithin bounds how long a broker may take from its start until it
// answers; after a kill on a busy machine of two cores 21 s were seen.
const readyWithin = 2 * time.Minute

// A Broker is one running Kafka node.
type Broker struct {
	// Kind tells how the broker is run.
	Kind Kind
	// Version is what the broker's API versions look like, such as "v4.3"; a
	// fake has none.
	Version string

	addrs   []string
	proxy   *Proxy
	machine machine
	shared  bool
}

// A machine runs a broker's node; the kinds implement it.
type machine interface {
	// start brings the node up, on the data it had before, and returns the
	// address where it listens.
	start(ctx context.Context) (string, error)
	// stop ends the node, in order or with SIGKILL.
	stop(ctx context.Context, kill bool) error
	// dead returns why the node has ended, or nil.
	dead() error
	// log returns the end of the node's log.
	log() string
	// close ends the node and removes its data.
	close() error
	// what names the thing that runs.
	what() string
}

// boot starts a broker, a second time with other ports if the first fails.
func boot(c config) (*Broker, error) {
	b, err := bootOnce(c)
	if err != nil && c.kind != External {
		b, err = bootOnce(c)
	}
	if err != nil {
		return nil, fmt.Errorf("kafkatest: start a %s broker: %w", c.kind, err)
	}
	return b, nil
}

func bootOnce(c config) (*Broker, error) {
	b := &Broker{Kind: c.kind}
	if c.kind == External {
		b.addrs = externalAddrs()
	} else if err := b.build(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	if err := b.up(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, b.Log()), b.close())
	}
	return b, report(b)
}

// build makes the broker's proxy and machine. The address that clients use is
// known before the broker starts, since it has to advertise it.
func (b *Broker) build(c config) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	if !c.direct {
		if b.proxy, err = newProxy(addr); err != nil {
			return err
		}
	}
	b.addrs = []string{addr}
	switch c.kind {
	case Fake:
		b.machine, err = newFake(c, addr)
	case Container:
		b.machine, err = newContainer(c, addr)
	case Process:
		b.machine, err = newProcess(c, addr)
	case External:
		err = errors.New("an external broker is not built")
	}
	return err
}

// up starts the machine, points the proxy to it and waits for an answer
// through the address that clients use.
func (b *Broker) up(ctx context.Context) error {
	if b.machine != nil {
		addr, err := b.machine.start(ctx)
		if err != nil {
			return err
		}
		if b.proxy != nil {
			if err := b.proxy.point(addr); err != nil {
				return err
			}
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer client.Close()
	return b.ready(ctx, kadm.NewClient(client))
}

func (b *Broker) ready(ctx context.Context, admin *kadm.Client) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		versions, err := admin.ApiVersions(try)
		if err == nil {
			_, err = admin.ListBrokers(try)
		}
		cancel()
		if err == nil {
			for _, v := range versions {
				if b.Kind != Fake { // it looks like none
					b.Version = v.VersionGuess()
				}
			}
			return nil
		}
		if b.machine != nil {
			if dead := b.machine.dead(); dead != nil {
				return fmt.Errorf("the broker ended: %w", dead)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		case <-tick.C:
		}
	}
}

// Addrs returns the addresses that clients begin with.
func (b *Broker) Addrs() []string { return b.addrs }

// String says what the broker is.
func (b *Broker) String() string { return b.what() + " at " + strings.Join(b.addrs, ",") }

func (b *Broker) what() string {
	what := string(b.Kind) + " broker"
	if b.Version != "" {
		what += ", Kafka " + b.Version
	}
	if b.machine != nil {
		what += " (" + b.machine.what() + ")"
	}
	return what
}

// Log returns the end of the broker's own log, if it is ours to read.
func (b *Broker) Log() string {
	if b.machine == nil {
		return ""
	}
	return b.machine.log()
}

// Client returns a client of the broker that is closed when the test ends.
func (b *Broker) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	seed := []kgo.Opt{kgo.SeedBrokers(b.addrs...), kgo.DisableClientMetrics()}
	client, err := kgo.NewClient(append(seed, opts...)...)
	if err != nil {
		t.Fatalf("kafkatest: client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// Admin returns an administrator's client, closed when the test ends.
func (b *Broker) Admin(t testing.TB) *kadm.Client {
	t.Helper()
	return kadm.NewClient(b.Client(t))
}

// Prefix returns a new prefix for the names of a test's topics, groups and
// transactional ids, since other tests use the same broker.
func (b *Broker) Prefix(t testing.TB) string {
	t.Helper()
	return "t" + hex.EncodeToString(random(t, 5)) + "-"
}

// Topic makes a topic and fails the test if that cannot be done. Configs are
// pairs of a name and a value.
func (b *Broker) Topic(t testing.TB, name string, partitions int32, configs ...string) {
	t.Helper()
	set := map[string]*string{}
	for i := 0; i+1 < len(configs); i += 2 {
		set[configs[i]] = &configs[i+1]
	}
	if _, err := b.Admin(t).CreateTopic(t.Context(), partitions, 1, set, name); err != nil {
		t.Fatalf("kafkatest: create topic %s: %v", name, err)
	}
}

// Stop ends the broker in order; it keeps its data.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	b.halt(t, false)
}

// Kill ends the broker with SIGKILL; a fake is closed, which is no crash.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	b.halt(t, true)
}

func (b *Broker) halt(t testing.TB, kill bool) {
	t.Helper()
	b.mustOwn(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), readyWithin)
	defer cancel()
	if err := b.machine.stop(ctx, kill); err != nil {
		t.Fatalf("kafkatest: stop: %v", err)
	}
}

// Start brings the broker up again, at the same address and on the same data,
// and waits until it answers.
func (b *Broker) Start(t testing.TB) {
	t.Helper()
	b.mustOwn(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), readyWithin)
	defer cancel()
	if err := b.up(ctx); err != nil {
		t.Fatalf("kafkatest: start again: %v\n%s", err, b.Log())
	}
}

// Proxy returns what stands between clients and the broker.
func (b *Broker) Proxy(t testing.TB) *Proxy {
	t.Helper()
	b.mustOwn(t)
	if b.proxy == nil {
		t.Fatal("kafkatest: this broker has no proxy")
	}
	return b.proxy
}

func (b *Broker) mustOwn(t testing.TB) {
	t.Helper()
	if b.shared || b.machine == nil {
		t.Fatal("kafkatest: other tests use this broker, ask for one with kafkatest.Own()")
	}
}

func (b *Broker) close() error {
	var errs []error
	if b.machine != nil {
		errs = append(errs, b.machine.close())
	}
	if b.proxy != nil {
		b.proxy.Cut()
	}
	return errors.Join(errs...)
}

// externalAddrs returns the brokers that the environment names for tests.
func externalAddrs() []string {
	return strings.FieldsFunc(os.Getenv("TALLY_TEST_BROKERS"), func(r rune) bool {
		return r == ',' || r == ' '
	})
}

// Ports from here to below there are given to nobody who asks for any: systems begin
// higher, Linux with 32768.
const firstPort, endPort = 12_000, 32_000

// freeAddr picks an address that nothing listens on now. A broker listens on it seconds
// later, and again when it was down, and others take the ports they are given meanwhile.
func freeAddr() (addr string, err error) {
	for range 100 {
		port := strconv.Itoa(firstPort + mathrand.IntN(endPort-firstPort))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// newClusterID returns a random cluster id in Kafka's form.
func newClusterID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never returns an error
	id[0] &= 0x7f        // a leading dash would look like a flag
	return base64.RawURLEncoding.EncodeToString(id)
}
