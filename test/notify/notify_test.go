package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/notify"
	"tallystick/processors/notify/send"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/state"
)

const (
	within = 60 * time.Second
	lives  = 8
	batch  = 20 // confirmations per life at once; more trickle in until it ends
)

var names = notify.Topics{
	Group: "tally-notify", Confirmations: "confirmations", Results: "tally-notify-results",
	Notices: "notices",
}

// A world is a fake cluster and its receivers.
type world struct {
	t            *testing.T
	cluster      *kfake.Cluster
	client       *kgo.Client
	mails, hooks *counts
	mail, hook   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2,
		names.Confirmations, names.Results, names.Notices, names.Group+"-dead-letters"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, cluster: c, mails: newCounts(1), hooks: newCounts(2)}
	w.client, err = kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.mail, w.hook = w.mails.mailbox(t), w.hooks.webhook(t)
	return w
}

// confirm writes confirmations of the orders from to to-1, some of them twice.
func (w *world) confirm(from, to int) {
	w.t.Helper()
	var rs []*kgo.Record
	for i := from; i < to; i++ {
		order := fmt.Sprintf("o%d", i)
		b, err := schemas.Confirmations.Marshal(&tallyv1.ConfirmationEvent{
			Meta: &tallyv1.Meta{Id: "c-" + order},
			Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
				OrderId: order, Total: schemas.Money(0, "EUR"),
				Contact: &tallyv1.Contact{Name: "Ada", Email: order + "@example.com"},
			}},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		for range 1 + i%2 {
			rs = append(rs, &kgo.Record{
				Topic: names.Confirmations, Key: []byte(order), Value: b,
				Timestamp: time.Now().Add(-24 * time.Hour), // deadlines don't go by it
			})
		}
	}
	if err := w.client.ProduceSync(w.t.Context(), rs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// A life is one worker with its sender. Once it is dead it does nothing more: what
// it has handed over is lost, and what it has sent it can't report.
type life struct {
	w     *world
	fs    *vfs.MemFS
	db    *state.DB
	s     *send.Sender
	dead  atomic.Bool
	stop  context.CancelFunc
	ended chan error
}

// death says when a life ends.
type death int

const (
	never       death = iota
	afterCommit       // before the rows are on disk and the effects handed over
	afterEffect       // before the sender has taken them
	afterSend         // before the result is reported
)

// live starts a worker on fs. When it dies, what is left of its disk comes on the
// channel.
func (w *world) live(fs *vfs.MemFS, d death, seed uint64) (*life, chan *vfs.MemFS) {
	w.t.Helper()
	l := &life{w: w, fs: fs, ended: make(chan error, 1)}
	disk := make(chan *vfs.MemFS, 1)
	forever := w.t.Context()
	var due atomic.Int64
	due.Store(3) // it dies at the third of its moments
	die := func(at death) bool {
		if at == d && due.Add(-1) == 0 && !l.dead.Swap(true) {
			disk <- fs.CrashClone(vfs.CrashCloneCfg{
				UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, seed)),
			})
		}
		return l.dead.Load()
	}
	var err error
	l.db, err = state.Open(state.Options{
		Dir: "db", FS: fs, CacheBytes: 8 << 20, RowCacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l.s, err = send.New(w.t.Context(), send.Config{
		Mail: &send.Mail{
			Address: w.mail, Security: send.Plain, From: "shop@example.com",
			Connect: 200 * time.Millisecond, Command: 200 * time.Millisecond,
			Final: 300 * time.Millisecond,
		},
		Webhook: &send.Webhook{URL: w.hook, Timeout: 500 * time.Millisecond},
		Workers: 4, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Report: func(ctx context.Context, key string, value []byte) error {
			if die(afterSend) {
				return errors.New("dead")
			}
			return w.client.ProduceSync(ctx, &kgo.Record{
				Topic: names.Results, Key: []byte(key), Value: value,
			}).FirstErr()
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := engine.New(engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: names.Group, Instance: "one", State: l.db,
		Interval: 20 * time.Millisecond, SessionTimeout: 6 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
		Timers: &engine.Timers{Deadline: schemas.NotifyRowDeadline, Wall: true},
		Probe: &engine.Probe{Committed: func() {
			if die(afterCommit) {
				<-forever.Done()
			}
		}},
		Effects: map[string]func(context.Context, []engine.Effect){
			names.Effects(): func(ctx context.Context, list []engine.Effect) {
				if die(afterEffect) {
					return
				}
				var out []send.Effect
				for _, one := range list {
					out = append(out, send.Effect(one))
				}
				l.s.Take(ctx, out)
			},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	rules := notify.Rules{
		Mail: true, Webhook: true, MaxAttempts: 3,
		Backoff: 50 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		Gate: 5 * time.Second, Grace: 500 * time.Millisecond,
	}
	g := rules.Define(names, func(cb goka.ProcessCallback) goka.ProcessCallback {
		return e.Wrap(cb, schemas.CheckKey)
	})
	ctx, stop := context.WithCancel(w.t.Context())
	l.stop = stop
	go func() { l.ended <- e.Run(ctx, g) }()
	return l, disk
}

// told is what the notices say last of each order and channel.
func (w *world) told() map[string]string {
	w.t.Helper()
	last := map[string]string{}
	for _, r := range w.read(names.Notices) {
		m, err := schemas.Notices.Unmarshal(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		switch v := m.GetEvent().(type) {
		case *tallyv1.NoticeEvent_ConfirmationSent:
			last[v.ConfirmationSent.GetChannel().String()+" "+string(r.Key)] = "sent"
		case *tallyv1.NoticeEvent_ConfirmationBounced:
			last[v.ConfirmationBounced.GetChannel().String()+" "+string(r.Key)] = "bounced"
		case *tallyv1.NoticeEvent_ConfirmationUnresolved:
			last[v.ConfirmationUnresolved.GetChannel().String()+" "+string(r.Key)] = "unresolved"
		}
	}
	return last
}

// read returns the committed records of a topic.
func (w *world) read(topic string) []*kgo.Record {
	w.t.Helper()
	ends, err := kadm.NewClient(w.client).ListCommittedOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	left := map[int32]int64{}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition], from[o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		}
	})
	if len(left) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	var out []*kgo.Record
	for len(left) > 0 && ctx.Err() == nil {
		for _, r := range cl.PollFetches(ctx).Records() {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		}
	}
	return out
}

// TestNeverTwice kills workers after they committed a gate, after its effect was
// handed over, and after it was sent, beside receivers that refuse, fail, and take
// without an answer. No receiver gets a confirmation twice. Each way of each order
// ends: what is said to be sent was taken, what bounced was not, and the rest is
// listed as unresolved.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs, orders := vfs.NewCrashableMem(), 0
	for i := range lives {
		l, disk := w.live(fs, []death{afterCommit, afterEffect, afterSend}[i%3], uint64(i))
		w.confirm(orders, orders+batch)
		orders += batch
		for deadline := time.Now().Add(within); len(disk) == 0; orders++ {
			if time.Now().After(deadline) {
				t.Fatalf("life %d did not come to its death", i)
			}
			time.Sleep(50 * time.Millisecond)
			w.confirm(orders, orders+1)
		}
		fs = <-disk
		if i%3 != 0 { // the dead one is still within its loop
			l.stop()
		}
	}
	l, _ := w.live(fs, never, lives)
	w.confirm(orders, orders+batch)
	orders += batch
	deadline := time.Now().Add(within)
	for len(w.told()) < 2*orders {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d have ended within %v", len(w.told()), 2*orders, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := l.s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	l.stop()
	if err := <-l.ended; err != nil {
		t.Error(err)
	}
	if m, h := w.mails.most(), w.hooks.most(); m != 1 || h != 1 {
		t.Errorf("a mail was taken %d times, an event %d times", m, h)
	}
	ends := map[string]int{}
	for key, end := range w.told() {
		ends[end]++
		var channel, order string
		if _, err := fmt.Sscan(key, &channel, &order); err != nil {
			t.Fatal(err)
		}
		n := w.mails.of("c-" + order)
		if channel == tallyv1.Channel_WEBHOOK.String() {
			n = w.hooks.of("c-" + order)
		}
		if end == "sent" && n != 1 || end == "bounced" && n != 0 {
			t.Errorf("%s is said to be %s, and was taken %d times", key, end, n)
		}
	}
	t.Logf("ends: %v", ends)
	for _, end := range []string{"sent", "bounced", "unresolved"} {
		if ends[end] == 0 {
			t.Errorf("nothing is %s", end)
		}
	}
}
