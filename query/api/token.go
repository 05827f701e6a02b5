package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"tallystick/schemas"
)

// A token says which command an answer has to have taken in. It is opaque to those
// who carry it: a version, the partition and the offset of the command, and a hash
// of its topic and its order, so that one that belongs elsewhere is noticed.
//
// A cursor says where a list goes on: a version, and the entry of the index and the
// order that were the last ones.

const (
	tokenVersion  = 1
	cursorVersion = 1
	// maxToken bounds what is read, in characters.
	maxToken = 2000
)

var (
	errToken      = errors.New("the token is not one that was given out here")
	errOtherOrder = errors.New("the token is that of another order")
)

// encoding is text that needs no escaping in a URL.
func encoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// tokenOf returns the token of a command about an order.
func tokenOf(at Position, order string) string {
	b := binary.AppendUvarint([]byte{tokenVersion}, uint64(at.Partition))
	b = binary.AppendUvarint(b, uint64(at.Offset))
	b = binary.BigEndian.AppendUint64(b, schemas.RowHash(at.Topic, order))
	return encoding().EncodeToString(b)
}

// parseToken returns the offset in topic up to which the order has to be known.
func parseToken(text, topic, order string) (int64, error) {
	if len(text) > maxToken {
		return 0, errToken
	}
	b, err := encoding().DecodeString(text)
	if err != nil || len(b) < 11 || b[0] != tokenVersion {
		return 0, errToken
	}
	_, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return 0, errToken
	}
	b = b[1+n:]
	offset, n := binary.Uvarint(b)
	if n <= 0 || len(b[n:]) != 8 || offset > 1<<62 {
		return 0, errToken
	}
	if binary.BigEndian.Uint64(b[n:]) != schemas.RowHash(topic, order) {
		return 0, errOtherOrder
	}
	return int64(offset), nil
}

// cursorOf returns the cursor behind an entry.
func cursorOf(last Entry) string {
	b := binary.AppendUvarint([]byte{cursorVersion}, uint64(len(last.Entry)))
	return encoding().EncodeToString(append(append(b, last.Entry...), last.Order...))
}

// parseCursor returns the entry behind which a list goes on. It must begin with the
// prefix of the list.
func parseCursor(text string, prefix []byte) (Entry, error) {
	bad := errors.New("the cursor is not one that this list gave out")
	if len(text) > maxToken {
		return Entry{}, bad
	}
	b, err := encoding().DecodeString(text)
	if err != nil || len(b) < 2 || b[0] != cursorVersion {
		return Entry{}, bad
	}
	length, n := binary.Uvarint(b[1:])
	if b = b[1:]; n <= 0 || length > uint64(len(b)-n) {
		return Entry{}, bad
	}
	last := Entry{b[n : n+int(length)], string(b[n+int(length):])}
	if !bytes.HasPrefix(last.Entry, prefix) {
		return Entry{}, bad
	}
	return last, nil
}
