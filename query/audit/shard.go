package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/processors/confirm"
	"tallystick/schemas"
)

// Topics names what is audited.
type Topics struct {
	Orders, Payments, Confirmations, Exceptions, Table, DeadLetters string
	// Group is the consumer group whose dead letters count.
	Group string
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
}

// A history is all that is known of one key. Inputs are kept as the bytes that
// they came in, and decoded when the key is judged: that is a fraction of what
// all of them would take as messages.
type history struct {
	inputs                    []input
	confirmations, exceptions []output
	row                       []byte
	inFlight                  bool

	orders, payments []confirm.Event // of inputs, once decoded
}

type input struct {
	payment bool
	at      int64 // the record's timestamp, in milliseconds
	value   string
}

type output struct {
	offset int64
	value  []byte
}

// NewShard returns a shard of an audit. The dead letters are those of all
// partitions; the shard only reads them. With repeats, what was said may have
// been said again, as at-least-once delivery does after a crash.
func NewShard(topics Topics, letters DeadLetters, repeats bool) *Shard {
	return &Shard{
		topics: topics, letters: letters, rules: confirm.Rules{RepeatSpeech: repeats},
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

// Input takes in a record of one of the two inputs. A record in flight is one
// that a worker may or may not have finished when the outputs were read.
func (s *Shard) Input(r *kgo.Record, inFlight bool) {
	origin := Origin{r.Topic, r.Partition, r.Offset}
	letter := s.letters[origin]
	reason := s.fault(r)
	if inFlight {
		if reason == "" {
			s.key(r.Key).inFlight = true
		}
		return
	}
	s.report.Records++
	switch {
	case reason != "" && letter == nil:
		s.report.differ(Difference{
			kindDeadLetter, string(r.Key), origin.String(),
			"a bad record is not in the dead letters: " + reason,
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
	if letter != nil || reason != "" {
		s.report.Invalid++
		s.report.Dispositions["invalid"]++
		return
	}
	h := s.key(r.Key)
	h.inputs = append(h.inputs, input{
		r.Topic != s.topics.Orders, r.Timestamp.UnixMilli(), string(r.Value),
	})
}

// unpack decodes the inputs of a key.
func (h *history) unpack() error {
	for _, in := range h.inputs {
		clock := confirm.ClockOf(time.UnixMilli(in.at), time.Time{})
		if in.payment {
			m, err := schemas.Payments.Unmarshal([]byte(in.value))
			if err != nil {
				return err
			}
			h.payments = append(h.payments, confirm.OfPayment(m, clock))
			continue
		}
		m, err := schemas.Orders.Unmarshal([]byte(in.value))
		if err != nil {
			return err
		}
		h.orders = append(h.orders, confirm.OfOrder(m, clock))
	}
	return nil
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
		if h.inFlight {
			s.report.InFlight++
			s.report.Records -= int64(len(h.inputs))
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
	row, ok := s.row(key, h)
	if !ok {
		return
	}
	s.compare(key, h)
	s.account(key, h, row)
}

// row decodes the row of the table.
func (s *Shard) row(key string, h *history) (*confirm.Row, bool) {
	if len(h.inputs) == 0 {
		s.differ(kindRow, key, "nothing came in for it, and it has a row: %t, %d confirmations, "+
			"%d exceptions", h.row != nil, len(h.confirmations), len(h.exceptions))
		return nil, false
	}
	if h.row == nil {
		s.differ(kindRow, key, "the table has no row")
		s.lost(h)
		return nil, false
	}
	row, err := schemas.ConfirmRows.Unmarshal(h.row)
	if err != nil {
		s.differ(kindRow, key, "the row cannot be read: %v", err)
		s.lost(h)
		return nil, false
	}
	return row, true
}

// lost counts the records of a key without a readable row.
func (s *Shard) lost(h *history) {
	s.report.Dispositions["lost"] += int64(len(h.inputs))
}

func (s *Shard) differ(kind, key, format string, args ...any) {
	s.report.differ(Difference{Kind: kind, Key: key, Detail: fmt.Sprintf(format, args...)})
}
