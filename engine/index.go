package engine

import (
	"fmt"

	"github.com/lovoo/goka"
)

// An Index finds the rows of the group's table in another order than that of their
// keys: see [state.View.Index], which [Engine.Table] leads to. It is kept beside the
// rows, in the same commits, and restored with them.
type Index struct {
	// Entries calls entry with each of the entries of an encoded row. It is called
	// with every row that is written and with what the row was, must not keep or change
	// it, and may use the bytes given to entry again.
	Entries func(key string, row []byte, entry func([]byte))
	// Version, at most 14, changes with what Entries says about the same row; tables
	// on disk of another version are set aside and restored.
	Version uint8
}

// The versions have half a byte and a byte of a table's format, in which 0 is for none.
const (
	maxIndexVersion  = 14
	maxTimersVersion = 254
)

// The format of a range is made of three versions: the engine's in its lowest four
// bits, the index's in the next four, the deadlines' in the upper byte.

// format is that of the rows, and of what is kept beside them.
func (t *table) format() uint16 {
	f := uint16(tableFormat)
	if t.at.topic != t.e.tableTopic() {
		return f
	}
	if index := t.e.cfg.Index; index != nil {
		f |= (uint16(index.Version) + 1) << 4
	}
	if timers := t.e.cfg.Timers; timers != nil {
		f |= (uint16(timers.Version) + 1) << 8
	}
	return f
}

// track tells the group's table what to keep beside its rows.
func (t *table) track() {
	if t.at.topic != t.e.tableTopic() {
		return
	}
	if timers := t.e.cfg.Timers; timers != nil {
		t.TrackDeadlines(timers.Deadline)
	}
	if index := t.e.cfg.Index; index != nil {
		t.TrackIndex(index.Entries)
	}
}

// checkIndex refuses an index of no table.
func (e *Engine) checkIndex(g *goka.GroupGraph) error {
	if e.cfg.Index != nil && g.GroupTable() == nil {
		return fmt.Errorf("engine: index: group %s has no table", e.cfg.Group)
	}
	return nil
}
