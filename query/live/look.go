package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"tallystick/topology"
)

// A look is what Kafka said at one moment.
type look struct {
	at      time.Time
	starts  kadm.ListedOffsets
	ends    kadm.ListedOffsets
	stable  kadm.ListedOffsets
	offsets kadm.FetchOffsetsResponses
}

// collect looks, and says what it saw; the last state again, with the reason, if
// Kafka does not answer.
func (c *Collector) collect(ctx context.Context) *State {
	bounded, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	l, err := c.look(bounded)
	if err == nil {
		c.looks = append(c.looks, l)
		c.looks = c.looks[max(0, len(c.looks)-span-1):]
		return c.state(bounded)
	}
	s := State{}
	if c.mu.Lock(); c.latest != nil {
		s = *c.latest
	}
	c.mu.Unlock()
	s.Error = err.Error()
	return &s
}

// look asks for offsets: first those of the groups, then those of the topics, so that
// no group seems to be ahead.
func (c *Collector) look(ctx context.Context) (look, error) {
	var topics, groups []string
	for _, t := range c.cfg.Topology.Topics {
		topics = append(topics, t.Name)
	}
	for _, p := range c.cfg.Topology.Processors {
		groups = append(groups, p.Group)
	}
	l := look{at: c.cfg.Now()}
	var err error
	l.offsets = c.adm.FetchManyOffsets(ctx, groups...)
	if err := refused(l.offsets); err != nil {
		return l, fmt.Errorf("live: offsets of the groups: %w", err)
	}
	if l.stable, err = c.adm.ListCommittedOffsets(ctx, topics...); err != nil {
		return l, fmt.Errorf("live: ends of the topics: %w", err)
	}
	if l.ends, err = c.adm.ListEndOffsets(ctx, topics...); err != nil {
		return l, fmt.Errorf("live: ends of the topics: %w", err)
	}
	if l.starts, err = c.adm.ListStartOffsets(ctx, topics...); err != nil {
		return l, fmt.Errorf("live: beginnings of the topics: %w", err)
	}
	c.asked++
	if c.asked >= describeEvery {
		// Who the members are is worth knowing, and not worth failing for.
		if members, err := c.adm.DescribeGroups(ctx, groups...); err == nil {
			c.members, c.asked = members, 0
		}
	}
	return l, nil
}

// refused is why no group's offsets are to be had. A group that is not there has none,
// and of one that is forbidden alone the others still tell.
func refused(offsets kadm.FetchOffsetsResponses) error {
	if !offsets.AllFailed() {
		return nil
	}
	for _, group := range offsets {
		if group.Err != nil && !errors.Is(group.Err, kerr.GroupIDNotFound) {
			return group.Err
		}
	}
	return nil
}

// state is what the latest looks say.
func (c *Collector) state(ctx context.Context) *State {
	now := c.looks[len(c.looks)-1]
	s := &State{At: now.at.UTC(), Topics: []Topic{}, Processors: []Processor{}}
	for _, t := range c.cfg.Topology.Topics {
		s.Topics = append(s.Topics, c.topic(t.Name))
	}
	for _, p := range c.cfg.Topology.Processors {
		s.Processors = append(s.Processors, c.processor(p))
	}
	c.count(ctx, s.Processors)
	return s
}

// rate is by how much something grew in a second, over the latest looks.
func (c *Collector) rate(growth func(first, last look) int64) float64 {
	first, last := c.looks[0], c.looks[len(c.looks)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return max(0, float64(growth(first, last))/seconds)
}

func (c *Collector) topic(name string) Topic {
	now := c.looks[len(c.looks)-1]
	sum := func(listed kadm.ListedOffsets) (n int64) {
		for _, o := range listed[name] {
			if o.Err == nil && o.Offset > 0 {
				n += o.Offset
			}
		}
		return n
	}
	t := Topic{
		Name: name, Offsets: sum(now.ends) - sum(now.starts),
		Undecided: max(0, sum(now.ends)-sum(now.stable)),
		Rate: c.rate(func(first, last look) int64 {
			return grown(first.ends[name], last.ends[name])
		}),
	}
	for _, o := range now.ends[name] {
		if o.Partition >= 0 {
			t.Partitions++
		}
	}
	return t
}

// processor says how far a group is, by offsets. What is in between is counted later.
func (c *Collector) processor(p topology.Processor) Processor {
	now := c.looks[len(c.looks)-1]
	group := c.members[p.Group]
	out := Processor{
		Name: p.Name, Service: p.Service, Group: p.Group,
		State: cmp.Or(group.State, "unknown"), Workers: []string{}, Partitions: []Partition{},
		Rate: c.rate(func(first, last look) int64 { return done(p, first, last) }),
	}
	owners := map[int32]string{}
	for _, m := range group.Members {
		name := m.MemberID
		if m.InstanceID != nil {
			name = *m.InstanceID
		}
		out.Workers = append(out.Workers, name)
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				for _, n := range t.Partitions {
					owners[n] = name
				}
			}
		}
	}
	for n := range now.partitions(p) {
		out.Partitions = append(out.Partitions, c.partition(now, p, n, owners[n]))
	}
	return out
}

