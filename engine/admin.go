package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// admin asks the cluster about itself. One client serves the engine's life.
type admin struct {
	client *kgo.Client
	kadm   *kadm.Client
	log    *slog.Logger
}

// transactionVersion returns ErrTransactionVersion unless the cluster runs
// transactions as KIP-890 mended them.
func (a *admin) transactionVersion(ctx context.Context) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "tallystick", "1"
	resp, err := req.RequestWith(ctx, a.client)
	if err != nil {
		return fmt.Errorf("engine: ask brokers for their features: %w", err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			return nil
		}
	}
	return fmt.Errorf("%w (hint: upgrade to Kafka 4.0 or later and run kafka-features.sh upgrade "+
		"--feature transaction.version=2, or allow transaction version 1)", ErrTransactionVersion)
}

// cluster returns the cluster's id.
func (a *admin) cluster(ctx context.Context) (string, error) {
	m, err := a.kadm.BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("engine: ask for the cluster's id: %w", err)
	}
	return m.Cluster, nil
}

// checkTopics makes sure that what the graph reads and writes is there, but for
// what is virtual, and returns the number of partitions of each.
func (a *admin) checkTopics(
	ctx context.Context, g *goka.GroupGraph, deadLetters string, virtual func(string) bool,
) (map[string]int32, error) {
	var names []string
	for _, in := range g.InputStreams() {
		if !virtual(in.Topic()) {
			names = append(names, in.Topic())
		}
	}
	inputs := len(names)
	for _, out := range g.OutputStreams() {
		if !virtual(out.Topic()) {
			names = append(names, out.Topic())
		}
	}
	names = append(names, deadLetters)
	topics, err := a.listed(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("engine: ask for topics: %w", err)
	}
	counts := map[string]int32{}
	var problems []error
	partitions := -1
	for i, name := range names {
		t, ok := topics[name]
		if !ok || t.Err != nil {
			problems = append(problems, fmt.Errorf("%w: %s: %w", ErrTopic, name, orMissing(t.Err)))
			continue
		}
		n := len(t.Partitions)
		counts[name] = int32(n)
		if partitions < 0 {
			partitions = n
		}
		if i < inputs && n != partitions {
			problems = append(problems, fmt.Errorf("%w: %s has %d partitions, %s has %d; inputs that "+
				"are joined need as many", ErrTopic, name, n, names[0], partitions))
		}
	}
	return counts, errors.Join(problems...)
}

// freshTopics is how long topics that lack are asked for again: a broker that has
// just made one may not know it yet for a moment.
const freshTopics = 3 * time.Second

// listed returns what the cluster says of topics.
func (a *admin) listed(ctx context.Context, names []string) (kadm.TopicDetails, error) {
	began, wait := time.Now(), 20*time.Millisecond
	for {
		topics, err := a.kadm.ListTopics(ctx, names...)
		lacks := func(name string) bool {
			t, ok := topics[name]
			return !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition)
		}
		if err != nil || time.Since(began) > freshTopics || !slices.ContainsFunc(names, lacks) {
			return topics, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
}

func orMissing(err error) error {
	if err == nil {
		return kerr.UnknownTopicOrPartition
	}
	return err
}

// topic returns what the cluster says of one topic, waiting a little for one
// that has just been made.
func (a *admin) topic(ctx context.Context, name string) (kadm.TopicDetail, error) {
	var t kadm.TopicDetail
	err := patiently(ctx, func() error {
		topics, err := a.kadm.ListTopics(ctx, name)
		if err != nil {
			return err
		}
		t = topics[name]
		return t.Err
	})
	if err != nil {
		return t, fmt.Errorf("engine: ask for topic %s: %w", name, err)
	}
	return t, nil
}

// ensure makes a topic if it is not there, and checks its partitions.
func (a *admin) ensure(ctx context.Context, name string, n int, config map[string]*string) error {
	topics, err := a.kadm.ListTopics(ctx, name)
	if err != nil {
		return fmt.Errorf("engine: ask for topic %s: %w", name, err)
	}
	t := topics[name]
	if errors.Is(orMissing(t.Err), kerr.UnknownTopicOrPartition) && len(t.Partitions) == 0 {
		_, err := a.kadm.CreateTopic(ctx, int32(n), -1, config, name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("%w: make %s: %w", ErrTopic, name, err)
		}
		a.log.Info("made topic", "topic", name, "partitions", n)
		_, err = a.topic(ctx, name)
		return err
	}
	if t.Err != nil {
		return fmt.Errorf("%w: %s: %w", ErrTopic, name, t.Err)
	}
	if len(t.Partitions) != n {
		return fmt.Errorf("%w: %s has %d partitions, the inputs have %d",
			ErrTopic, name, len(t.Partitions), n)
	}
	return nil
}

// compacted returns ErrTopic if a table's topic would lose rows.
func (a *admin) compacted(ctx context.Context, name string) error {
	policy, err := a.config(ctx, name, "cleanup.policy")
	if err != nil || policy == "compact" {
		return err
	}
	return fmt.Errorf("%w: %s has cleanup.policy=%s and would lose rows; it must be compact",
		ErrTopic, name, policy)
}

// config returns one setting of a topic, empty if the broker doesn't tell.
func (a *admin) config(ctx context.Context, topic, name string) (string, error) {
	configs, err := a.kadm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("engine: ask for the settings of %s: %w", topic, err)
	}
	c, err := configs.On(topic, nil)
	if err == nil {
		err = c.Err
	}
	if err != nil {
		return "", fmt.Errorf("engine: ask for the settings of %s: %w", topic, err)
	}
	for _, kv := range c.Configs {
		if kv.Key == name {
			return kv.MaybeValue(), nil
		}
	}
	return "", nil
}

