package schemas

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// A RowCodec turns the rows of a table into bytes and back, by the generated code.
// It reads exactly what it writes: a row with a field that it does not know was
// written by a newer version, and to write it back would lose that field. It is a
// goka.Codec of T, and safe for concurrent use.
type RowCodec[T proto.Message] struct {
	kind  string
	fresh func() T
}

var errRow = errors.New("it is not as it was written")

// Encode returns the bytes of value, which must be a T.
func (c RowCodec[T]) Encode(value any) ([]byte, error) {
	row, ok := value.(T)
	if !ok || !row.ProtoReflect().IsValid() {
		return nil, fmt.Errorf("schemas: %T is not a %s", value, c.kind)
	}
	return c.Marshal(row)
}

// Decode returns the T that b holds. It keeps nothing of b.
func (c RowCodec[T]) Decode(b []byte) (any, error) {
	row, err := c.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	return row, nil
}

// Marshal returns the bytes of row, always the same for the same row.
func (c RowCodec[T]) Marshal(row T) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return b, nil
}

// Unmarshal returns the row that b holds. It keeps nothing of b.
func (c RowCodec[T]) Unmarshal(b []byte) (T, error) {
	row := c.fresh()
	err := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, row)
	if err == nil && proto.Size(row) != len(b) {
		err = errRow
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return row, nil
}

// JSON returns the JSON form of row in one line, with the field names of the
// .proto files.
func (c RowCodec[T]) JSON(row T) ([]byte, error) {
	b, err := compactJSON(row)
	if err != nil {
		return nil, fmt.Errorf("schemas: %s: %w", c.kind, err)
	}
	return b, nil
}
