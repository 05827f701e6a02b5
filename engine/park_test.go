package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
)

func parking(c *engine.Config) { c.Park = true }

// A notebook is a processor whose row is the list of the values that it was
// given, each of which it also emits. It panics at values that begin with "panic".
type notebook struct {
	mended atomic.Bool // panics no more
	mu     sync.Mutex
	seen   []string // what came by a retry: topic/partition@offset, timestamp
}

func (n *notebook) note(ctx goka.Context, msg any) {
	value, _ := msg.(string)
	if strings.HasPrefix(value, "panic") && !n.mended.Load() {
		ctx.SetValue("half done")
		ctx.Emit(joinedTopic, ctx.Key(), "half done")
		panic("on purpose")
	}
	if h := ctx.Headers()[engine.RetryHeader]; h != nil {
		n.mu.Lock()
		n.seen = append(n.seen, fmt.Sprintf("%s/%d@%d %d %s", ctx.Topic(), ctx.Partition(),
			ctx.Offset(), ctx.Timestamp().UnixMilli(), ctx.Headers()["trace"]))
		n.mu.Unlock()
	}
	row, _ := ctx.Value().(string)
	ctx.SetValue(row + "," + value)
	ctx.Emit(joinedTopic, ctx.Key(), value)
}

// letters are the dead letters of a key, in the order in which they were written.
func (w *world) letters(key string) []engine.Letter {
	w.t.Helper()
	var all []engine.Letter
	for _, r := range w.committed(testDead) {
		l, err := engine.ReadLetter(r)
		if err != nil {
			w.t.Fatal(err)
		}
		if string(l.Key) == key {
			all = append(all, l)
		}
	}
	return all
}

// parkedRows folds the committed changelog of parked keys.
func (w *world) parkedRows() map[string]engine.ParkedKey {
	w.t.Helper()
	rows := map[string]engine.ParkedKey{}
	for _, r := range w.committed(engine.ParkedTopic(testGroup)) {
		if r.Value == nil {
			delete(rows, string(r.Key))
			continue
		}
		var row engine.ParkedKey
		if err := json.Unmarshal(r.Value, &row); err != nil {
			w.t.Fatal(err)
		}
		rows[string(r.Key)] = row
	}
	return rows
}

// retry asks for letters to be processed again, each as mend changes it.
func (w *world) retry(letters []engine.Letter, mend func(*engine.Retry)) {
	w.t.Helper()
	var records []*kgo.Record
	for _, l := range letters {
		r := engine.Retry{Letter: l, At: "somewhere"}
		if mend != nil {
			mend(&r)
		}
		records = append(records, r.Record())
	}
	if err := w.client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// mendBad replaces values that can't be decoded.
func mendBad(r *engine.Retry) {
	if strings.HasPrefix(string(r.Value), "bad") {
		r.Value, r.Mended, r.Why = []byte("mended"), true, "by hand"
	}
}

func (w *world) row(key, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("row %s is %q", key, want), func() bool { return w.rows()[key] == want })
}

// sequences are the letters as "class sequence/attempt".
func sequences(letters []engine.Letter) string {
	var all []string
	for _, l := range letters {
		all = append(all, fmt.Sprintf("%s %d/%d", l.Class, l.Sequence, l.Attempt))
	}
	return strings.Join(all, ", ")
}

func (w *world) wantLetters(key, want string) {
	w.t.Helper()
	w.eventually(key+": "+want, func() bool { return len(w.letters(key)) > strings.Count(want, ",") })
	if got := sequences(w.letters(key)); got != want {
		w.t.Errorf("dead letters of %s are %s; want %s", key, got, want)
	}
}

