package state

import (
	"cmp"
	"slices"
)

// An overlay holds the rows that were written and are not yet committed.
type overlay struct {
	at     map[string]*written
	rows   []*written   // all of them
	sorted bool         // rows are in the order of their keys
	bytes  int64        // about how much memory they take
	sum    *Fingerprint // of the table with them, or nil if it is not known
	free   []*written   // for rows to come
}

// written is what an overlay knows of one row: nil is no row.
type written struct {
	key   string
	now   []byte
	was   []byte // what is committed
	known bool   // was has been looked up
}

const (
	overlayGrowth = 256     // rows that get their memory at once
	overlayKept   = 1 << 16 // rows of an overlay whose memory is used again
)

func newOverlay() *overlay { return &overlay{at: map[string]*written{}} }

// add adds a row at a key that the overlay does not have.
func (o *overlay) add(w written) {
	if len(o.free) == 0 {
		more := make([]written, overlayGrowth)
		for i := range more {
			o.free = append(o.free, &more[i])
		}
	}
	last := len(o.free) - 1
	p := o.free[last]
	o.free, *p = o.free[:last], w
	o.at[p.key] = p
	o.rows, o.sorted, o.sum = append(o.rows, p), false, nil
	o.bytes += rowBytes(p.key, p.now)
}

// set changes a row that the overlay has.
func (o *overlay) set(w *written, now []byte) {
	o.bytes += int64(len(now) - len(w.now))
	w.now, o.sum = now, nil
}

// inOrder returns the rows in the order of their keys.
func (o *overlay) inOrder() []*written {
	if !o.sorted {
		slices.SortFunc(o.rows, func(a, b *written) int { return cmp.Compare(a.key, b.key) })
		o.sorted = true
	}
	return o.rows
}

// all returns the rows.
func (o *overlay) all(yield func(string, []byte) bool) {
	for _, w := range o.rows {
		if !yield(w.key, w.now) {
			return
		}
	}
}

// changes returns what a commit of the overlay does. What rows were must be known.
func (o *overlay) changes(yield func(change, error) bool) {
	for _, w := range o.rows {
		if !yield(change{w.key, w.was, w.now}, nil) {
			return
		}
	}
}

// cleared returns an empty overlay with the memory of o, which is not used any more.
func (o *overlay) cleared() *overlay {
	if len(o.rows) > overlayKept {
		return newOverlay()
	}
	clear(o.at)
	for _, w := range o.rows {
		*w = written{}
	}
	o.free, o.rows, o.bytes, o.sum = append(o.free, o.rows...), o.rows[:0], 0, nil
	return o
}
