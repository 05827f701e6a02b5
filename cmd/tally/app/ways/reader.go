package ways

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/schemas"
)

// A reader reads the confirmations of a run as they can be read by whoever does
// not want to see what is aborted.
type reader struct {
	client *kgo.Client
	stop   context.CancelFunc
	gone   chan struct{}

	mu     sync.Mutex
	n      int
	seen   map[string][]confirmation // by order
	next   map[int32]int64           // by partition, the offset behind what was read
	failed error
}

// A confirmation is what was read of one.
type confirmation struct {
	at    time.Time
	minor int64
}

// reader begins to read.
func (r *run) reader() (*reader, error) {
	offsets := map[int32]kgo.Offset{}
	for p := range r.c.Partitions {
		offsets[p] = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, r.c.Client...),
		kgo.SeedBrokers(r.c.Brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.names.Confirmations: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(time.Second), freshTopics)...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(cl.Context())
	d := &reader{
		client: cl, stop: stop, gone: make(chan struct{}),
		seen: map[string][]confirmation{}, next: map[int32]int64{},
	}
	go d.follow(ctx)
	return d, nil
}

// follow reads until ctx is done.
func (d *reader) follow(ctx context.Context) {
	defer close(d.gone)
	for {
		fetches := d.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		d.take(fetches, time.Now())
	}
}

func (d *reader) take(fetches kgo.Fetches, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = errors.Join(d.failed, fetches.Err())
	fetches.EachRecord(func(r *kgo.Record) {
		d.next[r.Partition] = r.Offset + 1
		if r.Attrs.IsControl() {
			return
		}
		m, err := schemas.Confirmations.Unmarshal(r.Value)
		if err != nil {
			d.failed = errors.Join(d.failed, err)
			return
		}
		c := m.GetOrderConfirmed()
		d.seen[c.GetOrderId()] = append(d.seen[c.GetOrderId()],
			confirmation{now, c.GetTotal().GetMinor()})
		d.n++
	})
}

// of returns what was read about an order.
func (d *reader) of(orderID string) []confirmation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[orderID]
}

// all returns what was read, by order.
func (d *reader) all() map[string][]confirmation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.seen)
}

// count is how many confirmations were read.
func (d *reader) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// failure is what reading failed by, if it did.
func (d *reader) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// reached tells whether all up to these offsets was read, or cannot be.
func (d *reader) reached(ends kadm.ListedOffsets) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := true
	ends.Each(func(o kadm.ListedOffset) { all = all && d.next[o.Partition] >= o.Offset })
	return all || d.failed != nil
}

func (d *reader) close() {
	d.stop()
	<-d.gone
	d.client.Close()
}
