package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// A Plan is what a cluster lacks of a topology and where it differs.
type Plan struct {
	// Missing are the topics to create, in the form in which Apply will.
	Missing []Topic
	// Differing is what stands otherwise than the map says, topic by topic.
	Differing []Difference
	// Fine are the topics that are there and as wanted.
	Fine []string
}

// A Difference is one setting of one topic that is not as wanted.
type Difference struct {
	Topic   string `json:"topic"`
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
	// Harmless marks a difference that the system works with. The others must
	// be mended before a worker runs.
	Harmless bool `json:"harmless"`
	// Hint says what the difference leads to, or what mends it.
	Hint string `json:"hint"`
}

// Ready reports whether workers can run: nothing is missing, and what differs
// is harmless.
func (p Plan) Ready() bool {
	return len(p.Missing) == 0 && !slices.ContainsFunc(p.Differing, Difference.harmful)
}

func (d Difference) harmful() bool { return !d.Harmless }

// Err returns nil if the plan is Ready, else one *Problem for each topic that
// is missing and each difference that must be mended, joined.
func (p Plan) Err() error {
	var problems []error
	for _, topic := range p.Missing {
		problems = append(problems, &Problem{
			Where: "topic " + topic.Name, What: "not in the cluster",
			Remedy: "tally topics apply creates it",
		})
	}
	for _, d := range p.Differing {
		if d.harmful() {
			problems = append(problems, &Problem{
				Where:  "topic " + d.Topic,
				What:   fmt.Sprintf("%s is %s, not %s", d.Setting, d.Have, d.Want),
				Remedy: d.Hint,
			})
		}
	}
	return errors.Join(problems...)
}

// String returns the plan as a diff: + is missing and would be created, ! must
// be mended by hand, ~ differs and is harmless, and without a sign all is well.
func (p Plan) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, topic := range p.Missing {
		fmt.Fprintf(tw, "+ %s\tcreate: %s\n", topic.Name, topic.setup())
	}
	must, may := 0, 0
	for _, d := range p.Differing {
		sign := "!"
		if d.Harmless {
			sign = "~"
			may++
		} else {
			must++
		}
		fmt.Fprintf(tw, "%s %s\t%s: has %s, wants %s\n", sign, d.Topic, d.Setting, d.Have, d.Want)
		if d.Hint != "" {
			fmt.Fprintf(tw, "  \t  %s\n", d.Hint)
		}
	}
	for _, name := range p.Fine {
		fmt.Fprintf(tw, "  %s\tas wanted\n", name)
	}
	tw.Flush()
	fmt.Fprintf(&b, "%d to create, %d to mend, %d harmless, %d as wanted\n",
		len(p.Missing), must, may, len(p.Fine))
	return b.String()
}

// Plan compares the map with a cluster and changes nothing. Where the inputs of
// a processor exist and agree on another number of partitions than the map,
// the cluster is right: what is missing follows them.
func (t Topology) Plan(ctx context.Context, adm *kadm.Client) (Plan, error) {
	if err := t.Validate(); err != nil {
		return Plan{}, err
	}
	names := make([]string, len(t.Topics))
	for i, topic := range t.Topics {
		names[i] = topic.Name
	}
	found, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return Plan{}, fmt.Errorf("topology: list topics: %w", err)
	}
	c := comparer{found: found, counts: map[string]int32{}}
	for _, topic := range t.Topics {
		detail := found[topic.Name]
		switch {
		case errors.Is(detail.Err, kerr.UnknownTopicOrPartition), detail.Topic == "":
		case detail.Err != nil:
			return Plan{}, fmt.Errorf("topology: describe topic %s: %w", topic.Name, detail.Err)
		default:
			c.counts[topic.Name] = int32(len(detail.Partitions))
		}
	}
	adopted, undecided := t.adopt(c.counts)
	for _, topic := range adopted.Topics {
		if err := c.compare(ctx, adm, topic, undecided[topic.Name]); err != nil {
			return Plan{}, err
		}
	}
	return c.plan, nil
}

