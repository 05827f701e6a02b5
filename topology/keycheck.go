package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology/keyhash"
)

const (
	// sampled is about how many records of a topic CheckKeys looks at.
	sampled = 400
	// sampledLeast is how many of a partition it looks at all the same.
	sampledLeast = 20
	// sampledWait is how long it waits for a record that the log may have lost.
	sampledWait = 2 * time.Second
)

// CheckKeys looks at the last few hundred records of every topic that a processor
// joins or looks up in, and returns a *Problem for each topic that has keys where
// Kafka's own hash would not put them, joined; or nil. Where another known hash
// puts them there, the problem names it. Topics that are not there, that are
// empty or that have one partition are no problem.
//
// It reads with a client of its own, made like cl, which must not belong to a
// consumer group, and commits nothing.
func CheckKeys(ctx context.Context, cl *kgo.Client, t Topology) error {
	var problems []error
	for _, topic := range t.keyed() {
		samples, n, err := sampleKeys(ctx, cl, topic)
		if err != nil {
			return fmt.Errorf("topology: read the keys of %s: %w", topic, err)
		}
		if p := misplaced(topic, samples, n); p != nil {
			problems = append(problems, p)
		}
	}
	return errors.Join(problems...)
}

// keyed returns the topics whose keys have to be where they belong.
func (t Topology) keyed() []string {
	var names []string
	for _, p := range t.Processors {
		for _, name := range slices.Concat(p.Inputs, p.Lookups) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// sampleKeys returns the keys of the last records of each partition, and how many
// partitions there are.
func sampleKeys(
	ctx context.Context, cl *kgo.Client, topic string,
) (map[int32][][]byte, int32, error) {
	adm := kadm.NewClient(cl)
	details, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return nil, 0, err
	}
	n := int32(len(details[topic].Partitions))
	if details[topic].Err != nil || n < 2 {
		return nil, n, nil
	}
	from, ends, err := lastOffsets(ctx, adm, topic, max(sampled/int64(n), sampledLeast))
	if err != nil || len(from) == 0 {
		return nil, n, err
	}
	opts := append(cl.Opts(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.KeepControlRecords())
	reader, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, 0, err
	}
	defer reader.Close()
	samples, err := readKeys(ctx, reader, ends)
	return samples, n, err
}

// lastOffsets returns where to begin in the partitions that have records, and
// where their ends are.
func lastOffsets(
	ctx context.Context, adm *kadm.Client, topic string, records int64,
) (map[int32]kgo.Offset, map[int32]int64, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	lasts, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(starts.Error(), lasts.Error()); err != nil {
		return nil, nil, err
	}
	from, ends := map[int32]kgo.Offset{}, map[int32]int64{}
	for p, end := range lasts[topic] {
		start := starts[topic][p].Offset
		if end.Offset > start {
			from[p] = kgo.NewOffset().At(max(start, end.Offset-records))
			ends[p] = end.Offset
		}
	}
	return from, ends, nil
}

// readKeys reads up to the ends, or until nothing more comes: what is last in a
// log may have been compacted away.
func readKeys(
	ctx context.Context, cl *kgo.Client, ends map[int32]int64,
) (map[int32][][]byte, error) {
	samples := map[int32][][]byte{}
	for len(ends) > 0 {
		wait, cancel := context.WithTimeout(ctx, sampledWait)
		fetches := cl.PollFetches(wait)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var failed error
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				failed = err
			}
		})
		if failed != nil {
			return nil, failed
		}
		if fetches.NumRecords() == 0 {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() && r.Key != nil {
				samples[r.Partition] = append(samples[r.Partition], r.Key)
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(ends, r.Partition)
			}
		})
	}
	return samples, nil
}

// misplaced returns what is wrong with where the keys are, or nil.
func misplaced(topic string, samples map[int32][][]byte, n int32) error {
	all, wrong := 0, map[int32][][]byte{}
	var text string
	elsewhere := 0
	for p := range n {
		for _, key := range samples[p] {
			all++
			home := keyhash.Partition(key, n)
			if home == p {
				continue
			}
			wrong[p] = append(wrong[p], key)
			if elsewhere++; text == "" {
				text = fmt.Sprintf("key %.100q is in partition %d of %d and belongs to %d", key, p, n, home)
			}
		}
	}
	if elsewhere == 0 {
		return nil
	}
	text += fmt.Sprintf("; so are %d of the %d keys looked at", elsewhere, all)
	remedy := "a join would miss them: let all that write it use Kafka's murmur2"
	switch names := fitting(wrong, n); {
	case len(names) == 0:
		text += ", by no hash that is known here"
		remedy += ", or no partition of their own choice"
	default:
		text += ", as by " + strings.Join(names, " or ")
		remedy += " (librdkafka: partitioner=murmur2_random), and write the topic anew"
	}
	return &Problem{Where: "topic " + topic, What: text, Remedy: remedy}
}

// fitting returns the names of the hashes that put all keys where they are.
func fitting(keys map[int32][][]byte, n int32) []string {
	var names []string
	for _, h := range keyhash.Known() {
		fits := true
		for p, list := range keys {
			fits = fits && slices.Contains(keyhash.Fits(list, p, n), h.Name)
		}
		if fits {
			names = append(names, h.Name)
		}
	}
	return names
}
