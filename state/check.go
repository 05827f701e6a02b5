package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	checkLook     = 4096 // rows, after which a check looks up
	checkProgress = 2 * time.Second
)

// Check settles whether a table can be trusted that may have been through a crash of
// the machine; of any other table it does nothing. It reads all rows, deadlines and
// index entries, and compares them with the fingerprint and with each other. If they
// do not agree, the table is set aside and empty, and has to be restored: Check then
// returns false. A DB that was opened read-only returns an error instead, for which
// IsCorruption holds.
//
// Until Check has returned without an error, a table in doubt can be neither read nor
// written: that is ErrUnchecked. TrackDeadlines and TrackIndex go before it. A check
// that ctx ends begins anew with the next one.
func (t *Table) Check(ctx context.Context) (sound bool, err error) {
	if !t.db.gate.enter() {
		return false, ErrClosed
	}
	defer t.db.gate.leave()
	t.checkMu.Lock()
	defer t.checkMu.Unlock()
	if !errors.Is(t.usable(), ErrUnchecked) {
		return true, nil // or replaced, which every use of it will say
	}
	c := check{t: t, began: t.db.now()}
	c.said = c.began
	why, err := c.run(ctx)
	switch {
	case err != nil:
		return false, t.failed("check", t.db.check(err))
	case why == "":
		took := t.db.now().Sub(c.began)
		t.db.log.Info("checked a table: it is sound", "topic", t.id.Topic,
			"partition", t.id.Partition, "rows", c.rows.Rows(), "took", took.Round(time.Millisecond),
			"per_second", perSecond(c.rows.Rows(), took))
	case t.db.readOnly:
		return false, t.failed("check", fmt.Errorf("%w: %s", errTorn, why))
	default:
		err = t.reset(why + ", after a crash of the machine")
	}
	if err == nil {
		err = t.db.vouch(t)
	}
	if err != nil {
		return false, t.failed("check", err)
	}
	return why == "", nil
}

func perSecond(n int64, d time.Duration) int64 {
	return int64(float64(n) / max(d.Seconds(), 1e-3))
}

// A check is one pass over what a table holds.
type check struct {
	t           *Table
	began, said time.Time

	rows Fingerprint // of the rows
	// What follows from the rows, and what is there of it, as sets of keys.
	dueOfRows, due         Fingerprint
	entriesOfRows, entries Fingerprint
}

// run returns what is wrong with the table, if anything is.
func (c *check) run(ctx context.Context) (why string, err error) {
	t := c.t
	if err := c.walk(ctx, spaceRow, c.row); err != nil {
		return "", err
	}
	if want := t.Fingerprint(); c.rows != want {
		return fmt.Sprintf("the fingerprint is %v of %d rows, the rows have %v and are %d",
			want, want.Rows(), c.rows, c.rows.Rows()), nil
	}
	if t.deadline != nil {
		if err := c.walk(ctx, spaceDue, func(k, _ []byte) { c.due.Add(string(k), nil) }); err != nil {
			return "", err
		}
	}
	if t.entries != nil {
		err := c.walk(ctx, spaceIndex, func(k, _ []byte) { c.entries.Add(string(k), nil) })
		if err != nil {
			return "", err
		}
	}
	switch {
	case c.due != c.dueOfRows:
		return "its deadlines are not those of its rows", nil
	case c.entries != c.entriesOfRows:
		return "its index is not that of its rows", nil
	}
	return "", nil
}

func (c *check) row(k, value []byte) {
	t, key := c.t, string(k[rowPrefix:])
	c.rows.Add(key, value)
	if t.deadline != nil {
		if at := t.due(value); at != 0 {
			c.dueOfRows.Add(string(t.dueKey(key, at)), nil)
		}
	}
	if t.entries != nil {
		keys := t.indexKeys(key, value)
		for i, k := range keys {
			if i == 0 || !slices.Equal(k, keys[i-1]) { // one that is given twice counts once
				c.entriesOfRows.Add(string(k), nil)
			}
		}
	}
}

// walk calls do with each key of a space of the table.
func (c *check) walk(ctx context.Context, space byte, do func(key, value []byte)) error {
	start := spaceKey(c.t.number, space)
	it, err := c.t.db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: start, UpperBound: successor(start),
	})
	if err != nil {
		return err
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break // Close returns it too
		}
		do(it.Key(), value)
		if n++; n%checkLook == 0 {
			if err := c.look(ctx); err != nil {
				_ = it.Close() // c.look's error is what ended it
				return err
			}
		}
	}
	return it.Close()
}

// look says how far the check is, and returns why it must not go on.
func (c *check) look(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := c.t
	if t.db.gate.shut.Load() {
		return ErrClosed
	}
	now := t.db.now()
	if now.Sub(c.said) < checkProgress {
		return nil
	}
	c.said = now
	t.db.log.Info("checking a table", "topic", t.id.Topic, "partition", t.id.Partition,
		"rows", c.rows.Rows(), "of", t.Fingerprint().Rows(),
		"per_second", perSecond(c.rows.Rows(), now.Sub(c.began)))
	return nil
}

func (t *Table) dueKey(key string, at int64) []byte {
	b := make([]byte, rowPrefix+8+len(key))
	t.putDueKey(b, key, at)
	return b
}
