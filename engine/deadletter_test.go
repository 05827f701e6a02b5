package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
)

type kadmOffset = kadm.Offset

var contains = strings.Contains

// header returns a header's value, empty if there is none.
func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// TestBadRecordsGoToTheDeadLetters sends each kind of bad record between good
// ones.
func TestBadRecordsGoToTheDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := "bad" + strings.Repeat("x", 200_000)
	bad := map[string]*kgo.Record{
		"malformed": {Key: []byte("k1"), Value: []byte(long), Headers: []kgo.RecordHeader{
			{Key: "trace", Value: []byte("t1")},
		}},
		"check":     {Key: []byte("forbidden"), Value: []byte("l")},
		"tombstone": {Key: []byte("k2"), Value: nil},
		"no-key":    {Value: []byte("l")},
		"panic":     {Key: []byte("k3"), Value: []byte("panic")},
	}
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		if msg == "panic" {
			ctx.SetValue("l5r5")
			ctx.Emit(joinedTopic, ctx.Key(), "from a callback that panics")
			panic("on purpose")
		}
		joinSides(ctx, msg)
	})
	w.sendMany(0, 20)
	for _, r := range bad {
		r.Topic = leftTopic
		if err := w.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		w.eventually("between good ones", func() bool { return wk.e.Stats().Records > 0 })
	}
	w.sendMany(20, 40)
	w.joined(40)
	w.eventually("dead letters", func() bool { return len(w.committed(testDead)) >= len(bad) })
	wk.end()
	seen := map[string]int{}
	for _, d := range w.committed(testDead) {
		class := header(d, "tally.class")
		seen[class]++
		want := bad[class]
		if want == nil {
			t.Errorf("dead letter of class %q", class)
			continue
		}
		at := header(d, "tally.topic") + "/" + header(d, "tally.partition") + "@" +
			header(d, "tally.offset")
		if at != fmt.Sprintf("%s/%d@%d", leftTopic, want.Partition, want.Offset) {
			t.Errorf("%s: is said to come from %s", class, at)
		}
		sum := sha256.Sum256(want.Value)
		if header(d, "tally.value-sha256") != hex.EncodeToString(sum[:]) ||
			header(d, "tally.value-bytes") != fmt.Sprint(len(want.Value)) ||
			header(d, "tally.reason") == "" || !bytes.Equal(d.Key, want.Key) ||
			!bytes.HasPrefix(want.Value, d.Value) {
			t.Errorf("%s: key or value are not told as they were: %v", class, d.Headers)
		}
	}
	for class := range bad {
		if seen[class] != 1 {
			t.Errorf("%s: %d dead letters, want 1", class, seen[class])
		}
	}
	for _, d := range w.committed(testDead) {
		if header(d, "tally.class") == "malformed" {
			if len(d.Value) != 64<<10 || header(d, "orig.trace") != "t1" {
				t.Errorf("value of %d bytes, headers %v", len(d.Value), d.Headers)
			}
		}
	}
}

// TestLargestDeadLetterFits buries a record of which everything is large, from a
// topic that takes more than the dead letters do. Were its key kept whole, the
// broker would refuse it, and the worker would never get past it.
func TestLargestDeadLetterFits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil)
	limit := fmt.Sprint(4 << 20)
	raised := []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}
	if _, err := w.admin.AlterTopicConfigs(t.Context(), raised, leftTopic); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{
		Topic: leftTopic, Key: bytes.Repeat([]byte("k"), 5<<18),
		Value: append([]byte("bad"), bytes.Repeat([]byte("v"), 100<<10)...),
	}
	for i := range 110 {
		r.Headers = append(r.Headers, kgo.RecordHeader{
			Key: fmt.Sprint(i), Value: bytes.Repeat([]byte("h"), 11<<10),
		})
	}
	large := w.newClient(kgo.ProducerBatchMaxBytes(4 << 20))
	if err := large.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.eventually("dead letter", func() bool { return len(w.committed(testDead)) > 0 })
	w.sendMany(0, 10)
	w.joined(10)
	d := w.committed(testDead)
	if len(d) != 1 || len(d[0].Key) != 16<<10 || header(d[0], "tally.key-bytes") != "1310720" {
		t.Errorf("%d dead letters, the first with a key of %d bytes", len(d), len(d[0].Key))
	}
	wk.end()
	if n := wk.e.Stats().Restarts; n != 0 {
		t.Errorf("%d restarts, want none", n)
	}
}

func TestAllowedTombstonesReachTheCallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		if msg == nil {
			ctx.Delete()
			return
		}
		joinSides(ctx, msg)
	}, func(c *engine.Config) { c.AllowTombstones = []string{leftTopic} })
	w.sendMany(0, 5)
	w.joined(5)
	r := &kgo.Record{Topic: leftTopic, Key: []byte("k1")}
	if err := w.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.eventually("row deleted", func() bool { return len(w.rows()) == 4 })
	if got := wk.onDisk(); len(got) != 4 {
		t.Errorf("%d local rows, want 4", len(got))
	}
	if n := len(w.committed(testDead)); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
	wk.end()
}

// astray puts keys where Goka's and sarama's default hash puts them.
func astray(w *world, n int) {
	w.t.Helper()
	cl := w.newClient(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(kgo.SaramaHasher(fnv1a))))
	for i := range n {
		r := &kgo.Record{Topic: leftTopic, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("l")}
		if err := cl.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

func TestMisroutedRecordStopsTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	astray(w, 40)
	wk := w.start(vfs.NewMem(), nil)
	err := wk.wait(false)
	if !errors.Is(err, engine.ErrMisrouted) {
		t.Fatalf("ended with %v, want %v", err, engine.ErrMisrouted)
	}
	for _, want := range []string{leftTopic + "/", "key \"k", "FNV-1a"} {
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("error does not tell %q: %v", want, err)
		}
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("%d rows were written", len(rows))
	}
}

func TestMisroutedRecordsCanGoToTheDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	astray(w, 40)
	wk := w.start(vfs.NewMem(), nil, func(c *engine.Config) {
		c.OnMisrouted = engine.MisroutedToDeadLetters
	})
	w.eventually("all processed", func() bool { return wk.e.Stats().Records >= 40 })
	if rows, dead := len(w.rows()), len(w.committed(testDead)); rows+dead != 40 || dead < 10 {
		t.Errorf("%d rows and %d dead letters, want 40 in all", rows, dead)
	}
	wk.end()
}

// TestOutputTooLarge: what a broker would never take must not hold the worker
// up for ever.
func TestOutputTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		if msg == "blow up" {
			ctx.Emit(joinedTopic, ctx.Key(), strings.Repeat("x", 3<<20))
			return
		}
		joinSides(ctx, msg)
	})
	w.send(leftTopic, "k3=blow up") // aborts the first transaction of the group
	w.eventually("new client", func() bool { return wk.e.Stats().Restarts > 0 })
	w.sendMany(0, 20)
	w.joined(20)
	w.eventually("dead letter", func() bool { return len(w.committed(testDead)) == 1 })
	if got := header(w.committed(testDead)[0], "tally.class"); got != "too-large" {
		t.Errorf("class is %q", got)
	}
	wk.end()
}

// TestOutputsCarryTheirCausesTime: an output has the timestamp of the record
// that caused it, so that a replay gives the same.
func TestOutputsCarryTheirCausesTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil)
	w.sendMany(0, 10)
	w.joined(10)
	wk.end()
	inputs := map[int64]bool{}
	for _, topic := range []string{leftTopic, rightTopic} {
		for _, r := range w.committed(topic) {
			inputs[r.Timestamp.UnixMilli()] = true
		}
	}
	for _, r := range w.committed(joinedTopic) {
		if !inputs[r.Timestamp.UnixMilli()] {
			t.Errorf("output of %s has time %v, which no input has", r.Key, r.Timestamp)
		}
		if len(r.Headers) != 0 {
			t.Errorf("output has headers %v", r.Headers)
		}
	}
}

// TestManyPanics: each record that makes a callback panic costs a new client,
// but no growing wait.
func TestManyPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 25 {
		w.send(leftTopic, fmt.Sprintf("p%d=panic", i))
	}
	w.sendMany(0, 20)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		if msg == "panic" {
			panic("on purpose")
		}
		joinSides(ctx, msg)
	})
	w.joined(20)
	w.eventually("dead letters", func() bool { return len(w.committed(testDead)) == 25 })
	wk.end()
}