// adopt returns the map with the partition counts that the cluster's topics
// give to those that are joined with them; what nobody here joins gets as many as
// the input of its writer. The topics of groups whose existing
// topics disagree are undecided: creating one of them now would fix a count
// that may prove wrong and can never be lowered.
func (t Topology) adopt(counts map[string]int32) (_ Topology, undecided map[string]bool) {
	t.Topics = slices.Clone(t.Topics)
	undecided = map[string]bool{}
	decided, joined := map[string]int32{}, map[string]bool{}
	for _, group := range t.joins() {
		var have []int32
		for _, name := range group {
			joined[name] = true
			if n, ok := counts[name]; ok {
				have = append(have, n)
			}
		}
		slices.Sort(have)
		have = slices.Compact(have)
		for _, name := range group {
			if len(have) == 1 {
				decided[name] = have[0]
			} else if len(have) > 1 {
				undecided[name] = true
			}
		}
	}
	for i := range t.Topics {
		topic := &t.Topics[i]
		if n, ok := decided[topic.Name]; ok {
			topic.Partitions = n
		} else if p, ok := t.Processor(topic.Writers()[0]); ok && !joined[topic.Name] {
			topic.Partitions = cmp.Or(decided[p.Inputs[0]], topic.Partitions)
		}
	}
	return t, undecided
}

// joins returns the sets of topics that must agree on their partition count:
// those that one processor joins, what the engine keeps beside them, and all that
// are joined with them elsewhere.
func (t Topology) joins() [][]string {
	var groups [][]string
	for _, p := range t.Processors {
		group := p.even()
		rest := groups[:0]
		for _, other := range groups {
			if slices.ContainsFunc(other, func(s string) bool { return slices.Contains(group, s) }) {
				group = append(group, other...)
			} else {
				rest = append(rest, other)
			}
		}
		groups = append(rest, group)
	}
	return groups
}

type comparer struct {
	found  kadm.TopicDetails
	counts map[string]int32
	plan   Plan
}

func (c *comparer) compare(
	ctx context.Context, adm *kadm.Client, topic Topic, undecided bool,
) error {
	have, exists := c.counts[topic.Name]
	if !exists && !undecided {
		c.plan.Missing = append(c.plan.Missing, topic)
		return nil
	}
	differing := topic.counted(have, exists, undecided)
	if exists {
		copies := c.found[topic.Name].Partitions.NumReplicas()
		if copies < int(topic.Replication) {
			differing = append(differing, Difference{
				Setting: "replication", Have: strconv.Itoa(copies),
				Want: strconv.Itoa(int(topic.Replication)), Harmless: true,
				Hint: "fewer brokers may be lost than was meant: reassign with more copies",
			})
		}
		settings, err := describe(ctx, adm, topic.Name)
		if err != nil {
			return err
		}
		differing = append(differing, topic.differences(settings)...)
	}
	if len(differing) == 0 {
		c.plan.Fine = append(c.plan.Fine, topic.Name)
	}
	for _, d := range differing {
		d.Topic = topic.Name
		c.plan.Differing = append(c.plan.Differing, d)
	}
	return nil
}

// counted compares the topic's number of partitions.
func (t Topic) counted(have int32, exists, undecided bool) []Difference {
	d := Difference{Setting: "partitions", Have: strconv.Itoa(int(have))}
	switch {
	case undecided:
		if !exists {
			d.Have = "none yet"
		}
		d.Want = "as many as what it is joined with"
		d.Hint = "counts disagree: copy the topic of fewer partitions into a new one with as many"
	case have != t.Partitions:
		d.Want, d.Harmless = strconv.Itoa(int(t.Partitions)), true
		d.Hint = "nothing here joins it, so that any count does"
	default:
		return nil
	}
	return []Difference{d}
}

