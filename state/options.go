package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Defaults of Options.
const (
	DefaultCacheBytes    = 256 << 20
	InMemoryCacheBytes   = 16 << 20 // of CacheBytes with InMemory: a block there is a second copy
	DefaultRowCacheBytes = 64 << 20
	DefaultFilterBytes   = 64 << 20
	DefaultMemTableBytes = 32 << 20
)

// Options says where a database is and how much memory it may take.
type Options struct {
	// Dir is the directory of the database. What had to be set aside goes to
	// the directory next to it that has "-aside" at the end of its name.
	Dir string
	// InMemory keeps the database in memory: it begins empty and ends with the
	// DB. Neither Dir nor FS may be given. What would have to be set aside is
	// dropped.
	InMemory bool
	// FS is the file system that holds Dir; nil means the disk.
	FS vfs.FS
	// CacheBytes bounds Pebble's cache of blocks together with its memtables, which
	// come first: no more than one or two of them leaves no blocks. RowCacheBytes
	// bounds the cache of committed rows. Zero means the default; a negative
	// RowCacheBytes means no row cache.
	CacheBytes, RowCacheBytes int64
	// FilterBytes bounds the filters that answer reads of rows that do not
	// exist, 1.5 bytes or more per row. A table that gets none is slower. Zero
	// means the default; a negative number means no filters.
	FilterBytes int64
	// MemTableBytes is the size of one of Pebble's memtables, of which a few
	// may exist at a time. Zero means the default.
	MemTableBytes uint64
	// Logger is told what happens to the database, at debug level except for
	// what an operator must know. Nil means nobody is.
	Logger *slog.Logger
	// Now is the clock. It is required.
	Now func() time.Time
	// BootID returns an id of the machine that is another one after each of its
	// starts, or "" if there is none: see [Table.Check]. Nil means that of Linux.
	BootID func() string
	// Tune, if not nil, may change Pebble's options after they were set. It
	// is meant for tests.
	Tune func(*pebble.Options)
}

func (o Options) withDefaults() (Options, error) {
	if o.InMemory {
		if o.Dir != "" || o.FS != nil {
			return o, errors.New("state: options: neither Dir nor FS goes with InMemory")
		}
		o.Dir, o.FS, o.CacheBytes = "memory", vfs.NewMem(), cmp.Or(o.CacheBytes, InMemoryCacheBytes)
	}
	if o.Dir == "" {
		return o, errors.New("state: options: need Dir")
	}
	if o.Now == nil {
		return o, errors.New("state: options: need Now")
	}
	if o.CacheBytes < 0 {
		return o, fmt.Errorf("state: options: CacheBytes is %d", o.CacheBytes)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.RowCacheBytes == 0 {
		o.RowCacheBytes = DefaultRowCacheBytes
	}
	if o.FilterBytes == 0 {
		o.FilterBytes = DefaultFilterBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.BootID == nil {
		o.BootID = systemBoot
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// pebble returns Pebble's options, tuned for reads of single rows of which
// about half find nothing: the first half of every pair is looked up in vain.
func (o Options) pebble() *pebble.Options {
	p := &pebble.Options{
		FS: o.FS,
		// A fixed version, so that an update of Pebble does not change the
		// files of a worker behind its operator's back. This one has a checksum
		// in every part of every file.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		CacheSize:          o.CacheBytes,
		MemTableSize:       o.MemTableBytes, // a large skiplist makes reads slow
		Merger:             counting,
		Logger:             pebbleLogger{o.Logger},
		DisableWAL:         o.InMemory, // it would be lost with what it is to save
	}
	for i := range p.Levels {
		l := &p.Levels[i]
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.BlockSize = 4 << 10
		// One level of index: two would cost every read another block.
		l.IndexBlockSize = 256 << 10
		l.Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	p.TargetFileSizes[0] = 16 << 20
	// Compact late: most reads end in the cache or in the filter above, and
	// each compaction that is not made saves more than the others lose.
	p.L0CompactionThreshold = 8
	p.L0StopWritesThreshold = 24
	if o.InMemory {
		p.L0CompactionThreshold = 4 // rows that were replaced take memory until then
	}
	if o.Tune != nil {
		o.Tune(p)
	}
	p.FS = orderedFS{p.FS}
	return p
}

// A pebbleLogger hands Pebble's log to slog.
type pebbleLogger struct{ to *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.to.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process, as Pebble demands: it calls it when it can no
// longer write its files. The changelog still has everything.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.to.Error("pebble: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}
