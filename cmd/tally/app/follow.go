package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/reading"
	"tallystick/schemas/tallyv1"
)

// A follower reads every topic of events as they are committed, and keeps count:
// how many of which kind there are, and how each order has ended.
type follower struct {
	w       wiring
	decode  map[string]reading.Decoder
	mu      sync.Mutex
	kinds   map[string]map[string]int64 // by topic, then by kind
	ends    map[string]string           // by order
	notices map[string]int              // by order
	refused int64                       // dead letters
	samples []sample
	seen    map[string]bool
}

// A sample is the first event of its kind.
type sample struct{ kind, key, detail string }

// newFollower follows the topics that are keyed by order.
func newFollower(w wiring) *follower {
	f := &follower{
		w: w, decode: map[string]reading.Decoder{}, kinds: map[string]map[string]int64{},
		ends: map[string]string{}, notices: map[string]int{}, seen: map[string]bool{},
	}
	for _, t := range w.aboutOrders() {
		f.decode[t.Name] = t.Decode
		f.kinds[t.Name] = map[string]int64{}
	}
	return f
}

// options make a client that reads what the follower wants.
func (f *follower) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(append(slices.Collect(maps.Keys(f.decode)), f.w.names.DeadLetters)...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}
}

// run follows until ctx is done.
func (f *follower) run(ctx context.Context, cl *kgo.Client) error {
	for {
		fetched := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errs := fetched.Errors(); len(errs) > 0 && errs[0].Err != nil {
			return fmt.Errorf("follow %s: %w", errs[0].Topic, errs[0].Err)
		}
		f.mu.Lock()
		fetched.EachRecord(f.take)
		f.mu.Unlock()
	}
}

// take counts one record.
func (f *follower) take(r *kgo.Record) {
	if r.Topic == f.w.names.DeadLetters {
		f.refused++
		return
	}
	said, err := f.decode[r.Topic](r.Value)
	if err != nil {
		f.kinds[r.Topic]["unreadable"]++
		return
	}
	f.kinds[r.Topic][said.Kind]++
	key := string(r.Key)
	if end := endOf(said.Kind); end != "" && f.ends[key] != endConfirmed &&
		(f.ends[key] == "" || end == endConfirmed) && f.opens(key, said) {
		f.ends[key] = end
	}
	if strings.HasPrefix(said.Kind, "Confirmation") {
		f.notices[key]++
	}
	name := said.Kind
	if x, ok := said.Envelope.(*tallyv1.ExceptionEvent); ok && x.GetPaymentUnmatched() != nil {
		name += x.GetPaymentUnmatched().GetReason().String()
	}
	if !f.seen[name] {
		f.seen[name] = true
		f.samples = append(f.samples, sample{said.Kind, key, said.Words()})
	}
}

// opens says that an end is one of the order itself: a refusal ends only an order
// that was never placed.
func (f *follower) opens(key string, said reading.Event) bool {
	e, ok := said.Envelope.(*tallyv1.OrderEvent)
	if !ok || e.GetOrderRefused() == nil {
		return true
	}
	return e.GetOrderRefused().GetCommand() == "PlaceOrder"
}

// How orders end.
const (
	endConfirmed = "confirmed"
	endExpired   = "expired"
	endCancelled = "cancelled"
	endRejected  = "rejected"
	endRefused   = "refused"
)

// endOf is the end that an event is for its order.
func endOf(kind string) string {
	return map[string]string{
		"OrderConfirmed": endConfirmed, "OrderExpired": endExpired, "OrderCancelled": endCancelled,
		"OrderRejected": endRejected, "OrderRefused": endRefused,
	}[kind]
}

// counts are the counts so far.
type counts struct {
	// Topics are how many events of each kind are in each topic.
	Topics map[string]map[string]int64 `json:"topics"`
	// Ends are how many orders ended in each way.
	Ends map[string]int64 `json:"ends"`
	// Told is how many notices there are about confirmed orders, two for each that
	// has all.
	Told int64 `json:"-"`
	// Refused are the dead letters.
	Refused int64 `json:"-"`
}

func (f *follower) counts() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := counts{Topics: map[string]map[string]int64{}, Ends: map[string]int64{}, Refused: f.refused}
	for topic, kinds := range f.kinds {
		c.Topics[topic] = maps.Clone(kinds)
	}
	for _, end := range f.ends {
		c.Ends[end]++
	}
	for _, n := range f.notices {
		c.Told += int64(n)
	}
	return c
}

// firsts are the first events of each kind.
func (f *follower) firsts() []sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.samples)
}

// ended is how many orders have come to their end.
func (c counts) ended() int64 {
	var n int64
	for _, of := range c.Ends {
		n += of
	}
	return n
}
