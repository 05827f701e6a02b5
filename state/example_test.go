package state_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/state"
)

// A processor writes rows in a transaction; they become visible outside, and
// are kept, when the transaction is committed.
func Example() {
	db, err := state.Open(state.Options{
		Dir: "data",
		FS:  vfs.NewMem(), // leave it out to have the database on disk
		Now: time.Now,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // an example

	table, err := db.Table(state.Identity{Topic: "shop-table", Partition: 2, Group: "shop", Format: 1})
	if err != nil {
		log.Fatal(err)
	}
	if err := table.Set("order-1", []byte("paid")); err != nil {
		log.Fatal(err)
	}
	inside, _ := table.Get("order-1")
	outside, _ := table.Committed().Get("order-1")
	fmt.Printf("before the commit: inside %q, outside %q\n", inside, outside)

	// First the rows go to the changelog, in Kafka's transaction ...
	for key, value := range table.Dirty() {
		fmt.Printf("changelog: %s=%s\n", key, value)
	}
	// ... and when that is committed, to the disk, with the last one's offset.
	if err := db.Commit(state.Commit{Table: table, Offset: 41}); err != nil {
		log.Fatal(err)
	}
	outside, _ = table.Committed().Get("order-1")
	fmt.Printf("after the commit: outside %q, offset %d\n", outside, table.Offset())
	// Output:
	// before the commit: inside "paid", outside ""
	// changelog: order-1=paid
	// after the commit: outside "paid", offset 41
}

// A table that is behind its changelog is restored from it before use.
func ExampleTable_Restore() {
	db, err := state.Open(state.Options{Dir: "data", FS: vfs.NewMem(), Now: time.Now})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // an example
	table, err := db.Table(state.Identity{Topic: "shop-table"})
	if err != nil {
		log.Fatal(err)
	}
	r := table.Restore()
	for offset, record := range []struct{ key, value string }{
		{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", ""},
	} {
		if record.value == "" {
			r.Delete([]byte(record.key))
		} else {
			r.Set([]byte(record.key), []byte(record.value))
		}
		if last := offset == 3; last || r.Bytes() > state.RestoreBatchBytes {
			if err := r.Commit(int64(offset)); err != nil {
				log.Fatal(err)
			}
		}
	}
	for row, err := range table.Committed().All("") {
		fmt.Printf("%s=%s %v\n", row.Key, row.Value, err)
	}
	// Output: a=3 <nil>
}

// An index finds rows in another order than that of their keys: here orders by their
// customers, and the rows that belong to what was found.
func ExampleTable_TrackIndex() {
	db, err := state.Open(state.Options{Dir: "data", FS: vfs.NewMem(), Now: time.Now})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // an example
	table, err := db.Table(state.Identity{Topic: "shop-table", Format: 1})
	if err != nil {
		log.Fatal(err)
	}
	table.TrackIndex(func(_ string, row []byte, entry func([]byte)) {
		customer, _, _ := bytes.Cut(row, []byte(" "))
		entry(fmt.Appendf(nil, "%s\x00", customer)) // no customer's name begins another's
	})
	for key, row := range map[string]string{
		"order-1": "carla 42.00", "order-2": "carl 12.50", "order-3": "carl 8.00",
	} {
		if err := table.Set(key, []byte(row)); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.Commit(state.Commit{Table: table, Offset: 3}); err != nil {
		log.Fatal(err)
	}
	snap, err := table.Committed().Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close() //nolint:errcheck // an example
	for found, err := range snap.Index(nil, []byte("carl\x00")) {
		if err != nil {
			log.Fatal(err)
		}
		row, err := snap.Get(found.Key)
		fmt.Printf("%s: %s %v\n", found.Key, row, err)
	}
	// Output:
	// order-2: carl 12.50 <nil>
	// order-3: carl 8.00 <nil>
}
