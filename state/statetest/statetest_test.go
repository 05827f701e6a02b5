package statetest_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka/storage"

	"tallystick/state"
	"tallystick/state/statetest"
)

func table(t *testing.T) (*state.DB, *state.Table) {
	t.Helper()
	db, err := state.Open(state.Options{
		Dir: "data", FS: vfs.NewMem(), Now: func() time.Time { return time.Unix(1, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	table, err := db.Table(state.Identity{Topic: "table"})
	if err != nil {
		t.Fatal(err)
	}
	return db, table
}

// features of a state.Table: all but SetOffset, which is part of a commit.
var features = statetest.Features{
	SeekFindsSuccessor: true, NextAfterSeekStays: true, LimitExcluded: true,
	NilRangeIsAll: true, AnyKey: true, EmptyKey: true,
}

// TestOverlay runs the suite on rows that are not committed.
func TestOverlay(t *testing.T) {
	statetest.Run(t, features, func(t *testing.T) storage.Storage {
		_, table := table(t)
		return table
	})
}

// committing commits after each write, so that reads come from the database
// and the cache.
type committing struct {
	*state.Table
	db *state.DB
}

func (c committing) Set(key string, value []byte) error {
	if err := c.Table.Set(key, value); err != nil {
		return err
	}
	return c.db.Commit(state.Commit{Table: c.Table, Offset: c.Offset()})
}

func (c committing) Delete(key string) error {
	if err := c.Table.Delete(key); err != nil {
		return err
	}
	return c.db.Commit(state.Commit{Table: c.Table, Offset: c.Offset()})
}

// TestCommitted runs the suite on rows that are committed at once.
func TestCommitted(t *testing.T) {
	statetest.Run(t, features, func(t *testing.T) storage.Storage {
		db, table := table(t)
		return committing{table, db}
	})
}

// TestGokaMemory runs the suite on Goka's memory storage, which keeps the
// contract except where its Features are false.
func TestGokaMemory(t *testing.T) {
	statetest.Run(t, statetest.Features{EmptyKey: true, SetOffset: true},
		func(*testing.T) storage.Storage { return storage.NewMemory() })
}
