package state

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// boots counts how often machines were started.
var boots atomic.Int64

var crashSeeds = flag.Int("crash-seeds", 100, "how many crashes TestCrashLeavesAPrefix makes")

// A tableState is what a table holds, a moment what all tables hold. After a
// crash the database must be at some moment of its history.
type tableState struct {
	offset int64
	rows   map[string]string
}

type moment [3]tableState

func (m moment) clone() moment {
	for i := range m {
		m[i].rows = maps.Clone(m[i].rows)
	}
	return m
}

func (m moment) equal(o moment) bool {
	for i := range m {
		if m[i].offset != o[i].offset || !maps.Equal(m[i].rows, o[i].rows) {
			return false
		}
	}
	return true
}

func (m moment) String() string {
	var s strings.Builder
	for i, t := range m {
		fmt.Fprintf(&s, "table %d: offset %d, %d rows; ", i, t.offset, len(t.rows))
	}
	return s.String()
}

func crashOptions(fs vfs.FS) Options {
	return Options{
		Dir: "data", FS: fs, CacheBytes: 1 << 20, RowCacheBytes: 16 << 10, MemTableBytes: 64 << 10,
		Now: func() time.Time { return time.Unix(1, 0) }, BootID: func() string { return "first" },
		Tune: func(p *pebble.Options) {
			p.TargetFileSizes[0] = 16 << 10
			p.LBaseMaxBytes = 64 << 10
			p.L0CompactionThreshold = 1
		},
	}
}

func crashIdentity(partition int) Identity {
	return Identity{Cluster: "c", Topic: "t", Partition: int32(partition), Group: "g"}
}

// crashTable opens a table whose rows have deadlines and index entries.
func crashTable(db *DB, partition int) (*Table, error) {
	table, err := db.Table(crashIdentity(partition))
	if err != nil {
		return nil, err
	}
	table.TrackDeadlines(func(row []byte) int64 { return int64(len(row) % 7) })
	table.TrackIndex(crashEntries)
	if sound, err := table.Check(context.Background()); err != nil || !sound {
		return nil, fmt.Errorf("%v: sound: %v, %w", table.id, sound, errors.Join(errFingerprint, err))
	}
	return table, nil
}

func crashEntries(_ string, row []byte, entry func([]byte)) {
	entry(row[:1])
	entry([]byte{byte(len(row) % 5), 0})
}

// A crasher runs transactions and copies the file system as a crash would
// leave it, at one of the writes.
type crasher struct {
	rng     *rand.Rand
	mem     *vfs.MemFS
	percent int
	at      int64 // the write before which to crash
	writes  atomic.Int64
	crashed atomic.Pointer[vfs.MemFS]

	history []moment
	open    atomic.Bool // since Open has returned, and until Close is called
	up      bool        // it was open at the crash
	// split is the mistake that the suite has to notice: offsets that are
	// written in a batch of their own.
	split bool
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.writes.Add(1) == c.at {
		rng := rand.New(rand.NewPCG(uint64(c.at), 1))
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: rng}
		c.up = c.open.Load()
		c.crashed.Store(c.mem.CrashClone(cfg))
	}
	if op.Kind == errorfs.OpLink {
		return errors.New("no links") // MemFS.Link and CrashClone can wait for each other for ever
	}
	return nil
}

func (*crasher) String() string { return "crasher" }

