// Package journal is the format of the topic in which an engine writes down what
// it did in which order.
//
// Two inputs of a partition are merged while they are read, so that the order in
// which a callback saw their records is not in either of their logs; nor is the
// moment at which a timer came. Where that order matters, it is the journal that
// says what a replay has to repeat: for each transaction and partition there is a
// segment (several, if it is long), written in the transaction itself, to the
// partition of the same number.
//
// A segment is a JSON object, so that it can be read with any tool.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Segment is what was done in one partition, in its order: first the records of
// the runs were delivered, then the timers of fired.
type Segment struct {
	// Clock is the state of the partition's clock before the segment. Segments
	// that continue another one of their transaction have none: they begin where
	// that one ended.
	Clock *Clock `json:"clock,omitempty"`
	// Topics names the inputs that runs and skipped speak of by their index.
	Topics []string `json:"topics,omitempty"`
	// Runs are triples: the index of a topic and the offsets of a first and a last
	// record. These and what lies between them were delivered in a row, but for the
	// records that are skipped.
	Runs []int64 `json:"runs,omitempty"`
	// Skipped are pairs: the index of a topic and the offset of a record that was
	// not delivered. Refused are pairs too: records that were, and moved the clock,
	// but that no callback finished. Both are in the dead letters. They can be
	// named in a later segment of the transaction than their run.
	Skipped []int64 `json:"skipped,omitempty"`
	Refused []int64 `json:"refused,omitempty"`
	// Fired are the timers that were delivered.
	Fired []Firing `json:"fired,omitempty"`
	// Table is what the partition of the group's table holds after the transaction.
	// The last segment of each transaction has it, if the group has a table; those
	// of versions before fingerprints have none.
	Table *Table `json:"table,omitempty"`
}

// A Table is the fingerprint of a table partition: what package
// tallystick/state/fingerprint makes of its rows, and how many there are.
type Table struct {
	Fingerprint string `json:"fingerprint"`
	Rows        int64  `json:"rows"`
}

// A Clock is the stream time of a partition and what it follows from. Times are
// in microseconds since 1970; what is not known is absent.
type Clock struct {
	Stream *int64 `json:"stream,omitempty"`
	// Ahead is the limit of the far future: records beyond it don't move the clock.
	Ahead  *int64          `json:"ahead,omitempty"`
	Inputs map[string]Hand `json:"inputs"`
}

// A Hand is what a clock knows of one input.
type Hand struct {
	High *int64 `json:"high,omitempty"`
	Idle bool   `json:"idle,omitempty"`
}

// A Firing is one timer.
type Firing struct {
	// Key is the row's, as text; Raw is the same if it is no valid UTF-8.
	Key string `json:"key,omitempty"`
	Raw []byte `json:"key_base64,omitempty"`
	// At is the row's deadline.
	At int64 `json:"at"`
	// Clock says which clock had come past it, stream or wall, and Now how far.
	Clock string `json:"clock"`
	Now   int64  `json:"now"`
}

// NewFiring returns the firing of the row at key.
func NewFiring(key []byte, at int64, clock string, now int64) Firing {
	f := Firing{At: at, Clock: clock, Now: now}
	if utf8.Valid(key) {
		f.Key = string(key)
	} else {
		f.Raw = append([]byte{}, key...)
	}
	return f
}

// RowKey returns the key of the row.
func (f Firing) RowKey() string {
	if f.Raw != nil {
		return string(f.Raw)
	}
	return f.Key
}

// ErrFormat means that a record is no segment.
var ErrFormat = errors.New("journal: not a segment")

// Marshal returns the segment as the topic holds it.
func (s *Segment) Marshal() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return b, nil
}

// Parse reads a segment, and checks that its numbers fit together.
func Parse(b []byte) (*Segment, error) {
	s := new(Segment)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(s.Runs)%3 != 0 || len(s.Skipped)%2 != 0 || len(s.Refused)%2 != 0 {
		return nil, fmt.Errorf("%w: runs, skipped or refused are cut off", ErrFormat)
	}
	known := func(i int64) bool { return i >= 0 && i < int64(len(s.Topics)) }
	for i := 0; i < len(s.Runs); i += 3 {
		if !known(s.Runs[i]) || s.Runs[i+1] < 0 || s.Runs[i+2] < s.Runs[i+1] {
			return nil, fmt.Errorf("%w: run %d is of no topic, or of no records", ErrFormat, i/3)
		}
	}
	for _, pairs := range [][]int64{s.Skipped, s.Refused} {
		for i := 0; i < len(pairs); i += 2 {
			if !known(pairs[i]) || pairs[i+1] < 0 {
				return nil, fmt.Errorf("%w: a record of no topic is skipped or refused", ErrFormat)
			}
		}
	}
	return s, nil
}
