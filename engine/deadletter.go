package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The classes of dead letters, as in their tally.class header.
const (
	classMalformed = "malformed" // its bytes can't be decoded
	classCheck     = "check"     // it was decoded and failed a check
	classPanic     = "panic"     // its callback panicked
	classTombstone = "tombstone" // its value is nil and the input doesn't allow that
	classNoKey     = "no-key"    // it has no key
	classMisrouted = "misrouted" // it is in the wrong partition
	classLarge     = "too-large" // its output is larger than the broker takes
	classParked    = "parked"    // its key is parked
	classRetry     = "retry"     // it asks for a retry that can't be done
)

// What a dead letter keeps is bounded, so that the dead letters' topic takes it
// with the limit that Kafka gives a topic, 1 MiB.
const (
	deadKeyBytes    = 16 << 10 // of the key that a dead letter keeps
	deadValueBytes  = 64 << 10 // of the value
	deadReasonBytes = 1 << 10
	deadHeaders     = 100     // of the original headers that a dead letter keeps
	deadHeaderBytes = 8 << 10 // of each of them
)

// A spot is one record's place in the log.
type spot struct {
	place
	offset int64
}

// A verdict says why a record can't be processed.
type verdict struct{ class, reason string }

// A note is a header of a dead letter, without the prefix.
type note struct{ name, value string }

// quarantine holds the records that made a transaction fail, until the
// transaction that carries them to the dead letters is committed.
type quarantine struct {
	n    atomic.Int64 // in held
	mu   sync.Mutex
	held map[spot]verdict
}

func (q *quarantine) add(s spot, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held == nil {
		q.held = map[spot]verdict{}
	}
	q.held[s] = v
	q.n.Store(int64(len(q.held)))
}

func (q *quarantine) find(s spot) (verdict, bool) {
	if q.n.Load() == 0 {
		return verdict{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	v, ok := q.held[s]
	return v, ok
}

func (q *quarantine) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.held)
}

func (q *quarantine) drop(spots []spot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range spots {
		delete(q.held, s)
	}
	q.n.Store(int64(len(q.held)))
}

// bury puts r into the dead letters, within the open transaction, undelivered.
func (ep *epoch) bury(r *kgo.Record, v verdict, notes ...note) {
	if s := ep.e.session.Load(); s != nil {
		s.journal.bury(s.clocks[r.Partition], spot{place{r.Topic, r.Partition}, r.Offset}, false)
	}
	ep.write(r, v, notes...)
}

// refuse tells the journal that a record was delivered and not processed.
func (ep *epoch) refuse(at spot) {
	if s := ep.e.session.Load(); s != nil {
		s.journal.bury(s.clocks[at.partition], at, true)
	}
}

// write puts a dead letter about r into the open transaction.
func (ep *epoch) write(r *kgo.Record, v verdict, notes ...note) {
	ep.buried.Add(1)
	say := ep.e.log.Warn
	if v.class == classParked {
		say = ep.e.log.Debug // what parked the key was said
	}
	say("record goes to the dead letters", "topic", r.Topic,
		"partition", r.Partition, "offset", r.Offset, "key", printable(r.Key), "class", v.class,
		"reason", v.reason)
	ep.produce(deadLetter(ep.e.cfg.DeadLetters, ep.e.cfg.Group, r, v, notes...), ep.wroteDead)
}

// wroteDead is the promise of a dead letter. There is nowhere else to go for one
// that the topic doesn't take.
func (ep *epoch) wroteDead(r *kgo.Record, err error) {
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) {
		err = fmt.Errorf("%w: it refuses a dead letter (hint: it needs max.message.bytes of 1 MiB, "+
			"and cleanup.policy=delete): %w", ErrTopic, err)
	}
	ep.wrote(r, err)
}

// deadLetter is r as the dead letters keep it: key and value as they were, but
// for their length, and what is known of it in headers. Its own headers follow
// with a prefix.
func deadLetter(topic, group string, r *kgo.Record, v verdict, notes ...note) *kgo.Record {
	sum := sha256.Sum256(r.Value)
	value := r.Value
	if len(value) > deadValueBytes {
		value = value[:deadValueBytes]
	}
	d := &kgo.Record{Topic: topic, Key: r.Key, Value: value, Timestamp: r.Timestamp}
	add := func(key, value string) {
		d.Headers = append(d.Headers, kgo.RecordHeader{Key: headerPrefix + key, Value: []byte(value)})
	}
	add("topic", r.Topic)
	add("partition", strconv.Itoa(int(r.Partition)))
	add("offset", strconv.FormatInt(r.Offset, 10))
	add("timestamp", strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
	add("group", group)
	add("class", v.class)
	add("reason", cut(v.reason, deadReasonBytes))
	for _, n := range notes {
		add(n.name, n.value)
	}
	if len(r.Key) > deadKeyBytes {
		d.Key = r.Key[:deadKeyBytes]
		add("key-bytes", strconv.Itoa(len(r.Key)))
	}
	add("value-bytes", strconv.Itoa(len(r.Value)))
	add("value-sha256", hex.EncodeToString(sum[:]))
	for i, h := range r.Headers {
		if i == deadHeaders {
			add("headers-cut", strconv.Itoa(len(r.Headers)-deadHeaders))
			break
		}
		h.Key = originPrefix + cut(h.Key, deadReasonBytes)
		h.Value = h.Value[:min(len(h.Value), deadHeaderBytes)]
		d.Headers = append(d.Headers, h)
	}
	return d
}

// cut shortens s to n bytes of valid UTF-8.
func cut(s string, n int) string {
	for len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// printable is a key as a log line can hold it.
func printable(key []byte) string { return strconv.QuoteToASCII(cut(string(key), 200)) }
