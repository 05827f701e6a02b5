package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
)

// A Guarantee says what a crash may do to outputs.
type Guarantee int

const (
	// ExactlyOnce puts outputs, changelog and offsets into one transaction.
	ExactlyOnce Guarantee = iota
	// AtLeastOnce is for brokers without transactions. After a crash records
	// are processed again, on rows that may already hold them.
	AtLeastOnce
)

// String returns the guarantee as settings write it.
func (g Guarantee) String() string {
	if g == AtLeastOnce {
		return "at-least-once"
	}
	return "exactly-once"
}

// ParseGuarantee is the inverse of [Guarantee.String].
func ParseGuarantee(s string) (Guarantee, error) {
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		if s == g.String() {
			return g, nil
		}
	}
	return 0, fmt.Errorf("engine: guarantee %q is neither exactly-once nor at-least-once", s)
}

// Misrouted says what happens to a record whose partition is not the one of
// its key.
type Misrouted int

const (
	// StopOnMisrouted stops the worker with [ErrMisrouted].
	StopOnMisrouted Misrouted = iota
	// MisroutedToDeadLetters puts the record into the dead letters.
	MisroutedToDeadLetters
)

// Config is the setting of one engine, which runs one processor.
type Config struct {
	// Brokers are the seeds, host:port. At least one.
	Brokers []string
	// Client is put before the engine's own options on every Kafka client:
	// dialer, TLS, SASL, client id.
	Client []kgo.Opt
	// Group is the Goka group, as in goka.DefineGroup.
	Group string
	// Instance names this worker within the group; it must survive a restart
	// (host name, ordinal). Together with the group it is the transactional id.
	Instance string
	// State is where the tables are. The engine doesn't close it.
	State *state.DB
	// Guarantee is what a crash may do; exactly once by default.
	Guarantee Guarantee

	// Interval is how long a transaction collects records; 100 ms by default.
	// It is also how long an output waits to become visible.
	Interval time.Duration
	// MaxRecords and MaxBytes end a transaction early; 50,000 and 32 MiB by
	// default. The records of one poll, no more than 10,000, may go beyond MaxBytes.
	// Beside its records MaxRecords timers come in a transaction, at most 50,000.
	MaxRecords int
	MaxBytes   int
	// FetchBytes bounds what is fetched of one partition at a time; 256 KiB.
	FetchBytes int32

	// DeadLetters is the topic for records that can't be processed; by default
	// the group's name and "-dead-letters".
	DeadLetters string
	// AllowTombstones names the inputs whose nil values reach the callback.
	AllowTombstones []string
	// OnMisrouted is what happens to a record in the wrong partition.
	OnMisrouted Misrouted
	// Timers gives the rows of the table deadlines; nil for none. It turns Journal on.
	Timers *Timers
	// Index finds rows of the table in another order; nil for none.
	Index *Index
	// Journal writes down the order in which records and timers came, to the topic
	// [JournalTopic], which the engine makes; see package journal.
	Journal bool
	// IdleAfter is how long an input may give nothing, while it has nothing, until
	// stream time goes on without it; 1 s.
	IdleAfter time.Duration
	// MaxAhead is how far ahead of the time of day a record may be and still move
	// stream time; 5 min. Those beyond are counted.
	MaxAhead time.Duration
	// Untimed names inputs that have no part in stream time: their records neither
	// move it nor hold it back, whatever their timestamps are. They are for what
	// comes from outside, at any time and about any time. At least one input is timed.
	Untimed []string
	// Park lets a record that goes to the dead letters park its key: later records
	// of the key, of any input, wait behind it in the dead letters, in order, until
	// a retry takes them from there; see [ParkedKey]. A key that is parked stays so
	// when Park is turned off. It needs exactly once.
	Park bool
	// Effects are the outputs of the graph that never reach Kafka, each with the
	// function that gets what callbacks emit there. What a transaction emits is
	// handed over in one call per output, in the order of emission (the records of
	// a partition keep theirs; partitions mix), once the transaction is committed
	// on Kafka and its rows are on disk. It is handed over at most once: an abort, a
	// crash before the call, and a commit whose outcome is unknown drop it, and
	// nothing calls the function again for it. A row that says what was to be done
	// is how a program finds out that it was not; see docs/adr/0011.
	//
	// The function is called by the goroutine that runs the transactions: the next
	// one waits for it, and so does a rebalance. It should pass its work on and
	// return; its context ends after the transaction timeout, not when the worker
	// stops. The slice and the values are the function's own.
	Effects map[string]func(context.Context, []Effect)
	// AllowTransactionV1 admits brokers whose transaction.version is below 2,
	// where a late EndTxn can end a later transaction (KIP-890).
	AllowTransactionV1 bool

	// Advertise is the address under which this worker answers for its partitions,
	// told to the other members of the group: see [Engine.Peers]. It is at most 300
	// bytes; empty for none.
	Advertise string

	// DynamicMembership leaves the group at every stop. By default membership
	// is static: a worker that comes back in time keeps its partitions.
	DynamicMembership bool
	// LeaveOnStop gives a static membership up when Run ends without error.
	LeaveOnStop bool
	// SessionTimeout is when the group takes a silent worker for dead; 30 s.
	SessionTimeout time.Duration
	// TransactionTimeout is when the broker aborts a transaction; 15 s. It
	// bounds how long others wait for a worker that died in the middle.
	TransactionTimeout time.Duration

	// Logger gets what an operator should know; slog's default if nil.
	Logger *slog.Logger
	// Probe is for tests of faults; nil otherwise.
	Probe *Probe
}

