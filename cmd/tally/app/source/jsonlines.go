package source

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas/tallyv1"
)

// maxLine bounds one line of a file of JSON lines, as the topics bound a record.
const maxLine = 1 << 20

// JSONLines reads the file at path, one event in its JSON form a line. Whether
// a line is an order or a payment, a command or a customer, is told by the name of
// its event. The first error ends the sequence.
func JSONLines(path string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(Record{}, fmt.Errorf("load: %w", err))
			return
		}
		defer file.Close()
		readLines(path, file, yield)
	}
}

func readLines(path string, in io.Reader, yield func(Record, error) bool) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		record, column, err := parseLine(line)
		if err != nil {
			yield(Record{}, at(path, number, column, err))
			return
		}
		record.Place = Place{path, number, 1}
		if !yield(record, nil) {
			return
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		yield(Record{}, at(path, number+1, 1, fmt.Errorf("the line is longer than %d bytes", maxLine)))
	} else if err != nil {
		yield(Record{}, fmt.Errorf("load: %s: %w", path, err))
	}
}

// parseLine reads one event. The column is where an error is.
func parseLine(line []byte) (Record, int, error) {
	kind, column, err := kindOf(line)
	if err != nil {
		return Record{}, column, err
	}
	envelope := kinds[kind].envelope.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(line, envelope); err != nil {
		return Record{}, columnOf(err), tidy(err)
	}
	return record(kind, envelope)
}

// record makes the record of an envelope.
func record(kind Kind, envelope proto.Message) (Record, int, error) {
	id := keyOf(envelope.ProtoReflect(), kinds[kind].key)
	if id == "" {
		return Record{}, 1, fmt.Errorf("the event has no %s, which is its key",
			strings.ReplaceAll(kinds[kind].key, "_", " "))
	}
	r := Record{Kind: kind, Key: []byte(id)}
	if e, ok := envelope.(interface{ GetMeta() *tallyv1.Meta }); ok && e.GetMeta().GetAt() != nil {
		r.At = e.GetMeta().GetAt().AsTime()
	}
	switch e := envelope.(type) {
	case *tallyv1.OrderEvent:
		r.Order = e
	case *tallyv1.PaymentEvent:
		r.Payment = e
	default:
		r.Message = e
	}
	return r, 0, nil
}

// keyOf is a field of whatever event the envelope holds.
func keyOf(envelope protoreflect.Message, name string) string {
	field := envelope.WhichOneof(envelope.Descriptor().Oneofs().Get(0))
	if field == nil {
		return ""
	}
	event := envelope.Get(field).Message()
	id := event.Descriptor().Fields().ByName(protoreflect.Name(name))
	if id == nil {
		return ""
	}
	return event.Get(id).String()
}

// kindOf tells the kind of an event by the names in it.
func kindOf(line []byte) (Kind, int, error) {
	var names map[string]json.RawMessage
	if err := json.Unmarshal(line, &names); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return 0, max(1, int(syntax.Offset)), err
		}
		return 0, 1, errors.New("the line is no JSON object")
	}
	for kind, k := range kinds {
		members := k.envelope.ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
		for i := range members.Len() {
			f := members.Get(i)
			if names[f.JSONName()] != nil || names[string(f.Name())] != nil {
				return Kind(kind), 0, nil
			}
		}
	}
	return 0, 1, errors.New(`the line names no event such as "orderPlaced" or "paymentReceived"`)
}

// columnOf finds the place that protojson puts into the text of its errors.
func columnOf(err error) int {
	if m := regexp.MustCompile(`\(line \d+:(\d+)\)`).FindStringSubmatch(err.Error()); m != nil {
		if column, err := strconv.Atoi(m[1]); err == nil {
			return column
		}
	}
	return 1
}

// tidy takes the parts out of a protojson error that the place says better, and
// the blank that it varies on purpose.
func tidy(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimPrefix(text, "proto: ")
	text = regexp.MustCompile(`^(syntax error )?\(line \d+:\d+\): `).ReplaceAllString(text, "")
	return errors.New(text)
}