// park has the key k1 parked by its second record, with two more behind it.
func (w *world) park() {
	w.t.Helper()
	w.send(leftTopic, "k1=a")
	bad := &kgo.Record{
		Topic: leftTopic, Key: []byte("k1"), Value: []byte("bad"),
		Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("t1")}},
	}
	if err := w.client.ProduceSync(w.t.Context(), bad).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	w.send(leftTopic, "k1=b", "k2=x")
	w.row("k2", ",x")
	w.wantLetters("k1", "malformed 0/1, parked 1/0")
	w.send(rightTopic, "k1=c")
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0")
	w.row("k1", ",a")
	if row := w.parkedRows()["k1"]; row.First != 0 || row.Next != 3 || row.Attempts != 1 {
		w.t.Errorf("parked: %+v", row)
	}
}

// free holds that nothing is parked any more and that k1 is processed again.
func (w *world) free(was string) {
	w.t.Helper()
	w.row("k1", was)
	w.eventually("nothing is parked", func() bool { return len(w.parkedRows()) == 0 })
	w.send(leftTopic, "k1=d")
	w.row("k1", was+",d")
	var said string
	for _, r := range w.committed(joinedTopic) {
		if string(r.Key) == "k1" {
			said += "," + string(r.Value)
		}
	}
	if said != was+",d" {
		w.t.Errorf("k1 emitted %s, want %s,d", said, was)
	}
}

// TestParkedKeyKeepsItsOrder parks a key, of both inputs, and takes it out again
// with the value mended that it was parked for.
func TestParkedKeyKeepsItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := &notebook{}
	wk := w.start(vfs.NewMem(), n.note, parking)
	w.park()
	if got := wk.e.Stats().Parked; got != 1 {
		t.Errorf("%d keys are parked, want 1", got)
	}
	letters := w.letters("k1")
	w.retry(letters, mendBad)
	w.free(",a,mended,b,c")
	wk.end()
	var want []string
	for _, l := range letters {
		want = append(want, fmt.Sprintf("%s/%d@%d %d %s", l.Topic, l.Partition, l.Offset,
			l.Timestamp.UnixMilli(), header(&kgo.Record{Headers: l.Headers}, "trace")))
	}
	if !slices.Equal(n.seen, want) {
		t.Errorf("the callback saw %v, want %v", n.seen, want)
	}
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0")
}

// TestRetriesAreDoneOnce asks for everything three times, as several operators
// at once would.
func TestRetriesAreDoneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), new(notebook).note, parking)
	w.park()
	stale := w.letters("k1")
	for range 3 {
		w.retry(w.letters("k1"), mendBad)
	}
	w.free(",a,mended,b,c")
	w.send(leftTopic, "k1=bad again", "k1=e")
	w.eventually("parked anew", func() bool { return w.parkedRows()["k1"].Next == 2 })
	w.retry(stale, mendBad) // of the time before: has nothing to do with what waits now
	w.retry(w.letters("k1")[len(stale):], mendBad)
	w.row("k1", ",a,mended,b,c,d,mended,e")
	wk.end()
}

func TestRetryThatFailsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), new(notebook).note, parking)
	w.park()
	w.retry(w.letters("k1"), nil)
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0, malformed 0/2")
	if got := w.letters("k1")[3]; got.Retry == "" || got.Where() != w.letters("k1")[0].Where() {
		t.Errorf("the second attempt is told as %+v", got)
	}
	w.retry(w.letters("k1")[1:2], nil) // not its turn
	w.send(leftTopic, "k2=y")
	w.row("k2", ",x,y")
	w.row("k1", ",a")
	if row := w.parkedRows()["k1"]; row.First != 0 || row.Attempts != 2 {
		t.Errorf("parked: %+v", row)
	}
	w.retry(w.letters("k1")[:3], mendBad)
	w.free(",a,mended,b,c")
	wk.end()
}

func TestDroppedLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), new(notebook).note, parking)
	w.park()
	w.retry(w.letters("k1"), func(r *engine.Retry) { r.Drop = string(r.Value) == "bad" })
	w.free(",a,b,c")
	wk.end()
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0")
}

