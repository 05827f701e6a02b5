package schemas

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The part of the Protobuf wire format that rows use: fields in the order of
// their numbers (all below 16, so that a tag is one byte), nothing for a zero
// value, varints as short as they can be.

var (
	errCut      = errors.New("it ends within a field")
	errNotOurs  = errors.New("a field is not as it was written")
	errEncoding = errors.New("a text is not valid UTF-8")
)

// A reader goes through the fields of one message. The texts that it returns
// share the memory of what it reads.
type reader struct {
	rest  string
	err   error
	field int
	wire  protowire.Type
	// last is the highest field number that must not come any more.
	last int
}

// next moves to the next field and tells whether there is one.
func (r *reader) next() bool {
	if r.err != nil || r.rest == "" {
		return false
	}
	tag := r.rest[0]
	r.rest = r.rest[1:]
	r.field, r.wire = int(tag>>3), protowire.Type(tag&7)
	if tag >= 0x80 {
		r.unknown()
		return false
	}
	if r.field <= r.last {
		r.fail(errNotOurs)
		return false
	}
	r.last = r.field
	return true
}

// repeat allows the field that was read to come again.
func (r *reader) repeat() { r.last = r.field - 1 }

// count tells how often, at least once, the current field comes in a row.
func (r *reader) count() int {
	ahead := *r
	n := 0
	for {
		ahead.text()
		n++
		tag := byte(r.field<<3) | byte(protowire.BytesType)
		if ahead.err != nil || ahead.rest == "" || ahead.rest[0] != tag {
			return n
		}
		ahead.rest = ahead.rest[1:]
	}
}

// fail keeps the first error.
func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *reader) unknown() {
	r.fail(fmt.Errorf("field %d is not known here: a newer version wrote it", r.field))
}

// varint reads a varint that is not 0.
func (r *reader) varint() uint64 {
	v := r.length()
	if v == 0 || r.wire != protowire.VarintType {
		r.fail(errNotOurs)
	}
	return v
}

// length reads a varint.
func (r *reader) length() uint64 {
	var v uint64
	for i := range min(len(r.rest), 10) {
		c := r.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c >= 0x80 {
			continue
		}
		if i > 0 && c == 0 || i == 9 && c > 1 {
			break
		}
		r.rest = r.rest[i+1:]
		return v
	}
	r.fail(errCut)
	return 0
}

func (r *reader) int() int64 { return int64(r.varint()) }

func (r *reader) bool() bool {
	if r.varint() != 1 {
		r.fail(errNotOurs)
	}
	return true
}

func (r *reader) enum(highest int) int32 {
	v := r.varint()
	if v > uint64(highest) {
		r.fail(fmt.Errorf("field %d has the value %d: a newer version wrote it", r.field, v))
		return 0
	}
	return int32(v)
}

// text reads the bytes of a text or of a nested message.
func (r *reader) text() string {
	if r.wire != protowire.BytesType {
		r.fail(errNotOurs)
		return ""
	}
	n := r.length()
	if r.err != nil {
		return ""
	}
	if n > uint64(len(r.rest)) {
		r.fail(errCut)
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// utf8 reads a text that is not empty.
func (r *reader) utf8() string {
	s := r.text()
	if s == "" {
		r.fail(errNotOurs)
	}
	if !utf8.ValidString(s) {
		r.fail(errEncoding)
	}
	return s
}

func appendHead(b []byte, field int, size int) []byte {
	b = append(b, byte(field<<3)|byte(protowire.BytesType))
	return protowire.AppendVarint(b, uint64(size))
}

func appendText(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendHead(b, field, len(s)), s...)
}

func appendInt(b []byte, field int, v int64) []byte {
	if v == 0 {
		return b
	}
	b = append(b, byte(field<<3)|byte(protowire.VarintType))
	return protowire.AppendVarint(b, uint64(v))
}

func appendBool(b []byte, field int, v bool) []byte {
	if !v {
		return b
	}
	return append(b, byte(field<<3)|byte(protowire.VarintType), 1)
}

func nestedSize(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n }

func textSize(s string) int {
	if s == "" {
		return 0
	}
	return nestedSize(len(s))
}

func intSize(v int64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

func boolSize(v bool) int {
	if v {
		return 2
	}
	return 0
}
