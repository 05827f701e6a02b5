package keyhash_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology/keyhash"
)

// TestVectors holds the hash to the values of Kafka's own UtilsTest, which are
// signed there.
func TestVectors(t *testing.T) {
	for _, tc := range []struct {
		key  string
		want int32
	}{
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	} {
		want := uint32(tc.want) & 0x7fffffff
		if got := keyhash.Sum([]byte(tc.key)); got != want {
			t.Errorf("Sum(%q) = %d, want %d", tc.key, got, want)
		}
	}
}

// keys returns 100,000 random keys of 0 to 40 bytes, and the same ones every
// time.
func keys() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, 100_000)
	for i := range keys {
		key := make([]byte, r.IntN(41))
		for j := range key {
			key[j] = byte(r.Uint32())
		}
		keys[i] = key
	}
	return keys
}

// counts are the numbers of partitions to compare over: small, even, odd,
// prime and as large as a topic gets.
var counts = []int32{1, 2, 3, 4, 7, 12, 16, 50, 97, 1000, 32768}

// TestEqualsFranzGo compares with the partitioner that franz-go calls Kafka's.
func TestEqualsFranzGo(t *testing.T) {
	franz := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for i, key := range keys() {
		n := counts[i%len(counts)]
		want := int32(franz.Partition(&kgo.Record{Key: key}, int(n)))
		if got := keyhash.Partition(key, n); got != want {
			t.Fatalf("Partition(%x, %d) = %d, franz-go says %d", key, n, got, want)
		}
	}
}

// TestEqualsKafkaHasher gives our sum to franz-go's arithmetic: the masked bit
// makes no difference there.
func TestEqualsKafkaHasher(t *testing.T) {
	hasher := kgo.KafkaHasher(keyhash.Sum)
	for i, key := range keys() {
		n := counts[i%len(counts)]
		if got, want := keyhash.Partition(key, n), int32(hasher(key, int(n))); got != want {
			t.Fatalf("Partition(%x, %d) = %d, KafkaHasher says %d", key, n, got, want)
		}
	}
}

// TestEqualsSarama gives our hash to Sarama's partitioner, which negates.
func TestEqualsSarama(t *testing.T) {
	partitioner := sarama.NewCustomHashPartitioner(keyhash.New)("t")
	for i, key := range keys() {
		n := counts[i%len(counts)]
		want, err := partitioner.Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}, n)
		if err != nil {
			t.Fatal(err)
		}
		if got := keyhash.Partition(key, n); got != want {
			t.Fatalf("Partition(%x, %d) = %d, Sarama says %d", key, n, got, want)
		}
	}
}

// TestEqualsGoka repeats the arithmetic by which a Goka processor or view finds
// the partition of a key, which nothing of Goka exports.
func TestEqualsGoka(t *testing.T) {
	for i, key := range keys() {
		n := counts[i%len(counts)]
		hasher := keyhash.New()
		if _, err := hasher.Write(key); err != nil {
			t.Fatal(err)
		}
		want := int32(hasher.Sum32())
		if want < 0 {
			want = -want
		}
		want %= n
		if got := keyhash.Partition(key, n); got != want {
			t.Fatalf("Partition(%x, %d) = %d, Goka says %d", key, n, got, want)
		}
	}
}

// TestHash32 holds the streaming form to the plain one, however the key is cut.
func TestHash32(t *testing.T) {
	h := keyhash.New()
	for i, key := range keys() {
		h.Reset()
		cut := i % (len(key) + 1)
		for _, part := range [][]byte{key[:cut], key[cut:]} {
			if n, err := h.Write(part); n != len(part) || err != nil {
				t.Fatalf("Write(%x) = %d, %v", part, n, err)
			}
		}
		want := keyhash.Sum(key)
		if got := h.Sum32(); got != want {
			t.Fatalf("Sum32 of %x = %d, want %d", key, got, want)
		}
		sum := h.Sum([]byte{'x'})
		if sum[0] != 'x' || len(sum) != 1+h.Size() || binary.BigEndian.Uint32(sum[1:]) != want {
			t.Fatalf("Sum of %x = %x, want 78%08x", key, sum, want)
		}
	}
	if h.BlockSize() != 4 {
		t.Errorf("BlockSize = %d, want 4", h.BlockSize())
	}
	long := make([]byte, 1000)
	h.Reset()
	h.Write(long)
	if got, want := h.Sum32(), keyhash.Sum(long); got != want {
		t.Errorf("Sum32 of a long key = %d, want %d", got, want)
	}
}

