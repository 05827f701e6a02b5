package keyhash

import (
	"hash/crc32"
	"slices"
)

// A Hash is a way to choose a partition for a key that clients of Kafka have.
type Hash struct {
	// Name tells a person which clients choose so, for error messages.
	Name string

	place func(key []byte, n int32) int32
}

// Partition returns the partition of n that this hash puts key into, or -1 if
// n is below 1.
func (h Hash) Partition(key []byte, n int32) int32 {
	if n < 1 {
		return -1
	}
	return h.place(key, n)
}

// Known returns the hashes of the usual clients. The first is the one that
// this project uses, the others are those that it refuses to join with.
func Known() []Hash {
	return []Hash{
		{"murmur2 (Kafka's own clients, franz-go)", Partition},
		{"murmur2 with a negated sign (Sarama with a murmur2 hasher)", negated(murmur2)},
		{"FNV-1a (Sarama, Goka, librdkafka's fnv1a)", negated(fnv1a)},
		{"FNV-1a with a masked sign (Sarama's reference partitioner)", masked(fnv1a)},
		{"CRC32 (librdkafka's consistent and consistent_random)", unsigned(crc32.ChecksumIEEE)},
	}
}

// Fits returns the names of the known hashes that put every one of keys into
// partition of n. One key fits a wrong hash by chance once in n, so that a
// verdict needs several keys: give all that are at hand. Without keys nothing
// can be said and the answer is empty.
func Fits(keys [][]byte, partition, n int32) []string {
	if len(keys) == 0 {
		return nil
	}
	var names []string
	for _, h := range Known() {
		elsewhere := func(key []byte) bool { return h.Partition(key, n) != partition }
		if !slices.ContainsFunc(keys, elsewhere) {
			names = append(names, h.Name)
		}
	}
	return names
}

func negated(sum func([]byte) uint32) func([]byte, int32) int32 {
	return func(key []byte, n int32) int32 {
		p := int32(sum(key)) % n
		if p < 0 {
			return -p
		}
		return p
	}
}

func masked(sum func([]byte) uint32) func([]byte, int32) int32 {
	return func(key []byte, n int32) int32 { return int32(sum(key)&positive) % n }
}

func unsigned(sum func([]byte) uint32) func([]byte, int32) int32 {
	return func(key []byte, n int32) int32 { return int32(sum(key) % uint32(n)) }
}

// fnv1a is hash/fnv's New32a without the value that carries it.
func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h ^= uint32(c)
		h *= 16777619
	}
	return h
}