// describe returns a topic's settings, or nil if this user may not see them.
func describe(ctx context.Context, adm *kadm.Client, name string) (map[string]string, error) {
	var denied *kadm.AuthError
	configs, err := adm.DescribeTopicConfigs(ctx, name)
	if errors.As(err, &denied) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("topology: describe settings of %s: %w", name, err)
	}
	config, err := configs.On(name, nil)
	if err = errors.Join(err, config.Err); err != nil {
		return nil, fmt.Errorf("topology: describe settings of %s: %w", name, err)
	}
	settings := map[string]string{}
	for _, c := range config.Configs {
		settings[c.Key] = c.MaybeValue()
	}
	return settings, nil
}

// The settings of a topic that matter here, by Kafka's names.
const (
	keyCleanup = "cleanup.policy"
	keyAge     = "retention.ms"
	keySize    = "retention.bytes"
	keyMessage = "max.message.bytes"
)

// differences compares settings with what the topic should have. A setting
// that the broker does not tell is left out.
func (t Topic) differences(settings map[string]string) []Difference {
	if settings == nil {
		return []Difference{{
			Setting: "settings", Have: "no right to see them", Want: "DescribeConfigs", Harmless: true,
			Hint: "what cannot be seen was not compared",
		}}
	}
	var out []Difference
	if have, ok := settings[keyCleanup]; ok && have != string(t.Cleanup) {
		hint := "compaction erases events: set cleanup.policy=delete"
		if t.Cleanup == Compact {
			hint = "rows would be lost by age: set cleanup.policy=compact"
		}
		out = append(out, Difference{
			Setting: keyCleanup, Have: have, Want: string(t.Cleanup), Hint: hint,
		})
	}
	if policy, ok := settings[keyCleanup]; t.Cleanup == Delete && (!ok || policy == string(Delete)) {
		out = append(out, t.shortened(settings)...)
	}
	if have, err := strconv.ParseInt(settings[keyMessage], 10, 64); err == nil &&
		have < int64(t.MaxBytes) {
		outside := slices.Equal(t.Writers(), []string{Outside})
		d := Difference{
			Setting: keyMessage, Have: settings[keyMessage],
			Want: "at least " + strconv.Itoa(int(t.MaxBytes)), Harmless: outside,
			Hint: "a record whose result does not fit goes to the dead letters: raise it",
		}
		if d.Harmless {
			d.Hint = "the broker refuses larger records from their producer: raise it if there are any"
		}
		out = append(out, d)
	}
	return out
}

// shortened compares how long events are kept. Keeping them longer than wanted
// is no difference.
func (t Topic) shortened(settings map[string]string) []Difference {
	const hint = "what is older is gone: audits and replays reach back no further"
	const longest = int64(100 * 365 * 24 * time.Hour / time.Millisecond) // as good as for ever
	var out []Difference
	ms, err := strconv.ParseInt(settings[keyAge], 10, 64)
	if err == nil && ms >= 0 && ms < longest && (t.Retention < 0 || ms < t.Retention.Milliseconds()) {
		have := durationText(time.Duration(ms) * time.Millisecond)
		out = append(out, Difference{
			Setting: keyAge, Have: settings[keyAge] + " (" + have + ")",
			Want: strconv.FormatInt(millis(t.Retention), 10), Harmless: true, Hint: hint,
		})
	}
	size, err := strconv.ParseInt(settings[keySize], 10, 64)
	if err == nil && size >= 0 {
		out = append(out, Difference{
			Setting: keySize, Have: settings[keySize], Want: "-1",
			Harmless: true, Hint: hint,
		})
	}
	return out
}

// configs are the settings with which Apply creates the topic. Whatever is not
// named here is left to the broker.
func (t Topic) configs() map[string]*string {
	configs := map[string]*string{
		keyCleanup: kadm.StringPtr(string(t.Cleanup)),
		keyMessage: kadm.StringPtr(strconv.Itoa(int(t.MaxBytes))),
	}
	if t.Cleanup == Delete {
		configs[keyAge] = kadm.StringPtr(strconv.FormatInt(millis(t.Retention), 10))
		configs[keySize] = kadm.StringPtr("-1")
	}
	return configs
}

// millis is a retention as Kafka writes it.
func millis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}
