// Package live tells what a running system does at this moment, from Kafka alone:
// how far each consumer group of the map is in each of its inputs, what flows per
// second, at which time each partition is, and which worker has it. Since nothing is
// asked of the workers, any of them can show the whole system.
//
// It collects only while somebody watches, once for all who do.
package live

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology"
)

const (
	// DefaultEvery is how often a collector looks.
	DefaultEvery = time.Second
	// MaxWatchers bounds who may watch at the same time.
	MaxWatchers = 64
	// answers bounds how long Kafka may take for all of one look.
	answers = 5 * time.Second
	// span is how many looks a rate is an average over.
	span = 5
	// describeEvery is how many looks there are from one question about the members
	// of the groups to the next.
	describeEvery = 5
)

// ErrCrowded means that as many watch as may.
var ErrCrowded = errors.New("live: too many are watching")

// Config is what a collector is made from.
type Config struct {
	// Client stays the caller's and must outlive the collector.
	Client   *kgo.Client
	Topology topology.Topology
	// StreamTime reads the time of a partition from the metadata of a committed
	// offset. Nil if nobody knows how.
	StreamTime func(metadata string) (time.Time, bool)
	Now        func() time.Time
	// Every is how often to look; 0 is DefaultEvery.
	Every time.Duration
}

// A State is the system at one moment. It is shared by all who watch: nobody may
// change it.
type State struct {
	// At is when Kafka was asked.
	At         time.Time   `json:"at"`
	Topics     []Topic     `json:"topics"`
	Processors []Processor `json:"processors"`
	// Error says why this is not newer, empty if it is new.
	Error string `json:"error,omitempty"`
}

// A Topic is how much is in a topic of the map, in its order.
type Topic struct {
	Name string `json:"name"`
	// Partitions is 0 if the topic is not there.
	Partitions int `json:"partitions"`
	// Offsets is how many there are from the first record to the last: an upper bound
	// of its records, since markers of transactions take one each.
	Offsets int64 `json:"offsets"`
	// Rate is by how many offsets it grows in a second.
	Rate float64 `json:"rate"`
	// Undecided is how many offsets are behind the beginning of an open transaction.
	Undecided int64 `json:"undecided"`
}

// A Processor is how far a consumer group of the map is, in its order.
type Processor struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Group   string `json:"group"`
	// State is the group's, as Kafka names it: Stable, Empty, Dead and others.
	State string `json:"state"`
	// Workers are the instances in the group.
	Workers []string `json:"workers"`
	// Rate is how many offsets of its inputs it commits in a second.
	Rate float64 `json:"rate"`
	// Lag is how many records are unread. Unless Exact it is an upper bound, which
	// counts markers of transactions.
	Lag        int64       `json:"lag"`
	Exact      bool        `json:"exact"`
	Partitions []Partition `json:"partitions"`
}

// A Partition is one partition of a processor's inputs, all of them together.
type Partition struct {
	Partition int32 `json:"partition"`
	// Worker is the instance that has it, empty if that is not known.
	Worker string `json:"worker"`
	// Stream is the time of the partition, nil if it is not known.
	Stream *time.Time `json:"stream"`
	Lag    int64      `json:"lag"`
	Exact  bool       `json:"exact"`
	Inputs []Input    `json:"inputs"`
}

// An Input is one partition of one topic that a processor reads.
type Input struct {
	Topic string `json:"topic"`
	// Committed is the offset up to which the group is done, -1 if it has said nothing.
	Committed int64 `json:"committed"`
	// End is the offset up to which everything is decided.
	End   int64 `json:"end"`
	Lag   int64 `json:"lag"`
	Exact bool  `json:"exact"`

	from int64 // the first offset that is not done
}

// A Collector looks at a system while somebody watches.
type Collector struct {
	cfg Config
	adm *kadm.Client

	mu       sync.Mutex
	watchers map[chan *State]bool
	latest   *State
	ended    bool
	wake     chan struct{}

	// What follows belongs to Run.
	looks   []look // the latest ones, no more than span+1
	members map[string]kadm.DescribedGroup
	asked   int // looks since members was asked for
	peeked  map[spot]peek
}

// New returns a collector. It does nothing until it is run.
func New(cfg Config) *Collector {
	cfg.Every = cmp.Or(cfg.Every, DefaultEvery)
	return &Collector{
		cfg: cfg, adm: kadm.NewClient(cfg.Client), watchers: map[chan *State]bool{},
		wake: make(chan struct{}, 1), peeked: map[spot]peek{},
	}
}

// Watch returns the states from now on. Who is slow gets the newest and misses those
// in between. The channel is closed when the collector ends; stop must be called.
func (c *Collector) Watch() (states <-chan *State, stop func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan *State, 1)
	switch {
	case c.ended:
		close(ch)
		return ch, func() {}, nil
	case len(c.watchers) >= MaxWatchers:
		return nil, nil, ErrCrowded
	}
	c.watchers[ch] = true
	if c.latest != nil { // others watch, so it is new
		ch <- c.latest
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return ch, func() { c.leave(ch) }, nil
}

func (c *Collector) leave(ch chan *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.watchers, ch); len(c.watchers) == 0 {
		c.latest = nil
	}
}

// Run collects until ctx is done.
func (c *Collector) Run(ctx context.Context) {
	defer c.end()
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.looks, c.asked = nil, describeEvery // what was seen before the pause is too old
		for c.watched() {
			c.publish(c.collect(ctx))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

func (c *Collector) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for ch := range c.watchers {
		close(ch)
	}
	clear(c.watchers)
}

func (c *Collector) watched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watchers) > 0
}

// publish hands a state to all who watch. One that was not taken yet makes way.
func (c *Collector) publish(s *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.watchers) == 0 {
		return
	}
	c.latest = s
	for ch := range c.watchers {
		select {
		case <-ch:
		default:
		}
		ch <- s
	}
}
