package state

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An orderedFS closes a gap in what Pebble asks of a file system. Pebble names
// its manifest by making an empty file, a marker, and syncs the directory only
// then. A power cut in between may keep the marker and lose the manifest that
// it names, unless the file system happens to keep the order. So the directory
// is synced before a marker is made as well; that is once per start and per
// new manifest.
type orderedFS struct{ vfs.FS }

func (fs orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

func (fs orderedFS) Unwrap() vfs.FS { return fs.FS }

func syncDir(fs vfs.FS, name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