// TestPanicInARetry has the transaction aborted in the middle of a retry.
func TestPanicInARetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := &notebook{}
	wk := w.start(vfs.NewMem(), n.note, parking)
	w.send(leftTopic, "k1=panic", "k1=b", "k1=panic too", "k1=c")
	w.wantLetters("k1", "panic 0/1, parked 1/0, parked 2/0, parked 3/0")
	w.retry(w.letters("k1"), nil)
	w.wantLetters("k1", "panic 0/1, parked 1/0, parked 2/0, parked 3/0, panic 0/2")
	n.mended.Store(true)
	w.retry(w.letters("k1")[:2], nil)
	w.row("k1", ",panic,b")
	n.mended.Store(false)
	w.retry(w.letters("k1")[2:4], nil)
	w.eventually("fails again", func() bool { return len(w.letters("k1")) == 6 })
	n.mended.Store(true)
	w.retry(w.letters("k1")[2:4], nil)
	w.free(",panic,b,panic too,c")
	wk.end()
}

// TestParkedKeysOutliveTheDisk loses the disk while a key is parked, and gives
// its partition to another worker.
func TestParkedKeysOutliveTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	one := w.start(fs, new(notebook).note, parking, leaving)
	w.park()
	one.end()
	wiped := w.start(vfs.NewMem(), new(notebook).note, parking)
	w.send(leftTopic, "k1=after the wipe")
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0, parked 3/0")
	two := w.start(vfs.NewMem(), new(notebook).note, parking, func(c *engine.Config) {
		c.Instance = "two"
	})
	w.eventually("two workers share", func() bool {
		return len(wiped.e.Stats().Partitions) == 2 && len(two.e.Stats().Partitions) == 2 &&
			wiped.e.Stats().Ready && two.e.Stats().Ready
	})
	if n := wiped.e.Stats().Parked + two.e.Stats().Parked; n != 1 {
		t.Errorf("%d keys are parked, want 1", n)
	}
	w.send(leftTopic, "k1=of two")
	w.eventually("parked too", func() bool { return w.parkedRows()["k1"].Next == 5 })
	w.retry(w.letters("k1"), mendBad)
	w.free(",a,mended,b,c,after the wipe,of two")
	wiped.end()
	two.end()
}

// TestParkingTurnedOff: what is parked stays so, nothing new is.
func TestParkingTurnedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, new(notebook).note, parking)
	w.park()
	wk.end()
	wk = w.start(fs, new(notebook).note)
	w.send(leftTopic, "k1=d", "k2=bad", "k2=y")
	w.wantLetters("k1", "malformed 0/1, parked 1/0, parked 2/0, parked 3/0")
	w.row("k2", ",x,y")
	w.retry(w.letters("k1"), mendBad)
	w.free(",a,mended,b,c,d")
	wk.end()
}

// TestRetryWithoutParking processes dead letters again whenever they are asked
// for.
func TestRetryWithoutParking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), new(notebook).note)
	w.send(leftTopic, "k1=bad", "k1=b")
	w.wantLetters("k1", "malformed 0/1")
	w.row("k1", ",b")
	w.retry(w.letters("k1"), nil)
	w.wantLetters("k1", "malformed 0/1, malformed 0/2")
	w.retry(w.letters("k1")[1:], func(r *engine.Retry) { r.Drop = true })
	w.retry(w.letters("k1")[1:], mendBad)
	w.row("k1", ",b,mended")
	wk.end()
}

