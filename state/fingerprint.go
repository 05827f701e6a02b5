package state

import (
	"cmp"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"tallystick/state/fingerprint"
)

// A Fingerprint tells whether two tables hold the same rows: see package
// fingerprint, which says what it does not tell. A table keeps its own in its mark,
// in the batch that changes the rows.
type Fingerprint = fingerprint.Sum

// count moves a fingerprint by the change of a row.
func (c change) count(sum *Fingerprint) {
	if c.was != nil {
		sum.Remove(c.key, c.was)
	}
	if c.now != nil {
		sum.Add(c.key, c.now)
	}
}

// Fingerprint returns the fingerprint of the committed rows.
func (t *Table) Fingerprint() Fingerprint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mark.sum
}

// Fingerprint returns the fingerprint of the committed rows.
func (v View) Fingerprint() Fingerprint { return v.t.Fingerprint() }

// PendingFingerprint returns the fingerprint that the table will have when its
// overlay is committed. What it looks up for that, the Commit that follows need not.
// Only the goroutine that writes the table may call it, and not during a Commit.
func (t *Table) PendingFingerprint() (Fingerprint, error) {
	if !t.db.gate.enter() {
		return Fingerprint{}, ErrClosed
	}
	defer t.db.gate.leave()
	t.mu.RLock()
	o, sum, committing := t.overlay, t.mark.sum, t.frozen != nil
	t.mu.RUnlock() // readers need not wait for what is looked up, nor do they look at it
	if committing {
		return Fingerprint{}, t.failed("fingerprint", errors.New("a commit is under way"))
	}
	return t.sumAfter(o, sum)
}

// sumAfter returns what the fingerprint sum of the committed rows will be with those of
// o, and notes there what they were.
func (t *Table) sumAfter(o *overlay, sum Fingerprint) (Fingerprint, error) {
	if o.sum != nil || len(o.rows) == 0 {
		return *cmp.Or(o.sum, &sum), nil
	}
	for _, w := range o.rows {
		if !w.known {
			was, err := t.committed(w.key)
			if err != nil {
				return sum, err
			}
			w.was, w.known = was, true
		}
		change{w.key, w.was, w.now}.count(&sum)
	}
	o.sum = &sum
	return sum, nil
}

// summedMark reads the mark of a table. One of format 1 has no fingerprint: it is
// computed from the rows and written down.
func (db *DB) summedMark(h held) (mark, error) {
	m, err := db.loadMark(h.number)
	if err != nil || m.summed {
		return m, err
	}
	start := spaceKey(h.number, spaceRow)
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: successor(start)})
	if err != nil {
		return m, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break // Close returns it too
		}
		m.sum.Add(string(it.Key()[rowPrefix:]), value)
	}
	if err := it.Close(); err != nil || db.readOnly {
		return m, err
	}
	m.summed = true
	db.log.Info("computed a fingerprint", "topic", h.id.Topic, "partition", h.id.Partition,
		"rows", m.sum.Rows())
	return m, db.pebble.Set(spaceKey(h.number, spaceMark), m.encode(), pebble.NoSync)
}
