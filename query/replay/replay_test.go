package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/query/replay"
)

// cluster is a fake one with the topic log of one partition, and a client of it.
func cluster(t *testing.T, opts ...kgo.Opt) (*kgo.Client, []string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return client(t, c.ListenAddrs(), opts...), c.ListenAddrs()
}

func client(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// transaction produces values and ends as commit says.
func transaction(t *testing.T, cl *kgo.Client, commit kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		r := &kgo.Record{Topic: "log", Value: []byte(v)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, log *replay.Log) string {
	t.Helper()
	var values []string
	for r, err := range log.Records(t.Context(), "log", 0) {
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, string(r.Value))
	}
	return strings.Join(values, " ")
}

// TestMarkers reads a log that ends with the marker of an aborted transaction,
// where a reader that waits for a last record would wait for ever.
func TestMarkers(t *testing.T) {
	cl, brokers := cluster(t, kgo.TransactionalID("t"))
	if log, err := replay.Open(t.Context(), cl, time.Minute, "log"); err != nil || read(t, log) != "" {
		t.Fatalf("empty log: %v", err)
	}
	transaction(t, cl, kgo.TryCommit, "a", "b")
	transaction(t, cl, kgo.TryAbort, "x")
	transaction(t, cl, kgo.TryCommit, "c")
	transaction(t, cl, kgo.TryAbort, "y", "z")
	reader := client(t, brokers)
	log, err := replay.Open(t.Context(), reader, time.Minute, "log")
	if err != nil {
		t.Fatal(err)
	}
	transaction(t, cl, kgo.TryCommit, "late")
	if got, want := read(t, log), "a b c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if span := log.Span("log", 0); span.Start != 0 || span.End != 10 {
		t.Errorf("span is %+v", span)
	}
}

// TestCompacted reads a log of which compaction has taken most.
func TestCompacted(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl := client(t, c.ListenAddrs())
	compact := "compact"
	_, err = kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1,
		map[string]*string{"cleanup.policy": &compact}, "log")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		r := &kgo.Record{Topic: "log", Key: []byte("k"), Value: fmt.Append(nil, i)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.Compact()
	log, err := replay.Open(t.Context(), cl, time.Minute, "log")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(read(t, log))
	if len(got) == 0 || len(got) == 50 || !slices.Contains(got, "49") {
		t.Errorf("got %d values, %v", len(got), got)
	}
}

func TestMissing(t *testing.T) {
	cl, _ := cluster(t)
	_, err := replay.Open(t.Context(), cl, time.Minute, "log", "gone", "lost")
	var missing *replay.MissingError
	if !errors.As(err, &missing) || !slices.Equal(missing.Topics, []string{"gone", "lost"}) {
		t.Errorf("got %v", err)
	}
}

// TestUndecided holds that an open transaction is waited for, and named when
// patience is at its end.
func TestUndecided(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := c.ListenAddrs()
	cl := client(t, brokers, kgo.TransactionalID("t"))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: "log", Value: []byte("a")}
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reader := client(t, brokers)
	_, err = replay.Open(t.Context(), reader, 50*time.Millisecond, "log")
	if !errors.Is(err, replay.ErrUndecided) {
		t.Errorf("got %v, want %v", err, replay.ErrUndecided)
	}
	c.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		<-time.After(60 * time.Millisecond) // always over while an answer is waited for
		return nil, nil, false
	})
	if _, err := replay.Open(t.Context(), reader, 50*time.Millisecond, "log"); !errors.Is(err,
		replay.ErrUndecided) || !strings.Contains(err.Error(), "log/0 at offset 0") {
		t.Errorf("of slow brokers: got %v, want %v", err, replay.ErrUndecided)
	}
	opened := make(chan *replay.Log)
	go func() {
		log, err := replay.Open(context.WithoutCancel(t.Context()), reader, time.Minute, "log")
		if err != nil {
			t.Error(err)
		}
		opened <- log
	}()
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := read(t, <-opened); got != "a" {
		t.Errorf("got %q, want a", got)
	}
}
