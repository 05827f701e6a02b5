package engine

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
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
			if o.EpochOffset().Offset < 0 && has[place{topic, p}] {
				return nil, fmt.Errorf("engine: the coordinator of %s had no offset for %s/%d, and "+
					"has one now", ep.e.cfg.Group, topic, p)
			}
		}
	}
	return told, nil
}