// A Probe lets a test reach into the moments that a fault is aimed at. Its
// functions may be nil and are called from the engine's own goroutine.
type Probe struct {
	// Client is called with every new client of the group.
	Client func(*kgo.Client)
	// Committing is called before the transaction is asked to commit.
	Committing func()
	// Committed is called between the commit on Kafka and the one on disk.
	Committed func()
}

const (
	maxInterval   = 10 * time.Second
	instanceBytes = 200
)

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Interval, 100*time.Millisecond)
	def(&c.SessionTimeout, 30*time.Second)
	def(&c.TransactionTimeout, 15*time.Second)
	def(&c.IdleAfter, time.Second)
	def(&c.MaxAhead, 5*time.Minute)
	if c.Timers != nil {
		timers := *c.Timers
		def(&timers.Grace, time.Second)
		c.Timers, c.Journal = &timers, true
	}
	if c.MaxRecords == 0 {
		c.MaxRecords = 50_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	if c.FetchBytes == 0 {
		c.FetchBytes = 256 << 10
	}
	if c.DeadLetters == "" {
		c.DeadLetters = c.Group + "-dead-letters"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Probe == nil {
		c.Probe = &Probe{}
	}
	return c
}

// Validate names every setting that is out of its bounds.
func (c Config) Validate() error {
	c = c.withDefaults()
	return errors.Join(
		need(len(c.Brokers) > 0, "brokers: need at least one"),
		need(c.Group != "", "group: is empty"),
		need(c.Instance != "", "instance: is empty"),
		need(len(c.Instance) <= instanceBytes, "instance: is longer than %d bytes", instanceBytes),
		need(c.State != nil, "state: is nil"),
		need(!c.Park || c.Guarantee == ExactlyOnce, "park: needs exactly-once: the order of what "+
			"waits would not survive a crash"),
		need(c.Interval >= time.Millisecond && c.Interval <= maxInterval,
			"interval: %v is not within 1ms and %v", c.Interval, maxInterval),
		need(c.MaxRecords > 0, "max-records: %d is not above 0", c.MaxRecords),
		need(c.MaxBytes > 0, "max-bytes: %d is not above 0", c.MaxBytes),
		need(c.FetchBytes > 0, "fetch-bytes: %d is not above 0", c.FetchBytes),
		need(c.TransactionTimeout >= 2*c.Interval,
			"transaction-timeout: %v is below twice the interval", c.TransactionTimeout),
		need(len(c.Advertise) <= maxAddress, "advertise: is longer than %d bytes", maxAddress),
		need(c.IdleAfter >= 10*time.Millisecond, "idle-after: %v is below 10ms", c.IdleAfter),
		need(c.MaxAhead > 0, "max-ahead: %v is not above 0", c.MaxAhead),
		need(c.Timers == nil || c.Timers.Deadline != nil, "timers: no function for deadlines"),
		need(c.Timers == nil || c.Timers.Version <= maxTimersVersion,
			"timers: version is above %d", maxTimersVersion),
		need(c.Index == nil || c.Index.Entries != nil, "index: no function for entries"),
		need(c.Index == nil || c.Index.Version <= maxIndexVersion,
			"index: version is above %d", maxIndexVersion),
		need(c.SessionTimeout >= time.Second, "session-timeout: %v is below 1s", c.SessionTimeout),
	)
}

func need(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("engine: "+format, args...)
}
