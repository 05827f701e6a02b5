package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/state/fingerprint"
)

// Topics names what is audited. Corrections may be empty: then there are none.
type Topics struct {
	Orders, Payments, Corrections                          string
	Confirmations, Exceptions, Table, DeadLetters, Journal string
	// Group is the consumer group whose dead letters count.
	Group string
}

// inputs are the topics that the rules are applied to.
func (t Topics) inputs() []string {
	if t.Corrections == "" {
		return []string{t.Orders, t.Payments}
	}
	return []string{t.Orders, t.Payments, t.Corrections}
}

// An Origin is the place of an input record.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String returns the place as topic/partition@offset.
func (o Origin) String() string { return fmt.Sprintf("%s/%d@%d", o.Topic, o.Partition, o.Offset) }

// A DeadLetter is what is known of a record that was refused.
type DeadLetter struct {
	Class, Reason string
	Count         int
}

// DeadLetters are the records that one group refused, by their origin.
type DeadLetters map[Origin]*DeadLetter

// Add notes a record of the dead letters. One of another group is passed over.
func (d DeadLetters) Add(r *kgo.Record, group string) error {
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	if h["tally.group"] != group {
		return nil
	}
	partition, err := strconv.ParseInt(h["tally.partition"], 10, 32)
	offset, errOffset := strconv.ParseInt(h["tally.offset"], 10, 64)
	if err = errors.Join(err, errOffset); err != nil {
		return fmt.Errorf("audit: dead letter %s/%d@%d does not tell its origin: %w",
			r.Topic, r.Partition, r.Offset, err)
	}
	origin := Origin{h["tally.topic"], int32(partition), offset}
	if h["tally.retry"] != "" {
		return nil // it failed again; its first letter counts
	}
	if known := d[origin]; known != nil {
		known.Count++
		return nil
	}
	d[origin] = &DeadLetter{h["tally.class"], h["tally.reason"], 1}
	return nil
}

// own tells whether a class of dead letters is one that the audit can judge by
// itself. Of the others, such as a panic, it takes the engine's word.
func own(class string) bool {
	return class == "malformed" || class == "check" || class == "tombstone" || class == "no-key"
}

// A Shard is the part of the audit about the keys of one partition. It is fed
// with all records of these keys, each topic in its order, and then closed.
type Shard struct {
	topics  Topics
	rules   confirm.Rules
	letters DeadLetters
	keys    map[string]*history
	report  *Report
	// folded is the fingerprint of the rows in the table, replayed that of those by
	// the rules.
	folded, replayed fingerprint.Sum
}

// A history is all that is known of one key. Inputs are kept as the bytes that
// they came in, and decoded when the key is judged: that is a fraction of what
// all of them would take as messages.
type history struct {
	inputs                    []input
	confirmations, exceptions []output
	row                       []byte
	inFlight                  bool

	// Of inputs, once decoded: all in their order, those about the order, and those
	// about its payments, corrections with them.
	events, orders, payments []confirm.Event
}

// An input is a record that came in, or a deadline that came.
type input struct {
	kind   inputKind
	at     int64 // its timestamp, in microseconds
	stream int64 // the stream time, likewise
	value  string
}

type inputKind byte

const (
	inOrder inputKind = iota
	inPayment
	inCorrection
	inTimer
)

type output struct {
	offset int64
	value  []byte
}

// NewShard returns a shard of an audit by the rules that the workers have. The dead
// letters are those of all partitions; the shard only reads them. With RepeatSpeech
// among the rules, what was said may have been said again, as at-least-once
// delivery does after a crash.
func NewShard(topics Topics, letters DeadLetters, rules confirm.Rules) *Shard {
	return &Shard{
		topics: topics, letters: letters, rules: rules,
		keys: map[string]*history{}, report: NewReport(),
	}
}

func (s *Shard) key(key []byte) *history {
	h := s.keys[string(key)]
	if h == nil {
		h = &history{}
		s.keys[string(key)] = h
	}
	return h
}

