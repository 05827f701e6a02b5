package app

import (
	"runtime/debug"
	"testing"
)

// TestGrowHeap: with tables on disk, and only then, the heap may grow by more, unless
// GOGC says how much.
func TestGrowHeap(t *testing.T) {
	const usual = 77
	defer debug.SetGCPercent(debug.SetGCPercent(usual))
	percent := func() int {
		now := debug.SetGCPercent(usual)
		debug.SetGCPercent(now)
		return now
	}
	for _, is := range []struct {
		state, gogc string
		want        int
	}{
		{stateDisk, "", heapGrowth}, {stateDisk, "50", usual}, {stateMemory, "", usual},
	} {
		t.Setenv("GOGC", is.gogc)
		back := growHeap(is.state)
		if got := percent(); got != is.want {
			t.Errorf("tables in %s, GOGC=%q: the heap grows by %d %%, want %d", is.state, is.gogc, got,
				is.want)
		}
		back()
		if got := percent(); got != usual {
			t.Errorf("tables in %s, GOGC=%q: it is %d %% afterwards", is.state, is.gogc, got)
		}
	}
}
