package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/state"
)

// look notes what a crash left on a disk, and returns the disk.
func (w *worker) look(disk *vfs.MemFS) *vfs.MemFS {
	copied := disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: 100, RNG: w.s.chance.draw("copy"),
	})
	images, err := w.images(copied)
	if err != nil {
		w.s.complain("%s: crash image: %v", w.name, err)
	}
	w.onDisk = map[int32]int64{}
	for _, i := range images {
		w.onDisk[i.partition] = i.offset
	}
	w.s.keep(images)
	return disk
}

// An image is what is on disk of a partition of the table.
type image struct {
	what      string
	partition int32
	offset    int64
	rows      map[string]string
}

func (w *worker) images(disk vfs.FS) (images []image, err error) {
	if _, err := disk.Stat("rows"); err != nil {
		return nil, nil // died before it had made anything
	}
	db, err := w.open(disk, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if why := db.Recovered(); why != "" {
		return nil, fmt.Errorf("tables were torn: %s", why)
	}
	ids, err := db.Tables()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		t, err := db.Table(id)
		if err != nil {
			return nil, err
		}
		if sound, err := t.Check(context.Background()); err != nil || !sound {
			return nil, fmt.Errorf("table %s: sound: %v, %w", id, sound, err)
		}
		i, err := snapshot(t.Committed())
		if err != nil {
			return nil, err
		}
		at := strings.TrimSpace(w.s.clock())
		i.what, i.partition = fmt.Sprintf("crash image of %s at %s", w.name, at), id.Partition
		images = append(images, i)
	}
	return images, nil
}

func snapshot(v state.View) (i image, err error) {
	snap, err := v.Snapshot()
	if err != nil {
		return image{}, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	i = image{offset: snap.Offset(), rows: map[string]string{}}
	for row, err := range snap.All("") {
		if err != nil {
			return image{}, err
		}
		i.rows[row.Key] = string(row.Value)
	}
	return i, nil
}