// InFlight notes that a worker was at a key while the outputs were read. The key is
// left out.
func (s *Shard) InFlight(key []byte) { s.key(key).inFlight = true }

// Timer takes in a deadline that came, in the order of the journal.
func (s *Shard) Timer(key string, at, stream int64) {
	h := s.key([]byte(key))
	h.inputs = append(h.inputs, input{inTimer, at, stream, key})
}

// Input takes in a record that a callback finished, in the order of the journal;
// stream is the stream time then. Records that were refused go to Refused.
func (s *Shard) Input(r *kgo.Record, stream int64) {
	origin := Origin{r.Topic, r.Partition, r.Offset}
	if letter := s.letters[origin]; letter != nil {
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), origin.String(),
			"a record that was processed is in the dead letters: " + letter.Reason,
		})
	}
	s.take(r, stream)
}

func (s *Shard) take(r *kgo.Record, stream int64) {
	s.report.Records++
	kind := inPayment
	switch r.Topic {
	case s.topics.Orders:
		kind = inOrder
	case s.topics.Corrections:
		kind = inCorrection
	}
	if reason := s.fault(r); reason != "" {
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), Origin{r.Topic, r.Partition, r.Offset}.String(),
			"a bad record is not in the dead letters: " + reason,
		})
		s.report.Dispositions["invalid"]++
		return
	}
	h := s.key(r.Key)
	h.inputs = append(h.inputs, input{kind, r.Timestamp.UnixMicro(), stream, string(r.Value)})
}

// Retried takes in a record that was refused before and then processed after all.
func (s *Shard) Retried(r *kgo.Record, stream int64) {
	s.report.Records--
	s.report.Invalid--
	s.report.Dispositions["invalid"]--
	s.take(r, stream)
}

// Refused takes in a record that no callback finished.
func (s *Shard) Refused(r *kgo.Record) {
	origin := Origin{r.Topic, r.Partition, r.Offset}
	letter := s.letters[origin]
	reason := s.fault(r)
	s.report.Records++
	switch {
	case letter == nil:
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), origin.String(),
			"a record that was refused is not in the dead letters: " + reason,
		})
	case reason == "" && letter != nil && own(letter.Class):
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), origin.String(),
			"a good record is in the dead letters: " + letter.Reason,
		})
	case letter != nil && letter.Count > 1:
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), origin.String(),
			fmt.Sprintf("it is in the dead letters %d times", letter.Count),
		})
	}
	s.report.Invalid++
	s.report.Dispositions["invalid"]++
}

// unpack decodes the inputs of a key.
func (h *history) unpack() error {
	for _, in := range h.inputs {
		at := confirm.Clock{Recorded: in.at, Stream: in.stream}
		var e confirm.Event
		switch in.kind {
		case inTimer:
			e = confirm.Lapsed{OrderID: in.value, At: in.at}
		case inPayment:
			m, err := schemas.Payments.Unmarshal([]byte(in.value))
			if err != nil {
				return err
			}
			e = confirm.OfPayment(m, at)
			h.payments = append(h.payments, e)
		case inCorrection:
			m, err := schemas.Corrections.Unmarshal([]byte(in.value))
			if err != nil {
				return err
			}
			e = confirm.OfCorrection(m, at)
			h.payments = append(h.payments, e)
		case inOrder:
			m, err := schemas.Orders.Unmarshal([]byte(in.value))
			if err != nil {
				return err
			}
			e = confirm.OfOrder(m, at)
			h.orders = append(h.orders, e)
		}
		h.events = append(h.events, e)
	}
	return nil
}

// records is how many of the inputs were records.
func (h *history) records() int64 {
	n := int64(0)
	for _, in := range h.inputs {
		if in.kind != inTimer {
			n++
		}
	}
	return n
}

