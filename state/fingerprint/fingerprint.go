// Package fingerprint tells whether two tables hold the same rows without putting
// them side by side. The fingerprint of a set of rows does not depend on their
// order and follows each change of a row by itself, so that a table can keep its
// own up to date, and a reader can make it again from the log.
//
// It finds what goes wrong by itself: a row that is lost, doubled, old, or of
// another partition. It is no protection against somebody who wants to deceive:
// the hash is not a cryptographic one, and rows can be made up that sum to any
// fingerprint.
package fingerprint

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// A Sum is the fingerprint of a set of rows: how many there are, and two sums,
// modulo 2^64, over a hash of each. The hashes are XXH64 with two seeds, 0 and 1, of
// the length of the row's key in four bytes, big endian, the key, and the value. The
// zero Sum is that of no rows; two are equal if == says so.
type Sum struct {
	sums [2]uint64
	rows int64
}

// Add puts a row into the set.
func (s *Sum) Add(key string, value []byte) {
	a, b := hashes(key, value)
	s.sums[0] += a
	s.sums[1] += b
	s.rows++
}

// Remove takes a row, which has to be there with this value, out of the set.
func (s *Sum) Remove(key string, value []byte) {
	a, b := hashes(key, value)
	s.sums[0] -= a
	s.sums[1] -= b
	s.rows--
}

// Merge puts the rows of another set, of other keys, into this one.
func (s *Sum) Merge(o Sum) {
	s.sums[0] += o.sums[0]
	s.sums[1] += o.sums[1]
	s.rows += o.rows
}

func hashes(key string, value []byte) (a, b uint64) {
	var small [256]byte
	row := binary.BigEndian.AppendUint32(small[:0], uint32(len(key)))
	if len(row)+len(key)+len(value) > len(small) {
		return seeded(0, row, key, value), seeded(1, row, key, value)
	}
	row = append(append(row, key...), value...) // faster in one piece, and takes no memory
	return xxhash.Sum64(row), seeded(1, row, "", nil)
}

func seeded(seed uint64, length []byte, key string, value []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.Write(length) // a hash takes all that it is given
	_, _ = d.WriteString(key)
	_, _ = d.Write(value)
	return d.Sum64()
}

// Rows returns how many rows there are.
func (s Sum) Rows() int64 { return s.rows }

// String returns the sums as 32 hexadecimal digits, without the number of rows.
func (s Sum) String() string { return fmt.Sprintf("%016x%016x", s.sums[0], s.sums[1]) }

// ErrFormat means that a text or bytes are no fingerprint.
var ErrFormat = errors.New("fingerprint: not a fingerprint")

// Parse is the inverse of [Sum.String], for a set of so many rows.
func Parse(text string, rows int64) (Sum, error) {
	var s Sum
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 16 || rows < 0 {
		return s, fmt.Errorf("%w: %q of %d rows", ErrFormat, text, rows)
	}
	s.sums[0], s.sums[1] = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	s.rows = rows
	return s, nil
}

// MarshalText returns what String does.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes is how long a fingerprint is as Append writes it.
const Bytes = 24

// Append appends the fingerprint to b: the sums and the number of rows, eight bytes
// each, big endian.
func (s Sum) Append(b []byte) []byte {
	for _, n := range []uint64{s.sums[0], s.sums[1], uint64(s.rows)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// Read is the inverse of Append.
func Read(b []byte) (Sum, error) {
	if len(b) != Bytes {
		return Sum{}, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return Sum{[2]uint64{n(0), n(1)}, int64(n(2))}, nil
}
