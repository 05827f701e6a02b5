package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
	"tallystick/query/replay"
)

// TestJournalIsWhatCallbacksSaw sends records of all kinds to two inputs, with
// deadlines, dead letters and retries, while workers stop, lose their disks, their
// answers and their partitions. What each callback of a committed transaction saw,
// in its order and with its stream time, is what a replay of the journal gives.
func TestJournalIsWhatCallbacksSaw(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := &diary{world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 9)), park: seed%2 == 0}
			d.base = time.Now().Add(-time.Hour).Truncate(time.Second)
			d.play(40)
		})
	}
}

// A diary is one run of the test.
type diary struct {
	*world
	rng    *rand.Rand
	park   bool
	base   time.Time
	astray *kgo.Client // sends records to the partitions that they name
	sent   int
	stops  map[string]func() error
	resent map[string]bool
}

// saw emits what the callback sees, so that only what is committed counts.
func saw(ctx goka.Context) {
	stream := int64(0)
	if s := ctx.(interface{ StreamTime() time.Time }).StreamTime(); !s.IsZero() {
		stream = s.UnixMicro()
	}
	ctx.Emit(joinedTopic, ctx.Key(), entry(string(ctx.Topic()), ctx.Offset(),
		string(ctx.Headers()[engine.RetryHeader]), ctx.Timestamp().UnixMicro(), stream))
}

func entry(topic string, offset int64, retry string, at, stream int64) string {
	where := fmt.Sprintf("%s@%d", topic, offset)
	switch {
	case retry != "":
		where = retry
	case topic == engine.TimersTopic(testGroup):
		where = fmt.Sprintf("timer %d", at)
	}
	return fmt.Sprintf("%s stream %d", where, stream)
}

func (d *diary) define(e *engine.Engine) *goka.GroupGraph {
	input := func(ctx goka.Context, msg any) {
		saw(ctx)
		if value, _ := msg.(string); strings.HasPrefix(value, "panic") {
			panic("on purpose")
		}
		if ctx.Topic() == leftTopic {
			ctx.SetValue(ctx.Timestamp().Add(life))
		} else if ctx.Value() != nil {
			ctx.Delete()
		}
	}
	return goka.DefineGroup(testGroup,
		goka.Input(leftTopic, engine.Total(&picky{}), e.Wrap(input)),
		goka.Input(rightTopic, engine.Total(&picky{}), e.Wrap(input)),
		goka.Input(goka.Stream(engine.TimersTopic(testGroup)), new(codec.String),
			e.Wrap(func(ctx goka.Context, _ any) {
				saw(ctx)
				if at := ctx.Timestamp(); at.Second()%2 == 0 {
					ctx.SetValue(at.Add(5 * time.Second))
				} else {
					ctx.Delete()
				}
			})),
		goka.Output(joinedTopic, new(codec.String)),
		goka.Persist(dueCodec{}))
}

func (d *diary) start(name string) {
	d.stops[name] = d.run(d.define, timed(60*time.Millisecond), func(c *engine.Config) {
		c.Instance, c.Park, c.OnMisrouted = name, d.park, engine.MisroutedToDeadLetters
		c.DynamicMembership = name != "one"
	})
}

func (d *diary) halt(name string) {
	d.t.Helper()
	if stop := d.stops[name]; stop != nil {
		delete(d.stops, name)
		if err := stop(); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *diary) play(steps int) {
	d.stops, d.resent = map[string]func() error{}, map[string]bool{}
	d.faults()
	d.astray = d.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	d.start("one")
	for range steps {
		switch d.rng.IntN(12) {
		case 0:
			d.halt("one")
			d.start("one")
		case 1:
			if d.stops["two"] == nil {
				d.start("two")
			} else {
				d.halt("two")
			}
		case 2:
			d.again()
		default:
			d.produce()
		}
		began, pause := time.Now(), time.Duration(d.rng.IntN(3))*40*time.Millisecond
		d.eventually("inputs may be idle", func() bool { return time.Since(began) >= pause })
	}
	d.eventually("all is read", func() bool { return d.read() >= d.sent })
	d.halt("two")
	d.halt("one")
	// A worker whose transaction failed while it was stopped leaves it to its timeout,
	// and until then nobody sees what is behind its records.
	if _, err := replay.Open(d.t.Context(), d.client, testWithin, joinedTopic, testTable,
		engine.JournalTopic(testGroup)); err != nil {
		d.t.Fatal(err)
	}
	for p := range int32(testParts) {
		d.compare(p)
		d.compareTables(p)
	}
}

func (d *diary) faults() {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, d.rng.Uint64()))
	d.cluster.ControlKey(keyEndTxn, func(kmsg.Request) (kmsg.Response, error, bool) {
		d.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(15) == 0 {
			return nil, errors.New("dropped"), true
		}
		return nil, nil, false
	})
}