// TestNonsenseInTheRetryTopic must not stop a worker.
func TestNonsenseInTheRetryTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), new(notebook).note, parking)
	w.eventually("ready", func() bool { return wk.e.Stats().Ready })
	good := engine.Letter{Topic: leftTopic, Key: []byte("k1"), Value: []byte("v"), Group: testGroup}
	elsewhere, keyless := good, good
	elsewhere.Topic, keyless.Key = "elsewhere", nil
	for _, l := range []engine.Letter{elsewhere, keyless} {
		w.retry([]engine.Letter{l}, nil)
	}
	w.send(engine.RetryTopic(testGroup), "k1=no headers")
	w.eventually("dead letters", func() bool { return len(w.committed(testDead)) == 3 })
	for _, r := range w.committed(testDead) {
		if got := header(r, "tally.class"); got != "retry" {
			t.Errorf("class %s, want retry: %s", got, header(r, "tally.reason"))
		}
	}
	w.send(leftTopic, "k1=a")
	w.row("k1", ",a")
	wk.end()
}

// TestForgedRetryHeader: a record can't pass itself off as one that is retried.
func TestForgedRetryHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := &notebook{}
	wk := w.start(vfs.NewMem(), n.note, parking)
	w.eventually("ready", func() bool { return wk.e.Stats().Ready })
	wk.end()
	asked := (&engine.Retry{Letter: engine.Letter{
		Topic: leftTopic, Key: []byte("k2"), Value: []byte("x"), Group: testGroup,
	}}).Record()
	if err := w.client.ProduceSync(t.Context(), asked).FirstErr(); err != nil {
		t.Fatal(err)
	}
	forged := &kgo.Record{Topic: leftTopic, Key: []byte("k2"), Value: []byte("y")}
	forged.Headers = []kgo.RecordHeader{{
		Key: engine.RetryHeader, Value: fmt.Appendf(nil, "%s/%d@0", asked.Topic, asked.Partition),
	}}
	if err := w.client.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	wk = w.start(vfs.NewMem(), n.note, parking) // reads both in one transaction
	w.eventually("both", func() bool { return len(w.rows()["k2"]) == len(",x,y") })
	wk.end()
	if len(n.seen) != 1 {
		t.Errorf("taken for retried: %v", n.seen)
	}
}

func TestParkNeedsExactlyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.open(vfs.NewMem())
	defer db.Close()
	_, err := engine.New(engine.Config{
		Brokers: []string{"a:1"}, Group: "g", Instance: "i", State: db, Park: true,
		Guarantee: engine.AtLeastOnce,
	})
	if err == nil || !strings.Contains(err.Error(), "park: needs exactly-once") {
		t.Errorf("got %v", err)
	}
}

// TestParkedTableOfAnotherLog: parked keys that are gone are not taken for none.
func TestParkedTableOfAnotherLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, new(notebook).note, parking)
	w.park()
	wk.end()
	if _, err := w.admin.DeleteTopics(t.Context(), engine.ParkedTopic(testGroup)); err != nil {
		t.Fatal(err)
	}
	wk = w.start(fs, new(notebook).note, parking)
	if err := wk.wait(false); !errors.Is(err, engine.ErrTopic) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTopic)
	}
}

// TestParkedKeyIsNotDue: the deadline of a parked key waits until the key is free,
// while those of others come.
func TestParkedKeyIsNotDue(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	keys, now := keysOf(0, 2), time.Now()
	w.sendAt(leftTopic, keys[0], now.Add(time.Second-life))
	w.send(leftTopic, keys[0]+"=bad") // parks it however late the worker reads both
	stop := w.run(g.define, timed(50*time.Millisecond), parking)
	w.wantLetters(keys[0], "malformed 0/1")
	w.sendAt(leftTopic, keys[1], now.Add(1500*time.Millisecond-life))
	w.eventually("a later deadline", func() bool { return len(w.expired()) == 1 })
	w.retry(w.letters(keys[0]), func(r *engine.Retry) { r.Drop = true })
	w.eventually("its own", func() bool { return len(w.expired()) == 2 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := w.expired(); !strings.HasPrefix(got[0], keys[1]) || !strings.HasPrefix(got[1], keys[0]) {
		t.Errorf("expired %v, want that of %s first", got, keys[1])
	}
}
