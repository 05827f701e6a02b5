package engine_test

import (
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
	wk.onDisk()
	wk.end()
}
