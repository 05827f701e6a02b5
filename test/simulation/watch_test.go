package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// watch follows the group's offsets, which never go back.
func (s *simulation) watch(ctx context.Context, admin *kadm.Client) {
	last := map[string]int64{}
	for ctx.Err() == nil {
		if offsets, err := admin.FetchOffsets(ctx, s.names.ConfirmGroup); err == nil {
			offsets.Each(func(o kadm.OffsetResponse) {
				at := fmt.Sprintf("%s/%d", o.Topic, o.Partition)
				if o.At < last[at] {
					s.complain("the group's offset of %s went from %d back to %d", at, last[at], o.At)
				}
				last[at] = o.At
			})
		}
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
		}
	}
}

// caughtUp waits until the group has read everything.
func (s *simulation) caughtUp(ctx context.Context, admin *kadm.Client) bool {
	var left string
	for deadline := time.Now().Add(catchUp); time.Now().Before(deadline); {
		time.Sleep(time.Second)
		left = s.lag(ctx, admin)
		if left == "" {
			s.note("caught up")
			return true
		}
	}
	s.complain("not caught up %v after the last fault: %s", catchUp, left)
	return false
}

// lag says what the group has not read yet.
func (s *simulation) lag(ctx context.Context, admin *kadm.Client) string {
	ends, err := admin.ListEndOffsets(ctx, s.names.Orders, s.names.Payments)
	if err != nil {
		return err.Error()
	}
	offsets, err := admin.FetchOffsets(ctx, s.names.ConfirmGroup)
	if err != nil {
		return err.Error()
	}
	var left []string
	ends.Each(func(e kadm.ListedOffset) {
		at := int64(0)
		if o, ok := offsets.Lookup(e.Topic, e.Partition); ok {
			at = max(o.At, 0)
		}
		if at != e.Offset {
			left = append(left, fmt.Sprintf("%s/%d at %d of %d", e.Topic, e.Partition, at, e.Offset))
		}
	})
	slices.Sort(left)
	return strings.Join(left, ", ")
}

// final takes the tables of the workers as they are at the end.
func (s *simulation) final(ws []*worker) {
	for _, w := range ws {
		l := w.current()
		if l == nil {
			s.complain("%s is not there at the end", w.name)
			continue
		}
		for _, p := range l.engine.Stats().Partitions {
			v, ok := l.engine.Table(p)
			if !ok {
				s.complain("%s has lost partition %d at the end", w.name, p)
				continue
			}
			i, err := snapshot(v)
			if err != nil {
				s.complain("%s: table at the end: %v", w.name, err)
			}
			i.what, i.partition = w.name+" at the end", p
			s.seen.finals = append(s.seen.finals, i)
		}
	}
}

// elect gives the partitions new leader epochs, now and then.
func (s *simulation) elect(ctx context.Context) {
	for {
		pause := time.Minute + time.Duration(s.chance.draw("election").Int64N(int64(9*time.Minute)))
		select {
		case <-time.After(pause):
			s.note("leaders are elected")
			s.cluster.ShufflePartitionLeaders()
		case <-s.healing:
			return
		case <-ctx.Done():
			return
		}
	}
}
