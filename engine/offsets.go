package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
)

// trustOffsets is asked before the client begins to read: where it was told
// that the group has no offset, the coordinator is asked again. One that has
// just moved has been seen to answer so for a moment (KAFKA-20416), and reading
// from the start would apply everything a second time.
func (ep *epoch) trustOffsets(
	ctx context.Context, told map[string]map[int32]kgo.Offset,
) (map[string]map[int32]kgo.Offset, error) {
	var topics []string
	for topic, partitions := range told {
		for _, o := range partitions {
			if o.EpochOffset().Offset < 0 {
				topics = append(topics, topic)
				break
			}
		}
	}
	if len(topics) == 0 {
		return told, nil
	}
	has, err := ep.e.admin.committed(ctx, ep.e.cfg.Group, topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		for p, o := range told[topic] {
			if _, ok := has[place{topic, p}]; ok && o.EpochOffset().Offset < 0 {
				return nil, fmt.Errorf("engine: the coordinator of %s had no offset for %s/%d, and "+
					"has one now", ep.e.cfg.Group, topic, p)
			}
		}
	}
	return told, nil
}

// offsetsKept returns ErrOffsetsLost if a table has rows and the group has no
// offset on any input of its partition: reading from the start would apply
// everything a second time. Otherwise it returns the group's offsets, for which it
// waits until no transaction has some that are not decided.
func (e *Engine) offsetsKept(
	ctx context.Context, assigned map[string][]int32,
) (map[place]committedOffset, error) {
	topics := slices.Collect(maps.Keys(assigned))
	var has map[place]committedOffset
	err := patiently(ctx, func() (err error) {
		has, err = e.admin.committed(kadm.RequireStable(ctx), e.cfg.Group, topics)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for p, t := range e.tables {
		empty, err := t.Empty() // an offset alone may be that of an aborted first transaction
		if err != nil {
			return nil, fmt.Errorf("%w: %s/%d: %w", ErrRow, e.tableTopic(), p, err)
		}
		read := slices.ContainsFunc(topics, func(t string) bool {
			_, ok := has[place{t, p}]
			return ok
		})
		switch {
		case empty || read:
		case e.cfg.Guarantee == AtLeastOnce: // as a crash before the first commit leaves it
			e.log.Warn("table has rows and the group no offsets: reading from the start", "partition", p)
		default:
			return nil, fmt.Errorf("%w: group %s, partition %d (hint: restore the offsets, or delete the "+
				"topic %s to begin anew)", ErrOffsetsLost, e.cfg.Group, p, e.tableTopic())
		}
	}
	return has, nil
}

// tableThere returns ErrTopic if the table's topic is gone while the group has
// offsets: making a new one would go on without the rows that they stand for.
func (e *Engine) tableThere(ctx context.Context, topic string) error {
	topics, err := e.admin.kadm.ListTopics(ctx, topic)
	if err != nil || topics.Has(topic) {
		return err
	}
	has, err := e.admin.committed(ctx, e.cfg.Group, slices.Collect(maps.Keys(e.inputs)))
	if err != nil || len(has) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s is gone while group %s has offsets (hint: delete the group to begin "+
		"anew, or make the topic to go on with an empty table)", ErrTopic, topic, e.cfg.Group)
}

// sameLog returns ErrTopic if the rows on disk come from a topic that was deleted
// and made again since, while the group has offsets.
func (e *Engine) sameLog(ctx context.Context, id state.Identity) error {
	if !e.owns(id.Topic) {
		return nil
	}
	held, err := e.cfg.State.Tables()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRow, err)
	}
	other := id
	i := slices.IndexFunc(held, func(h state.Identity) bool {
		other.TopicID = h.TopicID
		return h == other && h != id
	})
	if i < 0 {
		return nil
	}
	has, err := e.admin.committed(ctx, e.cfg.Group, slices.Collect(maps.Keys(e.inputs)))
	if err != nil {
		return err
	}
	for topic := range e.inputs {
		if _, ok := has[place{topic, id.Partition}]; ok {
			return fmt.Errorf("%w: %s was deleted and made again while group %s has offsets (hint: "+
				"delete the group to begin anew, or the state directory to go on with the rows that the "+
				"topic has)", ErrTopic, id.Topic, e.cfg.Group)
		}
	}
	return nil
}
