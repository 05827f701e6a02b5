package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The names of headers in dead letters and retries begin so; those that the
// record itself had follow with a prefix of their own.
const (
	headerPrefix = "tally."
	originPrefix = "orig."
)

// A Letter is what a dead letter says of the record that it is about.
type Letter struct {
	// Topic, Partition, Offset and Timestamp are those of the record.
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	// Key, Value and Headers are the record's, as far as the letter has them.
	Key, Value []byte
	Headers    []kgo.RecordHeader
	// KeyBytes and ValueBytes are how long key and value were, and SHA256 is that
	// of the value. HeadersCut is how many headers are missing.
	KeyBytes, ValueBytes int
	SHA256               []byte
	HeadersCut           int
	// Group is the processor that refused it, Class and Reason say why.
	Group, Class, Reason string
	// ParkedBy is the record that parked its key, as topic/partition@offset, and
	// Sequence its place in the row of those that wait. ParkedBy is empty if the
	// key was not parked.
	ParkedBy string
	Sequence int64
	// Attempt is how often the record was tried, this time included; 0 if it only
	// waits behind another.
	Attempt int
	// Retry is the place in the retry topic that asked for this attempt, if any.
	Retry string
}

// Cut tells whether the letter does not have all of its record.
func (l *Letter) Cut() bool {
	return len(l.Key) < l.KeyBytes || len(l.Value) < l.ValueBytes || l.HeadersCut > 0
}

// Where is the record's place as topic/partition@offset.
func (l *Letter) Where() string {
	return spot{place{l.Topic, l.Partition}, l.Offset}.String()
}

// Origin is the record as it was, or, of a retry, as it is to be processed.
func (l *Letter) Origin() *kgo.Record {
	return &kgo.Record{
		Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Timestamp: l.Timestamp,
		Key: l.Key, Value: l.Value, Headers: l.Headers,
	}
}

// ReadLetter reads a record of the dead letters.
func ReadLetter(r *kgo.Record) (Letter, error) {
	h := headersOf(r)
	l := h.letter(r)
	l.Group, l.Class, l.Reason = h.text("group"), h.text("class"), h.text("reason")
	l.ValueBytes = int(h.number("value-bytes"))
	l.KeyBytes = len(r.Key)
	if h.has("key-bytes") {
		l.KeyBytes = int(h.number("key-bytes"))
	}
	if h.has("headers-cut") {
		l.HeadersCut = int(h.number("headers-cut"))
	}
	sum, err := hex.DecodeString(h.text("value-sha256"))
	if err != nil {
		h.errs = append(h.errs, err)
	}
	l.SHA256, l.Retry = sum, h.text("retry")
	if l.Group == "" {
		h.errs = append(h.errs, errors.New("header tally.group is missing"))
	}
	if err := errors.Join(h.errs...); err != nil {
		return l, fmt.Errorf("engine: not a dead letter: %w", err)
	}
	return l, nil
}

// A Retry asks a group to process a dead letter again, or to drop it.
type Retry struct {
	// Letter is the dead letter, with all of its record. Group is not needed:
	// the topic says it.
	Letter
	// At is the place of the dead letter, as topic/partition@offset.
	At string
	// Drop takes the letter out of the way unprocessed.
	Drop bool
	// Mended says that Value is not what the record had.
	Mended bool
	// Why is what the operator said about it.
	Why string
}

const (
	actionRetry = "retry"
	actionDrop  = "drop"
)

// Record is the record for [RetryTopic].
func (r *Retry) Record() *kgo.Record {
	out := &kgo.Record{Topic: RetryTopic(r.Group), Key: r.Key, Value: r.Value}
	add := func(key, value string) {
		out.Headers = append(out.Headers, kgo.RecordHeader{
			Key: headerPrefix + key, Value: []byte(value),
		})
	}
	action := actionRetry
	if r.Drop {
		action = actionDrop
		out.Value = nil
	}
	add("action", action)
	add("topic", r.Topic)
	add("partition", strconv.Itoa(int(r.Partition)))
	add("offset", strconv.FormatInt(r.Offset, 10))
	add("timestamp", strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
	add("attempt", strconv.Itoa(r.Attempt))
	add("letter", r.At)
	if r.ParkedBy != "" {
		add("sequence", strconv.FormatInt(r.Sequence, 10))
		add("parked-by", r.ParkedBy)
	}
	if r.Why != "" {
		add("reason", cut(r.Why, deadReasonBytes))
	}
	if r.Mended {
		add("mended", "true")
	}
	for _, h := range r.Headers {
		h.Key = originPrefix + h.Key
		out.Headers = append(out.Headers, h)
	}
	return out
}

// ReadRetry reads a record of the retry topic.
func ReadRetry(r *kgo.Record) (Retry, error) {
	h := headersOf(r)
	out := Retry{
		Letter: h.letter(r), At: h.text("letter"), Why: h.text("reason"),
		Mended: h.text("mended") == "true", Drop: h.text("action") == actionDrop,
	}
	if a := h.text("action"); a != actionRetry && a != actionDrop {
		h.errs = append(h.errs, fmt.Errorf("header tally.action is %q, neither %s nor %s", a,
			actionRetry, actionDrop))
	}
	if err := errors.Join(h.errs...); err != nil {
		return out, fmt.Errorf("engine: not a retry: %w", err)
	}
	return out, nil
}

// A headerReader reads the headers of dead letters and retries.
type headerReader struct {
	values map[string][]byte // without their prefix
	own    []kgo.RecordHeader
	errs   []error
}

func headersOf(r *kgo.Record) *headerReader {
	h := &headerReader{values: map[string][]byte{}}
	for _, header := range r.Headers {
		if name, ok := strings.CutPrefix(header.Key, headerPrefix); ok {
			h.values[name] = header.Value
		} else if name, ok := strings.CutPrefix(header.Key, originPrefix); ok {
			h.own = append(h.own, kgo.RecordHeader{Key: name, Value: header.Value})
		}
	}
	return h
}

// letter reads what dead letters and retries have in common.
func (h *headerReader) letter(r *kgo.Record) Letter {
	l := Letter{
		Topic: h.text("topic"), Partition: int32(h.number("partition")), Offset: h.number("offset"),
		Timestamp: time.UnixMilli(h.number("timestamp")),
		Key:       bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: h.own,
		ParkedBy: h.text("parked-by"),
	}
	if l.ParkedBy != "" {
		l.Sequence = h.number("sequence")
	}
	if h.has("attempt") {
		l.Attempt = int(h.number("attempt"))
	}
	return l
}

func (h *headerReader) has(name string) bool {
	_, ok := h.values[name]
	return ok
}

func (h *headerReader) text(name string) string { return string(h.values[name]) }

func (h *headerReader) number(name string) int64 {
	n, err := strconv.ParseInt(h.text(name), 10, 64)
	if err != nil {
		h.errs = append(h.errs, fmt.Errorf("header %s%s is %q, not a number", headerPrefix, name,
			h.text(name)))
	}
	return n
}
