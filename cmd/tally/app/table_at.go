package app

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"tallystick/query/history"
	"tallystick/query/replay"
	"tallystick/topology"
	"tallystick/topology/keyhash"
)

// getRowAt prints a row as it was.
func (m *Main) getRowAt(
	ctx context.Context, s *settings, l *looking, back *lookingBack, key, at string,
) error {
	when, err := m.when(at)
	if err != nil {
		return err
	}
	if err := back.rules.validate(); err != nil {
		return err
	}
	if l.processor != topology.Confirm || when.Place.Topic == l.table(s) {
		return m.getRowLeft(ctx, s, l, key, when)
	}
	past, was, err := m.wasAt(ctx, s, back, key, when)
	if err != nil {
		return err
	}
	if bytes.Equal(was.Row, []byte("null")) {
		return hinted("tally explain tells what happened when", "there is no row %q at %s", key, was.At)
	}
	shown := shownRow{Key: key, Partition: past.Partition(key), Source: "replay", Row: was.Row}
	return m.printJSON(s, shown)
}

// getRowLeft prints a row as it was by what is left of the changelog.
func (m *Main) getRowLeft(
	ctx context.Context, s *settings, l *looking, key string, when history.When,
) error {
	cl, log, err := m.openTable(ctx, s, l)
	if err != nil {
		return err
	}
	defer cl.Close()
	table := l.table(s)
	partition := keyhash.Partition([]byte(key), log.Partitions(table))
	source := &changelogSource{log, table}
	if when.Time.IsZero() && (when.Place.Topic != table || when.Place.Partition != partition) {
		return usageError(fmt.Sprintf("give a time, or a place in %s/%d", table, partition),
			"--at: there is no row %q right after %s", key, when.Place)
	}
	row, next, err := rowLeft(ctx, log, table, partition, key, when)
	if err != nil {
		return err
	}
	fmt.Fprintln(m.Stderr, "from the changelog, as far as compaction has left it")
	if row == nil {
		hint := "tally table scan lists what is there"
		if !next.IsZero() {
			hint = "the first row of it that is left was written at " + next.UTC().Format(time.RFC3339)
		}
		return hinted(hint, "the changelog has no row %q of %s or before", key, when)
	}
	shown, err := l.show(source, partition, key, row)
	if err != nil {
		return err
	}
	return m.printJSON(s, shown)
}

// rowLeft returns the last row of a key that was written until then, and when the
// next one was, zero if none was.
func rowLeft(
	ctx context.Context, log *replay.Log, table string, partition int32, key string, when history.When,
) (row []byte, next time.Time, err error) {
	for r, err := range log.Records(ctx, table, partition) {
		if err != nil {
			return nil, next, err
		}
		if string(r.Key) != key {
			continue
		}
		if when.Time.IsZero() && r.Offset > when.Place.Offset ||
			!when.Time.IsZero() && r.Timestamp.After(when.Time) {
			return row, r.Timestamp, nil
		}
		row = r.Value
	}
	return row, next, nil
}
