package state

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// batchKept is how large a batch may be whose memory is used again.
const batchKept = 8 << 20

// A Commit names a table whose overlay is to be committed.
type Commit struct {
	Table *Table
	// Offset is that of the last changelog record of the overlay's rows, or
	// the table's present offset if there are none.
	Offset int64
}

// Commit writes the overlays of all the tables, their offsets and the time, as
// one atomic batch, and empties the overlays. It may only be called when the
// same rows have been committed to the changelogs; see the package's word on
// durability for why it does not wait for the disk.
//
// The tables may be written to while Commit runs; such rows belong to the
// next commit. If Commit fails, the overlays are as they were.
func (db *DB) Commit(cs ...Commit) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	db.commitMu.Lock()
	defer db.commitMu.Unlock()
	if err := db.checkCommit(cs); err != nil {
		return fmt.Errorf("state: commit: %w", err)
	}
	at := db.now()
	marks := make([]mark, len(cs))
	for i, c := range cs {
		marks[i] = c.Table.nextMark(c.Offset, at)
		c.Table.freeze()
	}
	if err := db.apply(cs, marks); err != nil {
		for _, c := range cs {
			c.Table.unfreeze()
		}
		return fmt.Errorf("state: commit: %w", db.check(err))
	}
	for i, c := range cs {
		c.Table.commit(marks[i])
	}
	for _, c := range cs {
		if err := c.Table.learn(); err != nil {
			c.Table.filter.retire() // the commit is done; the next one tells of damage
			_ = db.check(err)
		}
	}
	return nil
}

func (db *DB) checkCommit(cs []Commit) error {
	for i, c := range cs {
		if c.Table == nil || c.Table.db != db {
			return errors.New("a table of another database")
		}
		for _, d := range cs[:i] {
			if d.Table == c.Table {
				return fmt.Errorf("%s is named twice", c.Table.id)
			}
		}
		if err := c.Table.writable(); err != nil {
			return fmt.Errorf("%s: %w", c.Table.id, err)
		}
		if at := c.Table.Offset(); c.Offset < at {
			return fmt.Errorf("%s: offset %d is before %d, which is committed",
				c.Table.id, c.Offset, at)
		}
	}
	return nil
}

// apply writes one batch.
func (db *DB) apply(cs []Commit, marks []mark) error {
	var size int64
	for _, c := range cs {
		size += c.Table.frozen.bytes
	}
	b := db.pebble.NewBatchWithSize(int(size)+len(cs)*64, pebble.WithMaxRetainedSizeBytes(batchKept))
	defer b.Close() //nolint:errcheck // a batch that was committed or dropped has nothing to report
	for i, c := range cs {
		var err error
		if marks[i].sum, err = c.Table.sumAfter(c.Table.frozen, marks[i].sum); err != nil {
			return err
		}
		if err = c.Table.put(b, c.Table.frozen.changes, &marks[i]); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

// freeze moves the overlay to where Commit writes it from.
func (t *Table) freeze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overlay.inOrder()
	t.frozen, t.overlay, t.spare = t.overlay, t.spare, nil
	if t.overlay == nil {
		t.overlay = newOverlay()
	}
}

// unfreeze takes freeze back. Rows written since stay above the others.
func (t *Table) unfreeze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.overlay
	t.overlay, t.frozen = t.frozen, nil
	for _, w := range since.rows {
		if was := t.overlay.at[w.key]; was != nil {
			t.overlay.set(was, w.now)
		} else {
			t.overlay.add(*w)
		}
	}
}

// commit ends a commit that succeeded. The rows go to the cache before they
// leave the frozen overlay, so that a reader always finds them.
func (t *Table) commit(m mark) {
	t.cache.commit(t.frozen.rows)
	t.filter.addAll(t.frozen.all)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark = m
	t.soonest = min(t.soonest, m.soonest)
	t.spare, t.frozen = t.frozen.cleared(), nil
}

// nextMark returns the mark of the commit after the present one.
func (t *Table) nextMark(offset int64, at time.Time) mark {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return mark{
		offset: offset, at: at, count: t.mark.count + 1, sum: t.mark.sum, summed: true,
		soonest: math.MaxInt64,
	}
}