// live opens the database over and over and commits to it until the crash.
func (c *crasher) live(t *testing.T) {
	now := moment{{offset: noOffset}, {offset: noOffset}, {offset: noOffset}}
	for i := range now {
		now[i].rows = map[string]string{}
	}
	c.history = append(c.history, now.clone())
	for c.crashed.Load() == nil {
		db, err := Open(crashOptions(errorfs.Wrap(c.mem, c)))
		if err != nil {
			t.Fatal(err)
		}
		c.open.Store(true)
		var tables []*Table
		for i := range now {
			table, err := crashTable(db, i)
			if err != nil {
				t.Fatal(err)
			}
			tables = append(tables, table)
		}
		for range 5 + c.rng.IntN(60) {
			if c.crashed.Load() == nil {
				c.step(t, db, tables, &now)
			}
		}
		c.open.Store(false)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// step makes one change to the database. It notes the outcome first: whether a
// crash within the step has it is open.
func (c *crasher) step(t *testing.T, db *DB, tables []*Table, now *moment) {
	next := now.clone()
	i := c.rng.IntN(len(tables))
	var change func() error
	switch p := c.rng.IntN(100); {
	case p < 2:
		next[i] = tableState{noOffset, map[string]string{}}
		change = func() error { return tables[i].Reset("a test") }
	case p < 20:
		change = c.restore(tables[i], &next[i])
	default:
		change = c.commit(db, tables, &next)
	}
	c.history = append(c.history, next.clone())
	if err := change(); err != nil {
		t.Fatal(err)
	}
	*now = next
}

// offset returns a new offset: they never repeat, so that a moment can be told
// from all others.
func (c *crasher) offset() int64 { return int64(len(c.history)) }

func (c *crasher) row() (key, value string) {
	pad := strings.Repeat("x", c.rng.IntN(1500))
	return fmt.Sprint("k", c.rng.IntN(40)), fmt.Sprint(c.offset(), pad)
}

func (c *crasher) restore(table *Table, next *tableState) func() error {
	r := table.Restore()
	for range c.rng.IntN(60) {
		if key, value := c.row(); c.rng.IntN(5) == 0 {
			r.Delete([]byte(key))
			delete(next.rows, key)
		} else {
			r.Set([]byte(key), []byte(value))
			next.rows[key] = value
		}
	}
	next.offset = c.offset()
	return func() error { return r.Commit(next.offset) }
}

func (c *crasher) commit(db *DB, tables []*Table, next *moment) func() error {
	var cs []Commit
	for i, table := range tables {
		if c.rng.IntN(3) == 0 {
			continue
		}
		for range c.rng.IntN(6) {
			if key, value := c.row(); c.rng.IntN(5) == 0 {
				_ = table.Delete(key)
				delete(next[i].rows, key)
			} else {
				_ = table.Set(key, []byte(value))
				next[i].rows[key] = value
			}
		}
		next[i].offset = c.offset()
		cs = append(cs, Commit{table, next[i].offset})
	}
	if c.split {
		return func() error { return splitCommit(db, cs) }
	}
	return func() error { return db.Commit(cs...) }
}

// splitCommit is Commit with the mistake: rows first, offsets after.
func splitCommit(db *DB, cs []Commit) error {
	for _, c := range cs {
		for k, v := range c.Table.Dirty() {
			var err error
			if v == nil {
				err = db.pebble.Delete(append(c.Table.prefix[:], k...), pebble.NoSync)
			} else {
				err = db.pebble.Set(append(c.Table.prefix[:], k...), v, pebble.NoSync)
			}
			if err != nil {
				return err
			}
		}
		c.Table.Rollback()
	}
	if err := db.pebble.LogData(nil, pebble.Sync); err != nil { // gives the crash its chance
		return err
	}
	return db.Commit(cs...)
}

// verdict opens what the crash left and compares it with the history.
func (c *crasher) verdict() error {
	got, doubted, err := look(c.crashed.Load())
	if err != nil {
		return err
	}
	if c.up && !doubted {
		return errors.New("nothing is in doubt")
	}
	last := c.history[len(c.history)-1]
	for _, m := range c.history {
		if got.equal(m) {
			return nil
		}
	}
	return fmt.Errorf("got %v, which never was; last was %v", got, last)
}

// look opens what a crash of the machine left, and reports whether all of it was in
// doubt. It turns out to be sound.
func look(fs vfs.FS) (got moment, doubted bool, err error) {
	var log strings.Builder
	o := crashOptions(fs)
	o.BootID = func() string { return fmt.Sprint(boots.Add(1)) }
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	db, err := Open(o)
	if err != nil {
		return got, false, err
	}
	defer db.Close() //nolint:errcheck // a test
	if db.Recovered() != "" {
		return got, false, fmt.Errorf("the database was set aside: %s", &log)
	}
	doubted = len(db.doubts) == len(db.held)
	for i := range got {
		table, err := crashTable(db, i)
		if err != nil {
			return got, false, err
		}
		if got[i], err = contents(table); err != nil {
			return got, false, err
		}
		if err := derived(table, got[i].rows); err != nil {
			return got, false, err
		}
	}
	return got, doubted, nil
}

// errFingerprint means that rows are not those of which the table has kept the
// fingerprint.
var errFingerprint = errors.New("the fingerprint is of other rows")

// contents reads a table by scan, and each row by key as well.
func contents(table *Table) (tableState, error) {
	got := tableState{table.Offset(), map[string]string{}}
	var sum Fingerprint
	for row, err := range table.Committed().All("") {
		if err != nil {
			return got, err
		}
		got.rows[row.Key] = string(row.Value)
		sum.Add(row.Key, row.Value)
	}
	if sum != table.Fingerprint() {
		return got, errFingerprint
	}
	for k, want := range got.rows {
		if v, err := table.Get(k); err != nil || string(v) != want {
			return got, fmt.Errorf("get %q: got %d bytes, %w, want %d", k, len(v), err, len(want))
		}
	}
	return got, nil
}

// derived compares what is kept beside the rows with what follows from them.
func derived(table *Table, rows map[string]string) error {
	entries, deadlines := map[string]bool{}, map[Due]bool{}
	for k, v := range rows {
		crashEntries(k, []byte(v), func(e []byte) { entries[fmt.Sprintf("%q of %q", e, k)] = true })
		if at := table.deadline([]byte(v)); at != 0 {
			deadlines[Due{k, at}] = true
		}
	}
	for row, err := range table.Committed().Index(nil, nil) {
		e := fmt.Sprintf("%q of %q", row.Entry, row.Key)
		if err != nil || !entries[e] {
			return fmt.Errorf("the index has %s, %w", e, err)
		}
		delete(entries, e)
	}
	due, err := table.Due(math.MaxInt64, len(rows)+1, nil)
	if err != nil {
		return err
	}
	for _, d := range due {
		if !deadlines[d] {
			return fmt.Errorf("%v is no deadline", d)
		}
		delete(deadlines, d)
	}
	if len(entries) != 0 || len(deadlines) != 0 {
		return fmt.Errorf("missing are entries %v and deadlines %v", entries, deadlines)
	}
	return nil
}

func newCrasher(seed uint64, split bool) *crasher {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := &crasher{rng: rng, mem: vfs.NewCrashableMem(), split: split}
	c.percent = []int{0, 100, rng.IntN(101), rng.IntN(101)}[seed%4]
	c.at = 1 + rng.Int64N(800)
	return c
}

// TestCrashLeavesAPrefix crashes at some write of Pebble's, those of Open and
// Close included, with some part of what was not synced lost. What is left
// must be all tables at one moment of their history; no crash may cause a
// database to be set aside. Then it crashes again while that is opened.
func TestCrashLeavesAPrefix(t *testing.T) {
	for seed := range *crashSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCrasher(uint64(seed), false)
			c.live(t)
			image := c.crashed.Load()
			if err := c.verdict(); err != nil {
				t.Fatalf("crash at write %d, %d%% kept: %v", c.at, c.percent, err)
			}
			for at := int64(1); at < 40; at += 1 + c.rng.Int64N(4) {
				again := &crasher{
					rng: c.rng, mem: image, percent: c.rng.IntN(100), at: at, history: c.history,
				}
				if _, _, err := look(errorfs.Wrap(image, again)); err != nil {
					t.Fatal(err)
				}
				if again.crashed.Load() == nil {
					break
				}
				if err := again.verdict(); err != nil {
					t.Fatalf("crash at write %d of Open, %d%% kept: %v", at, again.percent, err)
				}
			}
		})
	}
}

// TestSplitCommitIsNoticed shows that the test above can fail.
func TestSplitCommitIsNoticed(t *testing.T) {
	noticed := 0
	for seed := range 60 {
		c := newCrasher(uint64(seed), true)
		c.live(t)
		if c.verdict() != nil {
			noticed++
		}
	}
	if noticed == 0 {
		t.Error("offsets in a batch of their own went unnoticed")
	}
	t.Logf("noticed in %d of 60 crashes", noticed)
}
