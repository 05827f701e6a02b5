// Package statetest is a conformance suite for implementations of Goka's
// storage.Storage. It writes down one contract where Goka's documentation and
// its storages leave several, and lets a storage name what it does otherwise.
package statetest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lovoo/goka/storage"
)

// Features says in which points a storage is known to keep the contract. The
// zero value promises the least.
type Features struct {
	// SeekFindsSuccessor: Seek moves to the first row at or after the key,
	// not to the first whose key begins with it.
	SeekFindsSuccessor bool
	// NextAfterSeekStays: a Next that directly follows Seek stays on the row,
	// as Goka's storage documentation demands.
	NextAfterSeekStays bool
	// NilRangeIsAll: a range without start and limit has all rows.
	NilRangeIsAll bool
	// LimitExcluded: the upper limit of a range is not part of it, nor is the
	// end of a prefix.
	LimitExcluded bool
	// AnyKey: a row may have any key, "__offset" included.
	AnyKey bool
	// EmptyKey: a row may have the empty key.
	EmptyKey bool
	// SetOffset: SetOffset is what GetOffset returns. Where it is not, the
	// offset is committed by other means.
	SetOffset bool
}

// Run runs the suite. Each call of open returns a new, empty storage, which
// the suite opens; open has it closed when its test ends.
func Run(t *testing.T, f Features, open func(t *testing.T) storage.Storage) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s storage.Storage)
		skip bool
	}{
		{"AbsentIsNil", absentIsNil, false},
		{"EmptyIsNotNil", emptyIsNotNil, false},
		{"LastWriteWins", lastWriteWins, false},
		{"DeleteOfAbsent", deleteOfAbsent, false},
		{"NilIsRefused", nilIsRefused, false},
		{"Order", order, false},
		{"IteratorIsASnapshot", iteratorIsASnapshot, false},
		{"NilRangeIsAll", nilRangeIsAll, !f.NilRangeIsAll},
		{"Prefix", prefix, !f.LimitExcluded},
		{"PrefixOfHighBytes", prefixOfHighBytes, !f.LimitExcluded},
		{"Range", rangeIncluded(f.LimitExcluded), false},
		{"SeekStandsOnTheRow", seekStands, false},
		{"SeekFindsSuccessor", seekFindsSuccessor, !f.SeekFindsSuccessor},
		{"NextAfterSeekStays", nextAfterSeekStays, !f.NextAfterSeekStays},
		{"SeekPastTheEnd", seekPastTheEnd, false},
		{"SeekBack", seekBack, !f.SeekFindsSuccessor},
		{"Release", release, false},
		{"AnyKey", anyKey, !f.AnyKey},
		{"EmptyKey", emptyKey, !f.EmptyKey},
		{"OffsetDefault", offsetDefault, false},
		{"SetOffset", setOffset, !f.SetOffset},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.skip {
				t.Skip("a known deviation of this storage")
			}
			s := open(t)
			if err := s.Open(); err != nil {
				t.Fatal(err)
			}
			if err := s.MarkRecovered(); err != nil {
				t.Fatal(err)
			}
			c.test(t, s)
		})
	}
}

func set(t *testing.T, s storage.Storage, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if err := s.Set(k, []byte("value of "+k)); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, s storage.Storage, key string) []byte {
	t.Helper()
	v, err := s.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	has, err := s.Has(key)
	if err != nil {
		t.Fatal(err)
	}
	if has != (v != nil) {
		t.Errorf("Has(%q) is %v, Get gives %v", key, has, v)
	}
	return v
}

func iterate(t *testing.T, s storage.Storage, start, limit []byte) storage.Iterator {
	t.Helper()
	open := func() (storage.Iterator, error) { return s.IteratorWithRange(start, limit) }
	if start == nil && limit == nil {
		open = s.Iterator
	}
	it, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(it.Release)
	return it
}

// row returns the row that it stands on, "key=value".
func row(t *testing.T, it storage.Iterator) string {
	t.Helper()
	key := bytes.Clone(it.Key())
	value, err := it.Value()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s=%s", key, value)
}

// keys returns the keys of all that follows, each between slashes.
func keys(t *testing.T, it storage.Iterator) string {
	t.Helper()
	all := "/"
	for it.Next() {
		all += string(it.Key()) + "/"
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
