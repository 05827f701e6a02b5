package state

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func cached(c *rowCache, key string) bool {
	_, _, ok := c.get(key)
	return ok
}

func TestRowCacheIsBounded(t *testing.T) {
	b := &rowBudget{limit: 10_000}
	caches := []*rowCache{b.newCache(), b.newCache()}
	for i := range 10_000 {
		c := caches[i%2]
		_, version, _ := c.get(fmt.Sprint(i))
		c.fill(fmt.Sprint(i), make([]byte, 100), version)
		if _, _, ok := caches[0].get("0"); !ok {
			t.Fatal("a row that is in use was dropped")
		}
		var all int64
		for _, c := range caches {
			for _, rows := range []map[string][]byte{c.young, c.old} {
				for k, v := range rows {
					all += rowBytes(k, v)
				}
			}
		}
		if all > b.limit+rowBytes("10000", make([]byte, 100)) {
			t.Fatalf("the cache holds %d bytes", all)
		}
	}
	if cached(caches[0], "2") {
		t.Error("a row that was not in use is still there")
	}
}

func TestRowCacheTakesNoOldRow(t *testing.T) {
	b := &rowBudget{limit: 10_000}
	c := b.newCache()
	_, version, _ := c.get("k") // a reader goes to the database
	c.commit([]*written{{key: "k", now: []byte("new")}, {key: "gone"}})
	c.fill("k", []byte("old"), version)
	if v, _, _ := c.get("k"); string(v) != "new" {
		t.Errorf("got %q", v)
	}
	c.fill("gone", []byte("old"), version)
	if cached(c, "gone") {
		t.Error("a deleted row came back")
	}
	c.commit([]*written{{key: "k"}})
	if cached(c, "k") {
		t.Error("a deleted row is still there")
	}
	c.commit([]*written{{key: "k", now: []byte("v")}})
	c.clear()
	if cached(c, "k") || b.young.Load() != 0 {
		t.Errorf("after clear: %v, %d bytes", cached(c, "k"), b.young.Load())
	}
}

func TestFilter(t *testing.T) {
	var limit atomic.Int64
	limit.Store(16 << 20)
	f := newFilter(&limit)
	if f.excludes("0") {
		t.Error("a filter that has learnt nothing excludes a row")
	}
	f.reset()
	const n = 300_000
	for i := range n {
		f.addOne(fmt.Append(nil, i))
	}
	vain := 0
	for i := range n {
		if f.excludes(fmt.Sprint(i)) {
			t.Fatalf("%d was added and is excluded", i)
		}
		if !f.excludes(fmt.Sprint("x", i)) {
			vain++
		}
	}
	if rate := float64(vain) / n; rate > 0.02 {
		t.Errorf("%.1f%% of the reads in vain are let through", rate*100)
	}
	f.retire()
	if f.excludes("x") || limit.Load() != 16<<20 {
		t.Errorf("after retire: %v, %d bytes left", f.excludes("x"), limit.Load())
	}
}

func TestFilterWithoutMemory(t *testing.T) {
	var limit atomic.Int64
	limit.Store(1 << 10)
	f := newFilter(&limit)
	f.reset()
	f.addOne([]byte("k"))
	if f.excludes("k") || f.excludes("other") {
		t.Error("a filter without memory excludes rows")
	}
	if limit.Load() != 1<<10 {
		t.Errorf("%d bytes left", limit.Load())
	}
}

// TestFilterLearns opens a table that has rows: reads in vain make the filter
// learn them, some with each commit, and no row is ever hidden.
func TestFilterLearns(t *testing.T) {
	fs, n := vfs.NewMem(), 2*filterStep+filterStep/2
	o := Options{Dir: "d", FS: fs, Now: func() time.Time { return time.Unix(1, 0) }, RowCacheBytes: -1}
	open := func() (*DB, *Table) {
		db, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		table, err := db.Table(Identity{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		return db, table
	}
	db, table := open()
	r := table.Restore()
	for i := range n {
		r.Set(fmt.Appendf(nil, "%06d", i), []byte("v"))
	}
	if err := r.Commit(1); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, table = open()
	defer db.Close() //nolint:errcheck // a test
	for commits := 1; table.filter.learnt.Load() != nil; commits++ {
		if commits > 3 {
			t.Fatal("the filter does not learn")
		}
		for i := range filterUse {
			if v, err := table.Get(fmt.Sprint("x", i)); err != nil || v != nil {
				t.Fatal(v, err)
			}
		}
		if err := db.Commit(Commit{table, 1}); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += 97 {
			if v, err := table.Get(fmt.Sprintf("%06d", i)); err != nil || v == nil {
				t.Fatalf("row %d after %d commits: %v, %v", i, commits, v, err)
			}
		}
	}
	if !table.filter.excludes("x") {
		t.Error("a row that does not exist is not excluded")
	}
}
