package kafkatest_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/test/kafkatest"
)

// within bounds every wait of these tests.
const within = 90 * time.Second

// TestShared proves that two tests of one binary get one broker and stay apart.
func TestShared(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		again := kafkatest.Start(t, kafkatest.OfKind(b.Kind))
		if b != again {
			t.Errorf("got two %s brokers, want one", b.Kind)
		}
		topic := b.Prefix(t) + "shared"
		if topic == again.Prefix(t)+"shared" {
			t.Error("got one prefix twice")
		}
		b.Topic(t, topic, 1)
		p := producer(t, b, topic)
		p.write("a", 3, kgo.TryCommit)
		newReader(t, b, topic).want(3)
	})
}

// TestBounce stops and kills a broker under a transactional producer and a
// reader, which go on as if nothing had been.
func TestBounce(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		topic := b.Prefix(t) + "bounce"
		b.Topic(t, topic, 1)
		p, r := producer(t, b, topic), newReader(t, b, topic)
		p.write("first", 10, kgo.TryCommit)
		p.write("never", 5, kgo.TryAbort)
		r.want(10)

		b.Stop(t)
		b.Start(t)
		p.write("second", 10, kgo.TryCommit)
		r.want(20)

		b.Kill(t)
		b.Start(t)
		p.write("third", 10, kgo.TryCommit)
		r.want(30)
	}, kafkatest.Own())
}

// TestPortsAreNobodyElses: what a broker's address is, no one is given who asks for
// any port, not even while the broker is down.
func TestPortsAreNobodyElses(t *testing.T) {
	for what, options := range map[string][]kafkatest.Option{
		"shared": nil, "behind a proxy": {kafkatest.Own()},
	} {
		addr := kafkatest.Start(t, options...).Addrs()[0]
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n >= 32_768 {
			t.Errorf("%s: it is at %s", what, addr)
		}
	}
}

// TestToxics delays a broker and cuts it off amid transactions.
func TestToxics(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		topic := b.Prefix(t) + "toxics"
		b.Topic(t, topic, 1)
		p, r, proxy := producer(t, b, topic), newReader(t, b, topic), b.Proxy(t)
		p.write("warm", 1, kgo.TryCommit)

		const delay = 50 * time.Millisecond
		must(t, proxy.Latency(delay))
		began := time.Now()
		p.write("slow", 1, kgo.TryCommit)
		if took := time.Since(began); took < 2*delay {
			t.Errorf("produce and end took %v, want two delays of %v", took, delay)
		}
		must(t, proxy.Latency(0))

		proxy.Cut()
		try, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := b.Client(t).Ping(try); err == nil {
			t.Error("got an answer through a proxy that is cut")
		}
		must(t, proxy.Mend())
		p.write("mended", 1, kgo.TryCommit)
		r.want(3)
	}, kafkatest.Own())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type writer struct {
	t      *testing.T
	client *kgo.Client
	topic  string
}

func producer(t *testing.T, b *kafkatest.Broker, topic string, opts ...kgo.Opt) writer {
	t.Helper()
	opts = append(opts, kgo.TransactionalID(topic+"-writer"))
	return writer{t: t, client: b.Client(t, opts...), topic: topic}
}

// write writes n values in one transaction and ends it.
func (w writer) write(name string, n int, end kgo.TransactionEndTry) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	must(w.t, w.client.BeginTransaction())
	for i := range n {
		value := fmt.Appendf(nil, "%s-%d", name, i)
		record := &kgo.Record{Topic: w.topic, Value: value}
		must(w.t, w.client.ProduceSync(ctx, record).FirstErr())
	}
	must(w.t, w.client.EndTransaction(ctx, end))
}

// A reader counts the values that are committed, however often it reads.
type reader struct {
	t      *testing.T
	client *kgo.Client
	got    map[string]int
}

func newReader(t *testing.T, b *kafkatest.Broker, topic string) *reader {
	t.Helper()
	client := b.Client(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	return &reader{t: t, client: client, got: map[string]int{}}
}

// want reads until it has n values and one more fetch without any.
func (r *reader) want(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	for quiet := false; len(r.got) < n || !quiet; {
		poll, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		fetches := r.client.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			r.t.Fatalf("got %d values in time, want %d: %v", len(r.got), n, fetches.Err())
		}
		quiet = fetches.NumRecords() == 0
		fetches.EachRecord(func(rec *kgo.Record) { r.got[string(rec.Value)]++ })
	}
	for _, value := range slices.Sorted(maps.Keys(r.got)) {
		if r.got[value] != 1 {
			r.t.Errorf("value %s read %d times, want once", value, r.got[value])
		}
	}
	if len(r.got) != n {
		r.t.Errorf("got %d values, want %d", len(r.got), n)
	}
}
