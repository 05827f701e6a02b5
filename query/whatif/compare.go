package whatif

import (
	"bytes"
	"hash/maphash"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
)

// An Output is one of the topics that are compared.
type Output int

// The outputs.
const (
	Confirmations Output = iota
	Exceptions
)

// A comparison holds what a replay says against what came out. What is on both
// sides is forgotten at once, in whatever order it comes; what is kept is what one
// of them has and the other has not, so far.
type comparison struct {
	seeds [2]maphash.Seed
	open  map[digest]*lonely
	// ahead is how much more was said than came out.
	ahead [2]int64
	// once has what each side has told already, where repeats don't count.
	once map[digest]side
}

// A digest stands for a topic, a key and a value.
type digest [2]uint64

type side byte

const (
	didCome side = 1 << iota
	wasSaid
)

// lonely is what one side has more often than the other.
type lonely struct {
	output Output
	key    string
	value  []byte
	// offset of the last record that came out, -1 if there was none
	offset    int64
	partition int32
	// surplus is how often it came out more than it was said; below 0 less.
	surplus int
	// found is how often it came out at all, of what came out too often.
	found int
	// lapsed says that only deadlines said it.
	lapsed bool
}

func newComparison(repeats bool) comparison {
	c := comparison{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, open: map[digest]*lonely{},
	}
	if repeats {
		c.once = map[digest]side{}
	}
	return c
}

func (c *comparison) digest(o Output, key string, value []byte) digest {
	var d digest
	for i, seed := range c.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_ = h.WriteByte(byte(o))
		_ = h.WriteByte(byte(len(key)))
		_, _ = h.WriteString(key)
		_, _ = h.Write(value)
		d[i] = h.Sum64()
	}
	return d
}

// repeated tells whether a side has told that already, where repeats don't count.
func (c *comparison) repeated(d digest, s side) bool {
	if c.once == nil {
		return false
	}
	known := c.once[d]&s != 0
	c.once[d] |= s
	return known
}

// said takes in what the replay says, because of a deadline or not, and tells whether
// that counts. It keeps value.
func (c *comparison) said(o Output, key string, value []byte, lapsed bool) bool {
	c.ahead[o]++
	d := c.digest(o, key, value)
	if c.repeated(d, wasSaid) {
		return false
	}
	l := c.open[d]
	if l == nil {
		c.open[d] = &lonely{
			output: o, key: key, value: value, offset: -1, surplus: -1, lapsed: lapsed,
		}
		return true
	}
	l.lapsed = l.lapsed && lapsed
	c.count(d, l, -1)
	return true
}

// came takes in what came out.
func (c *comparison) came(o Output, r *kgo.Record) {
	c.ahead[o]--
	key, value := string(r.Key), binary(o, r.Value)
	d := c.digest(o, key, value)
	if c.repeated(d, didCome) {
		return
	}
	l := c.open[d]
	if l == nil {
		// The record is a part of all that was fetched with it.
		l = &lonely{output: o, key: key, value: bytes.Clone(value)}
		l.offset, l.partition, l.surplus = r.Offset, r.Partition, 1
		c.open[d] = l
		return
	}
	l.offset, l.partition = r.Offset, r.Partition
	c.count(d, l, 1)
}

func (c *comparison) count(d digest, l *lonely, n int) {
	if l.surplus += n; l.surplus == 0 {
		delete(c.open, d)
	}
}

// missing tells whether something came out that was not said.
func (c *comparison) missing() bool {
	for _, l := range c.open {
		if l.surplus > 0 {
			return true
		}
	}
	return false
}

// again takes in what came out once more, when all has come.
func (c *comparison) again(o Output, r *kgo.Record) {
	if l := c.open[c.digest(o, string(r.Key), binary(o, r.Value))]; l != nil {
		l.found++
	}
}

// left returns what only one side has, without the keys that are left out.
func (c *comparison) left(out func(key string) bool) []*lonely {
	var list []*lonely
	for _, l := range c.open {
		if !out(l.key) {
			list = append(list, l)
		}
	}
	return list
}

// binary returns the binary form of a value, which may be in JSON.
func binary(o Output, value []byte) []byte {
	switch {
	case !bytes.HasPrefix(value, []byte("{")):
		return value
	case o == Confirmations:
		return reencoded(schemas.Confirmations, value)
	}
	return reencoded(schemas.Exceptions, value)
}

func reencoded[T proto.Message](c schemas.Codec[T], value []byte) []byte {
	m, err := c.Unmarshal(value)
	if err != nil {
		return value
	}
	b, err := c.Marshal(m)
	if err != nil {
		return value
	}
	return b
}
