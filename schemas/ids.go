package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// idBytes is how much of the hash an event id keeps. 128 bits are enough for
// ids never to meet by chance.
const idBytes = 16

// EventID returns the id of the event of this kind about these parts: the same
// for the same arguments, wherever and whenever it is asked for, and another
// one for others. Receivers drop repeats by it.
func EventID(kind string, parts ...string) string {
	var room [512]byte
	b := appendPart(room[:0], kind)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	sum := sha256.Sum256(b)
	var id [2 * idBytes]byte
	hex.Encode(id[:], sum[:idBytes])
	return string(id[:])
}

// appendPart puts the length before the part, so that "a", "bc" and "ab", "c"
// differ.
func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}