// TestNoPartitions pins the answer to a question without one.
func TestNoPartitions(t *testing.T) {
	for _, n := range []int32{0, -1} {
		if got := keyhash.Partition([]byte("k"), n); got != -1 {
			t.Errorf("Partition of %d = %d, want -1", n, got)
		}
		for _, h := range keyhash.Known() {
			if got := h.Partition([]byte("k"), n); got != -1 {
				t.Errorf("%s: Partition of %d = %d, want -1", h.Name, n, got)
			}
		}
	}
}

// TestKnown compares the hashes of other clients with independent code for
// them.
func TestKnown(t *testing.T) {
	fnv32a := func(key []byte) uint32 {
		h := fnv.New32a()
		h.Write(key)
		return h.Sum32()
	}
	known := keyhash.Known()
	reference := sarama.NewReferenceHashPartitioner("t")
	crc := sarama.NewConsistentCRCHashPartitioner("t")
	goka := kgo.SaramaCompatHasher(fnv32a)
	librdkafka := kgo.SaramaHasher(crc32.ChecksumIEEE)
	for i, key := range keys() {
		n := counts[i%len(counts)]
		message := &sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}
		masked, err := reference.Partition(message, n)
		if err != nil {
			t.Fatal(err)
		}
		unsigned, err := crc.Partition(message, n)
		if err != nil {
			t.Fatal(err)
		}
		for j, want := range map[int]int32{
			2: int32(goka(key, int(n))), 3: masked, 4: unsigned,
		} {
			if got := known[j].Partition(key, n); got != want {
				t.Fatalf("%s: Partition(%x, %d) = %d, want %d", known[j].Name, key, n, got, want)
			}
		}
		if got, want := unsigned, int32(librdkafka(key, int(n))); got != want {
			t.Fatalf("Sarama and franz-go differ on CRC32 of %x: %d and %d", key, got, want)
		}
	}
}

// TestNegatedMurmur2 shows why the mask matters: "21" has the sign bit, and
// negating gives it another partition than masking does.
func TestNegatedMurmur2(t *testing.T) {
	key := []byte("21")
	if got, want := keyhash.Known()[1].Partition(key, 12), int32(973932308%12); got != want {
		t.Errorf("negated partition of 21 = %d, want %d", got, want)
	}
	if got, want := keyhash.Partition(key, 12), int32((1<<31-973932308)%12); got != want {
		t.Errorf("partition of 21 = %d, want %d", got, want)
	}
}

// TestFits puts keys where each known hash would and expects its name alone:
// twenty keys rule out chance.
func TestFits(t *testing.T) {
	const n = 12
	for _, h := range keyhash.Known() {
		var there [][]byte
		for i := 0; len(there) < 20; i++ {
			key := fmt.Appendf(nil, "order-%d", i)
			if h.Partition(key, n) == 5 {
				there = append(there, key)
			}
		}
		if got := keyhash.Fits(there, 5, n); !slices.Equal(got, []string{h.Name}) {
			t.Errorf("Fits = %q, want only %q", got, h.Name)
		}
		if got := keyhash.Fits(there, 6, n); got != nil {
			t.Errorf("Fits another partition = %q, want none", got)
		}
	}
	if got := keyhash.Fits(nil, 0, n); got != nil {
		t.Errorf("Fits without keys = %q, want none", got)
	}
}

// TestNoAllocations: the engine asks for the partition of every record.
func TestNoAllocations(t *testing.T) {
	key := []byte("order-12345")
	if got := testing.AllocsPerRun(100, func() { keyhash.Partition(key, 12) }); got != 0 {
		t.Errorf("Partition allocates %v times, want 0", got)
	}
	h := keyhash.New()
	if got := testing.AllocsPerRun(100, func() { h.Reset(); h.Write(key); h.Sum32() }); got != 0 {
		t.Errorf("a used hash allocates %v times, want 0", got)
	}
}

func BenchmarkPartition(b *testing.B) {
	key := []byte("order-0000012345")
	b.ReportAllocs()
	for b.Loop() {
		keyhash.Partition(key, 12)
	}
}

// Three records were found in partition 5 of 12 by keys that belong elsewhere.
func Example() {
	found := [][]byte{[]byte("order-11"), []byte("order-24"), []byte("order-39")}
	for _, key := range found {
		fmt.Printf("%s belongs to %d\n", key, keyhash.Partition(key, 12))
	}
	fmt.Println(keyhash.Fits(found, 5, 12))
	// Output:
	// order-11 belongs to 6
	// order-24 belongs to 6
	// order-39 belongs to 3
	// [CRC32 (librdkafka's consistent and consistent_random)]
}