// produce sends some records, of all kinds.
func (d *diary) produce() {
	var rs []*kgo.Record
	for range 1 + d.rng.IntN(20) {
		d.sent++
		r := &kgo.Record{
			Topic: []string{leftTopic, rightTopic}[d.rng.IntN(2)],
			Key:   fmt.Appendf(nil, "k%d", d.rng.IntN(40)), Value: []byte("good"),
			Timestamp: d.base.Add(time.Duration(d.sent)*100*time.Millisecond +
				time.Duration(d.rng.IntN(3000))*time.Millisecond),
		}
		switch d.rng.IntN(30) {
		case 0, 1:
			r.Value = []byte("bad")
		case 2:
			if d.rng.IntN(3) == 0 { // they cost a new client each
				r.Value = []byte("panic")
			}
		case 3:
			r.Value = nil
		case 4:
			r.Key = nil
		case 5:
			r.Timestamp = time.Now().Add(time.Hour)
		case 6: // by a producer with a hash of its own
			r.Partition = d.rng.Int32N(testParts)
			d.send(d.astray, r)
			continue
		}
		rs = append(rs, r)
	}
	d.send(d.client, rs...)
}

func (d *diary) send(client *kgo.Client, rs ...*kgo.Record) {
	d.t.Helper()
	if err := client.ProduceSync(d.t.Context(), rs...).FirstErr(); err != nil {
		d.t.Fatal(err)
	}
}

// again asks for all dead letters of keys, some of them mended.
func (d *diary) again() {
	var rs []*kgo.Record
	for _, dead := range d.committed(testDead) {
		at := fmt.Sprintf("%d@%d", dead.Partition, dead.Offset)
		l, err := engine.ReadLetter(dead)
		if err != nil {
			d.t.Fatal(err)
		}
		if d.resent[at] || l.Key == nil || l.Class == "retry" {
			continue
		}
		d.resent[at] = true
		r := engine.Retry{Letter: l, At: at, Drop: d.rng.IntN(4) == 0}
		if d.rng.IntN(3) > 0 {
			r.Value, r.Mended = []byte("mended"), true
		}
		rs = append(rs, r.Record())
		d.sent++
	}
	d.send(d.client, rs...)
}

// merged replays the journal of a partition.
func (d *diary) merged(p int32) []replay.Done {
	d.t.Helper()
	journal := engine.JournalTopic(testGroup)
	log, err := replay.Open(d.t.Context(), d.client, testWithin, journal, leftTopic, rightTopic,
		engine.RetryTopic(testGroup))
	if err != nil {
		d.t.Fatal(err)
	}
	var all []replay.Done
	for done, err := range log.Merged(d.t.Context(), journal, p) {
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, done)
	}
	return all
}

func (d *diary) read() int {
	n := 0
	for p := range int32(testParts) {
		for _, done := range d.merged(p) {
			if done.Record != nil {
				n++
			}
		}
	}
	return n
}

// compare compares what callbacks saw in a partition with what the journal says.
func (d *diary) compare(p int32) {
	d.t.Helper()
	var got, want []string
	for _, r := range d.committed(joinedTopic) {
		if r.Partition == p {
			got = append(got, string(r.Value))
		}
	}
	refused := 0
	for _, done := range d.merged(p) {
		switch {
		case done.Fired != nil:
			want = append(want, entry(engine.TimersTopic(testGroup), 0, "", done.Fired.At, done.Stream))
		case done.Refused:
			refused++
		case done.Record.Topic == engine.RetryTopic(testGroup):
			at := fmt.Sprintf("%s/%d@%d", done.Record.Topic, p, done.Record.Offset)
			want = append(want, entry("", 0, at, 0, done.Stream))
		default:
			r := done.Record
			want = append(want, entry(r.Topic, r.Offset, "", 0, done.Stream))
		}
	}
	d.t.Logf("partition %d: %d seen, %d refused", p, len(got), refused)
	if len(got) == 0 || refused == 0 {
		d.t.Errorf("partition %d: %d seen, %d refused: that shows nothing", p, len(got), refused)
	}
	if !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		d.t.Errorf("partition %d: callbacks saw %d, the journal has %d; from %d on they saw\n%s\nand "+
			"the journal has\n%s", p, len(got), len(want), i,
			strings.Join(got[i:min(len(got), i+5)], "\n"), strings.Join(want[i:min(len(want), i+5)], "\n"))
	}
}
