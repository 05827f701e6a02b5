package engine_test

import (
	"maps"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestJoinsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendMany(0, 200)
	wk := w.start(vfs.NewMem(), nil)
	w.joined(200)
	w.sendMany(200, 400)
	w.joined(400)
	if got, want := wk.local(), w.rows(); !maps.Equal(got, want) {
		t.Errorf("local rows differ from the changelog: %d and %d rows", len(got), len(want))
	}
	wk.end()
}
