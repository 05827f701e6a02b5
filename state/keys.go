package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tallystick/state/fingerprint"
)

// The spaces of a range; doc.go has the layout.
const (
	spaceFormat = 'f' // catalogue only
	spaceTable  = 't' // catalogue only
	spaceCount  = 'c'
	spaceMark   = 'm'
	spaceRow    = 'r'
	spaceDue    = 'd'
	spaceIndex  = 'i'
)

const (
	catalogue  = 0 // the number of the catalogue's range
	formatNow  = 2 // the format of the database that this code writes
	rowPrefix  = 5 // bytes before a row's key: range number and space
	markBytes  = 24
	noOffset   = -1
	maxNameLen = 1 << 10 // longest name in an identity
)

var errEncoding = errors.New("not in the expected form")

// An Identity says whose rows a range holds. A range is used only by the
// table partition that has exactly its identity.
type Identity struct {
	// Cluster is the id of the Kafka cluster.
	Cluster string
	// Topic is the name of the changelog topic, TopicID its id; a topic that
	// was deleted and created again has another id.
	Topic   string
	TopicID [16]byte
	// Partition is the partition of the changelog.
	Partition int32
	// Group is the consumer group whose table it is.
	Group string
	// Format is the version of the row encoding, chosen by the caller.
	Format uint16
}

// String returns topic/partition.
func (id Identity) String() string { return fmt.Sprintf("%s/%d", id.Topic, id.Partition) }

func (id Identity) validate() error {
	switch {
	case id.Topic == "":
		return errors.New("the topic has no name")
	case id.Partition < 0:
		return fmt.Errorf("partition %d is negative", id.Partition)
	case len(id.Topic) > maxNameLen, len(id.Cluster) > maxNameLen, len(id.Group) > maxNameLen:
		return fmt.Errorf("a name is longer than %d bytes", maxNameLen)
	}
	return nil
}

func (id Identity) append(b []byte) []byte {
	b = append(b, id.TopicID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(id.Partition))
	b = binary.BigEndian.AppendUint16(b, id.Format)
	for _, s := range []string{id.Cluster, id.Topic, id.Group} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func parseIdentity(b []byte) (Identity, error) {
	var id Identity
	if len(b) < 22 {
		return id, errEncoding
	}
	copy(id.TopicID[:], b)
	id.Partition = int32(binary.BigEndian.Uint32(b[16:]))
	id.Format = binary.BigEndian.Uint16(b[20:])
	b = b[22:]
	for _, s := range []*string{&id.Cluster, &id.Topic, &id.Group} {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return id, errEncoding
		}
		*s = string(b[w : w+int(n)])
		b = b[w+int(n):]
	}
	if len(b) != 0 {
		return id, errEncoding
	}
	return id, nil
}

// A mark says how far a table partition has come.
type mark struct {
	offset int64     // of the last changelog record applied, or noOffset
	at     time.Time // of the last commit, or zero
	count  uint64    // of the commits, see integrity.go
	sum    Fingerprint
	summed bool // false in a mark of format 1, which had no fingerprint

	soonest int64 // deadline among the rows committed with it; not stored
}

func (m mark) encode() []byte {
	var nano int64
	if !m.at.IsZero() {
		nano = m.at.UnixNano()
	}
	b := make([]byte, 0, markBytes+fingerprint.Bytes)
	b = binary.BigEndian.AppendUint64(b, uint64(m.offset))
	b = binary.BigEndian.AppendUint64(b, uint64(nano))
	return m.sum.Append(binary.BigEndian.AppendUint64(b, m.count))
}

func parseMark(b []byte) (mark, error) {
	if len(b) != markBytes && len(b) != markBytes+fingerprint.Bytes {
		return mark{}, errEncoding
	}
	m := mark{
		offset: int64(binary.BigEndian.Uint64(b)),
		count:  binary.BigEndian.Uint64(b[16:]),
		summed: len(b) > markBytes,
	}
	if m.summed {
		var err error
		if m.sum, err = fingerprint.Read(b[markBytes:]); err != nil {
			return mark{}, err
		}
	}
	if nano := int64(binary.BigEndian.Uint64(b[8:])); nano != 0 {
		m.at = time.Unix(0, nano)
	}
	return m, nil
}

func spaceKey(number uint32, space byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 9), number), space)
}

func tableKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32(spaceKey(catalogue, spaceTable), number)
}

// rangeSpan returns the bounds of everything that range number holds.
func rangeSpan(number uint32) (start, end []byte) {
	return binary.BigEndian.AppendUint32(nil, number), binary.BigEndian.AppendUint32(nil, number+1)
}

// successor returns the first key after all keys that begin with prefix. It
// returns nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte{}, prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