// fault says why a worker should have refused an input; it is empty for a good
// one.
func (s *Shard) fault(r *kgo.Record) string {
	var m any
	var err error
	switch {
	case r.Key == nil:
		return "it has no key"
	case r.Value == nil:
		return "it has no value"
	case r.Topic == s.topics.Orders:
		m, err = schemas.Orders.Unmarshal(r.Value)
	case r.Topic == s.topics.Corrections:
		m, err = schemas.Corrections.Unmarshal(r.Value)
	default:
		m, err = schemas.Payments.Unmarshal(r.Value)
	}
	if err == nil {
		err = schemas.CheckKey(string(r.Key), m)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Confirmation takes in a record of the confirmations.
func (s *Shard) Confirmation(r *kgo.Record) {
	h := s.key(r.Key)
	h.confirmations = append(h.confirmations, output{r.Offset, binary(schemas.Confirmations, r.Value)})
}

// Exception takes in a record of the exceptions.
func (s *Shard) Exception(r *kgo.Record) {
	h := s.key(r.Key)
	h.exceptions = append(h.exceptions, output{r.Offset, binary(schemas.Exceptions, r.Value)})
}

// binary returns a copy of value, in the binary form if it was said in JSON.
func binary[T proto.Message](c schemas.Codec[T], value []byte) []byte {
	if bytes.HasPrefix(value, []byte("{")) {
		if m, err := c.Unmarshal(value); err == nil {
			if b, err := c.Marshal(m); err == nil {
				return b
			}
		}
	}
	return bytes.Clone(value)
}

// Row takes in a record of the table's changelog.
func (s *Shard) Row(r *kgo.Record) {
	s.key(r.Key).row = bytes.Clone(r.Value)
}

// Close judges all keys and returns the report of the shard. The shard is empty
// then.
func (s *Shard) Close() *Report {
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		h := s.keys[key]
		if h.row != nil {
			s.folded.Add(key, h.row)
		}
		if h.inFlight {
			s.report.InFlight++
			s.report.Records -= h.records()
		} else {
			s.judge(key, h)
		}
		delete(s.keys, key)
	}
	return s.report
}

// Whole closes a shard that holds all keys there are, and balances its sums.
func (s *Shard) Whole() *Report {
	r := s.Close()
	r.balance()
	return r
}

// judge holds one key against the rules and against plain arithmetic.
func (s *Shard) judge(key string, h *history) {
	if err := h.unpack(); err != nil {
		s.differ(kindRow, key, "what came in cannot be read any more: %v", err)
		s.lost(h)
		return
	}
	want := s.compare(key, h)
	if want.row == nil && h.row == nil && !want.forgotten && len(h.payments) == 0 {
		s.report.Dispositions["passed over"] += h.records() // nothing that confirm has to do with
		return
	}
	if row := s.row(key, h, want); row != nil {
		s.account(key, h, row, want.forgotten)
	} else {
		s.lost(h)
	}
}

// row returns the row by which the records of a key are accounted for: that of the
// table, or, if it was cut down or deleted on the way, what it would be otherwise.
// It is nil if there is none; what differs is told by compare.
func (s *Shard) row(key string, h *history, want outcome) *confirm.Row {
	if want.forgotten || want.row != nil && want.row.Digest != nil {
		whole := s.rules
		whole.KeepSettled = 0
		return s.outcome(whole, h.events).row
	}
	if h.row == nil || len(h.inputs) == 0 {
		return nil
	}
	row, err := schemas.ConfirmRows.Unmarshal(h.row)
	if err != nil {
		s.differ(kindRow, key, "the row cannot be read: %v", err)
		return nil
	}
	return row
}

// lost counts the records of a key without a readable row.
func (s *Shard) lost(h *history) {
	s.report.Dispositions["lost"] += h.records()
}

func (s *Shard) differ(kind, key, format string, args ...any) {
	s.report.differ(Difference{Kind: kind, Key: key, Detail: fmt.Sprintf(format, args...)})
}