// deleteRetention is how long a compacted topic keeps its tombstones.
func (a *admin) deleteRetention(ctx context.Context, topic string) (time.Duration, error) {
	v, err := a.config(ctx, topic, "delete.retention.ms")
	if err != nil || v == "" {
		return 24 * time.Hour, err
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("engine: delete.retention.ms of %s: %w", topic, err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// ends of a partition's log.
type ends struct {
	start  int64 // oldest offset
	stable int64 // everything below is decided
	high   int64 // high watermark
}

func (a *admin) ends(ctx context.Context, at place) (ends, error) {
	var e ends
	ask := func(to *int64, f func(context.Context, ...string) (kadm.ListedOffsets, error)) error {
		return patiently(ctx, func() error {
			listed, err := f(ctx, at.topic)
			if err != nil {
				return err
			}
			o, ok := listed.Lookup(at.topic, at.partition)
			if !ok {
				return kerr.UnknownTopicOrPartition
			}
			*to = o.Offset
			return o.Err
		})
	}
	// The order matters: stable is asked for last, so that it can be compared.
	err := ask(&e.start, a.kadm.ListStartOffsets)
	if err == nil {
		err = ask(&e.high, a.kadm.ListEndOffsets)
	}
	if err == nil {
		err = ask(&e.stable, a.kadm.ListCommittedOffsets)
	}
	if err != nil {
		return e, fmt.Errorf("engine: ask for the ends of %s/%d: %w", at.topic, at.partition, err)
	}
	return e, nil
}

// allEnds returns the ends of all partitions of topics, without those of which they
// can't be told.
func (a *admin) allEnds(ctx context.Context, topics []string) (map[place]ends, error) {
	starts, err := a.kadm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("engine: ask for start offsets: %w", err)
	}
	highs, err := a.kadm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("engine: ask for end offsets: %w", err)
	}
	stables, err := a.kadm.ListCommittedOffsets(ctx, topics...) // last, as in ends
	if err != nil {
		return nil, fmt.Errorf("engine: ask for stable offsets: %w", err)
	}
	all := map[place]ends{}
	stables.Each(func(stable kadm.ListedOffset) {
		start, ok := starts.Lookup(stable.Topic, stable.Partition)
		high, ok2 := highs.Lookup(stable.Topic, stable.Partition)
		if ok && ok2 && start.Err == nil && high.Err == nil && stable.Err == nil {
			all[place{stable.Topic, stable.Partition}] = ends{start.Offset, stable.Offset, high.Offset}
		}
	})
	return all, nil
}

// A committedOffset is where a group goes on in a partition, with what was noted there.
type committedOffset struct {
	offset   int64
	metadata string
}

// committed returns the offsets of the group on topics, for the partitions for which
// it has one.
func (a *admin) committed(
	ctx context.Context, group string, topics []string,
) (map[place]committedOffset, error) {
	var offsets kadm.OffsetResponses
	err := patiently(ctx, func() (err error) { // a new cluster has no coordinator at first
		offsets, err = a.kadm.FetchOffsets(ctx, group)
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("engine: ask for the offsets of %s: %w", group, err)
	}
	has := map[place]committedOffset{}
	var unknown error // which is not the same as none
	offsets.Each(func(o kadm.OffsetResponse) {
		switch {
		case !slices.Contains(topics, o.Topic):
		case o.Err != nil:
			unknown = fmt.Errorf("engine: ask for the offset of %s on %s/%d: %w",
				group, o.Topic, o.Partition, o.Err)
		case o.At >= 0:
			has[place{o.Topic, o.Partition}] = committedOffset{o.At, o.Metadata}
		}
	})
	return has, unknown
}

// leave gives a static membership up.
func (a *admin) leave(ctx context.Context, group, instance string) error {
	b := kadm.LeaveGroup(group).Reason("worker is taken down").InstanceIDs(instance)
	resp, err := a.kadm.LeaveGroup(ctx, b)
	if err == nil {
		err = resp.Error()
	}
	gone := errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound)
	if err != nil && !gone { // it may never have joined
		return fmt.Errorf("engine: leave group %s: %w", group, err)
	}
	return nil
}

// patiently repeats f while the cluster says that it is not ready yet.
func patiently(ctx context.Context, f func() error) error {
	const longest, most = 500 * time.Millisecond, 40
	wait := 5 * time.Millisecond
	for try := 0; ; try++ {
		err := f()
		var ke *kerr.Error
		soon := errors.As(err, &ke) && ke.Retriable ||
			errors.Is(err, kerr.UnknownTopicOrPartition) && try < 6
		if err == nil || !soon || try == most {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
}
