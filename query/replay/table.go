package replay

import (
	"context"
	"fmt"

	"tallystick/engine/journal"
)

// lastPages is how many offsets of a journal are read at first to find its end.
const lastPages = 64

// LastTable returns what a partition of the group's table holds after the last
// transaction in its journal, or nil if no segment says so: the group has no table,
// or the journal was written before segments told of it.
func (l *Log) LastTable(
	ctx context.Context, journalTopic string, partition int32,
) (*journal.Table, error) {
	span := l.Span(journalTopic, partition)
	for end, n := span.End, int64(lastPages); end > span.Start; n *= 8 {
		from := max(span.Start, end-n)
		var last *journal.Table
		for r, err := range l.Range(ctx, journalTopic, partition, from, end) {
			if err != nil {
				return nil, err
			}
			s, err := journal.Parse(r.Value)
			if err != nil {
				return nil, fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			if s.Table != nil {
				last = s.Table
			}
		}
		if last != nil {
			return last, nil
		}
		end = from
	}
	return nil, nil
}
