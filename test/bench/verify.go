package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"
)

// verify reads the topic of confirmations from the given offsets on, as any
// stranger would, and returns what is wrong with them. It knows the wire format
// alone: nothing of the application's code.
func verify(
	ctx context.Context, brokers []string, topic string, from, to kadm.ListedOffsets, w workload,
) error {
	parts := map[int32]kgo.Offset{}
	left := map[int32]int64{}
	to.Each(func(end kadm.ListedOffset) {
		begin, _ := from.Lookup(topic, end.Partition)
		if end.Offset > begin.Offset {
			parts[end.Partition] = kgo.NewOffset().At(begin.Offset)
			left[end.Partition] = end.Offset
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: parts}))
	if err != nil {
		return fmt.Errorf("bench: verify: %w", err)
	}
	defer client.Close()
	seen := make([]int, w.orders)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("bench: verify: %w", err)
		}
		var wrong error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() && wrong == nil {
				wrong = count(seen, r)
			}
		})
		if wrong != nil {
			return fmt.Errorf("bench: verify: %w", wrong)
		}
	}
	return compare(seen)
}

// count notes one confirmation.
func count(seen []int, r *kgo.Record) error {
	id, minor, err := confirmation(r.Value)
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	order, err := strconv.Atoi(strings.TrimPrefix(id, "order-"))
	if err != nil || order >= len(seen) || id != string(r.Key) {
		return fmt.Errorf("confirmation of %q under key %q", id, r.Key)
	}
	if minor != total(order) {
		return fmt.Errorf("%s confirmed over %d, want %d", id, minor, total(order))
	}
	seen[order]++
	return nil
}

// compare holds the confirmations against what was paid.
func compare(seen []int) error {
	missing, doubled, unasked := 0, 0, 0
	for order, n := range seen {
		switch {
		case unpaid(order) && n > 0:
			unasked++
		case unpaid(order):
		case n == 0:
			missing++
		case n > 1:
			doubled++
		}
	}
	if missing+doubled+unasked > 0 {
		return fmt.Errorf("bench: verify: %d confirmations missing, %d doubled, %d unasked for",
			missing, doubled, unasked)
	}
	return nil
}

// confirmation reads the order's id and the total out of the wire format:
// envelope field 3, in it the id as field 1 and the money as field 3.
func confirmation(b []byte) (id string, minor int64, err error) {
	body, err := field(b, 3)
	if err != nil {
		return "", 0, err
	}
	name, err := field(body, 1)
	if err != nil {
		return "", 0, err
	}
	money, err := field(body, 3)
	if err != nil {
		return "", 0, err
	}
	number, kind, n := protowire.ConsumeTag(money)
	if n < 0 || number != 1 || kind != protowire.VarintType {
		return "", 0, errors.New("no amount")
	}
	v, n := protowire.ConsumeVarint(money[n:])
	if n < 0 {
		return "", 0, protowire.ParseError(n)
	}
	return string(name), int64(v), nil
}

// field returns the bytes of the first field of that number.
func field(b []byte, number protowire.Number) ([]byte, error) {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		if num == number && kind == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil, protowire.ParseError(n)
			}
			return v, nil
		}
		if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil, fmt.Errorf("no field %d", number)
}
