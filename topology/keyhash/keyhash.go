// Package keyhash is the one answer to "which partition does this key belong
// to?": Kafka's murmur2, with the sign bit masked away.
//
// A join of two topics is only right if both put one key into partitions of the
// same number. Kafka's own clients and franz-go use murmur2 and mask the sign;
// Sarama and Goka use FNV-1a and negate a negative sum. Masking inside the hash
// makes the two ways of treating the sign agree, so that one function serves
// the producers, the tables and the questions about where a row lives.
//
// The package also knows the hashes that other clients use by default, so that
// a record found in the wrong partition can be blamed on a named one.
package keyhash

import "hash"

const (
	seed  uint32 = 0x9747b28c
	mixer uint32 = 0x5bd1e995
	shift        = 24

	positive uint32 = 0x7fffffff
)

// Sum returns Kafka's murmur2 of key without its sign bit. It keeps nothing of
// key and does not allocate.
func Sum(key []byte) uint32 {
	return murmur2(key) & positive
}

// Partition returns the partition of n that key belongs to, as Kafka's default
// partitioner chooses it. Without partitions there is no answer: for n below 1
// it returns -1.
func Partition(key []byte, n int32) int32 {
	if n < 1 {
		return -1
	}
	return int32(Sum(key) % uint32(n))
}

// New returns Sum as a streaming hash, in the form that Goka and Sarama take a
// hasher. Writes copy what they are given; keys of up to 64 bytes need no
// memory beside the value itself. Like every hash.Hash32 it belongs to one
// goroutine.
func New() hash.Hash32 {
	return new(keyHash)
}

// keyHash collects the key, because murmur2 begins with the key's length.
type keyHash struct {
	key   []byte
	small [64]byte
}

// Write adds p to the key. It never fails.
func (h *keyHash) Write(p []byte) (int, error) {
	if h.key == nil {
		h.key = h.small[:0]
	}
	h.key = append(h.key, p...)
	return len(p), nil
}

// Sum32 returns the masked murmur2 of what was written since the last Reset.
func (h *keyHash) Sum32() uint32 { return Sum(h.key) }

// Sum appends Sum32, big endian, to b.
func (h *keyHash) Sum(b []byte) []byte {
	s := h.Sum32()
	return append(b, byte(s>>24), byte(s>>16), byte(s>>8), byte(s))
}

// Reset forgets the key and keeps its memory.
func (h *keyHash) Reset() { h.key = h.key[:0] }

// Size is the length of Sum's answer.
func (h *keyHash) Size() int { return 4 }

// BlockSize is the number of bytes that murmur2 mixes at a time.
func (h *keyHash) BlockSize() int { return 4 }

// murmur2 is the hash of Kafka's org.apache.kafka.common.utils.Utils, with its
// fixed seed. The sign bit is still in it.
func murmur2(b []byte) uint32 {
	h := seed ^ uint32(len(b))
	for len(b) >= 4 {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= mixer
		k ^= k >> shift
		k *= mixer
		h *= mixer
		h ^= k
		b = b[4:]
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= mixer
	}
	h ^= h >> 13
	h *= mixer
	h ^= h >> 15
	return h
}
