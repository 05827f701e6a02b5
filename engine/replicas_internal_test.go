package engine

import (
	"testing"
	"time"
)

// TestCopiesThatAreGone: a partition of a joined table that another worker has
// now is not told of any more, and a last record of it changes nothing.
func TestCopiesThatAreGone(t *testing.T) {
	t.Parallel()
	stays, goes := place{"prices", 0}, place{"prices", 1}
	e := &Engine{newest: map[place]time.Time{stays: {}, goes: {}}}
	now := time.Now()
	e.heard(stays, now)
	e.heard(goes, now)
	r := &replica{&table{e: e, at: goes}}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	e.heard(goes, now)
	if got := e.Replicas(); len(got) != 1 || got[0] != (Replica{"prices", 0, now}) {
		t.Errorf("got %v", got)
	}
}
