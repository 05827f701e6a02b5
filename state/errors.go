package state

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

var (
	// ErrInUse means that another process, or another DB in this one, has the
	// directory open. Two workers on one machine need two directories.
	ErrInUse = errors.New("state: directory is in use by another worker; " +
		"stop it, or give this one a directory of its own")

	// ErrFormat means that the database was written by a later version of
	// this package. Nothing is changed; run that version, or move the
	// directory away to have the tables restored from their changelogs.
	ErrFormat = errors.New("state: database has a later format than this version knows; " +
		"run the later version, or move the directory away")

	// ErrClosed means that the DB was closed.
	ErrClosed = errors.New("state: closed")

	// ErrReplaced means that the table partition was opened again with
	// another identity; only the newer Table is valid.
	ErrReplaced = errors.New("state: table was replaced by one with another identity")

	// ErrUnchecked means that the machine may have crashed under the table, and that
	// [Table.Check] has yet to tell whether it can be trusted.
	ErrUnchecked = errors.New("state: the machine may have crashed under the table; check it first")

	// ErrReadOnly means a write to a DB that was opened with OpenReadOnly.
	ErrReadOnly = errors.New("state: opened read-only")
)

// errOptions marks options that Pebble refuses.
var errOptions = errors.New("options")

// errTorn marks what this package itself finds wrong with a database.
var errTorn = errors.New("database is torn")

// IsCorruption reports whether err says that the database on disk is damaged:
// a bad checksum, a record that cannot be read, a file that is missing. The
// database must not be used further. The next [Open] sets it aside.
//
// A full disk, a device that fails, a lack of rights and the like are not
// corruption: they leave the database as it is, and are for the operator to
// settle.
func IsCorruption(err error) bool {
	if err == nil || isEnvironment(err) {
		return false
	}
	if errors.Is(err, errTorn) || pebble.IsCorruptionError(err) {
		return true
	}
	return errors.Is(err, fs.ErrNotExist)
}

// isEnvironment reports whether err comes from the machine rather than from
// the contents of the files.
func isEnvironment(err error) bool {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no != syscall.ENOENT
	}
	return errors.Is(err, fs.ErrPermission)
}