// done is how far a group came from one look to another, all of its inputs together. Of
// what was not known at first nobody can say how far it came.
func done(p topology.Processor, first, last look) (n int64) {
	was, is := first.offsets[p.Group], last.offsets[p.Group]
	if was.Err != nil || is.Err != nil {
		return 0
	}
	for _, topic := range p.Inputs {
		for partition, at := range is.Fetched[topic] {
			before, known := was.Fetched[topic][partition]
			if known && before.Err == nil && at.Err == nil && before.At >= 0 && at.At >= 0 {
				n += at.At - before.At
			}
		}
	}
	return n
}

// grown is by how much the partitions of a topic grew that were known at first.
func grown(first, last map[int32]kadm.ListedOffset) (n int64) {
	for partition, end := range last {
		if was, known := first[partition]; known && end.Err == nil && was.Err == nil {
			n += end.Offset - was.Offset
		}
	}
	return n
}

// partitions is how many the inputs of a processor have.
func (l look) partitions(p topology.Processor) int32 {
	n := int32(0)
	for _, topic := range p.Inputs {
		for _, o := range l.stable[topic] {
			n = max(n, o.Partition+1)
		}
	}
	return n
}

func (c *Collector) partition(l look, p topology.Processor, n int32, worker string) Partition {
	out := Partition{Partition: n, Worker: worker, Inputs: []Input{}}
	for _, topic := range p.Inputs {
		end, ok := l.stable.Lookup(topic, n)
		if !ok || end.Err != nil {
			continue
		}
		start, _ := l.starts.Lookup(topic, n)
		in := Input{Topic: topic, Committed: -1, End: end.Offset}
		if at, ok := l.offsets[p.Group].Fetched.Lookup(topic, n); ok && at.Err == nil && at.At >= 0 {
			in.Committed = at.At
			out.Stream = c.later(out.Stream, at.Metadata)
		}
		in.from = max(in.Committed, start.Offset)
		in.Lag = max(0, in.End-in.from)
		in.Exact = in.Lag == 0
		out.Inputs = append(out.Inputs, in)
	}
	return out
}

// later is the later of two times, of which the second is in metadata.
func (c *Collector) later(t *time.Time, metadata string) *time.Time {
	if c.cfg.StreamTime == nil {
		return t
	}
	at, ok := c.cfg.StreamTime(metadata)
	if !ok || t != nil && !at.After(*t) {
		return t
	}
	return &at
}

// count replaces distances between offsets by numbers of records where it is cheap to
// tell, and adds up.
func (c *Collector) count(ctx context.Context, processors []Processor) {
	known := map[spot]peek{}
	var unknown []spot
	each(processors, func(p *Processor, n *Partition, in *Input) {
		at := in.spot(n)
		if in.Exact || in.Lag > peekOffsets {
			return
		}
		if seen, ok := c.peeked[at]; ok {
			known[at] = seen
		} else if len(unknown) < peekMost && !slices.Contains(unknown, at) {
			unknown = append(unknown, at)
		}
	})
	for at, seen := range c.peekAt(ctx, unknown) {
		known[at] = seen
	}
	c.peeked = known // of what is no longer so nobody asks again
	each(processors, func(p *Processor, n *Partition, in *Input) {
		if seen, ok := known[in.spot(n)]; ok {
			in.Lag, in.Exact = seen.records, seen.all
		}
	})
	for i := range processors {
		p := &processors[i]
		p.Exact = true
		for k := range p.Partitions {
			n := &p.Partitions[k]
			n.Exact = true
			for _, in := range n.Inputs {
				n.Lag, n.Exact = n.Lag+in.Lag, n.Exact && in.Exact
			}
			p.Lag, p.Exact = p.Lag+n.Lag, p.Exact && n.Exact
		}
	}
}

func (in *Input) spot(n *Partition) spot { return spot{in.Topic, n.Partition, in.from, in.End} }

func each(processors []Processor, do func(*Processor, *Partition, *Input)) {
	for i := range processors {
		p := &processors[i]
		for k := range p.Partitions {
			n := &p.Partitions[k]
			for j := range n.Inputs {
				do(p, n, &n.Inputs[j])
			}
		}
	}
}
