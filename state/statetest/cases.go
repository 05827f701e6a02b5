package statetest

import (
	"testing"

	"github.com/lovoo/goka/storage"
)

func absentIsNil(t *testing.T, s storage.Storage) {
	if v := get(t, s, "nothing"); v != nil {
		t.Errorf("got %q, want nil", v)
	}
}

func emptyIsNotNil(t *testing.T, s storage.Storage) {
	if err := s.Set("empty", []byte{}); err != nil {
		t.Fatal(err)
	}
	if v := get(t, s, "empty"); v == nil || len(v) != 0 {
		t.Errorf("got %#v, want an empty value", v)
	}
	it := iterate(t, s, nil, nil)
	if !it.Next() {
		t.Fatal("no row")
	}
	want(t, row(t, it), "empty=")
}

func lastWriteWins(t *testing.T, s storage.Storage) {
	for _, v := range []string{"one", "two", "three"} {
		if err := s.Set("k", []byte(v)); err != nil {
			t.Fatal(err)
		}
		want(t, string(get(t, s, "k")), v)
	}
	if err := s.Delete("k"); err != nil {
		t.Fatal(err)
	}
	if v := get(t, s, "k"); v != nil {
		t.Errorf("got %q after the deletion", v)
	}
	set(t, s, "k")
	want(t, string(get(t, s, "k")), "value of k")
}

func deleteOfAbsent(t *testing.T, s storage.Storage) {
	if err := s.Delete("nothing"); err != nil {
		t.Error(err)
	}
}

func nilIsRefused(t *testing.T, s storage.Storage) {
	if err := s.Set("k", nil); err == nil {
		t.Error("a nil value was taken")
	}
}

func order(t *testing.T, s storage.Storage) {
	set(t, s, "b", "a", "ab", "\xff", "B", "\x00")
	want(t, keys(t, iterate(t, s, nil, nil)), "/\x00/B/a/ab/b/\xff/")
}

func iteratorIsASnapshot(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b", "c")
	it := iterate(t, s, nil, nil)
	set(t, s, "aa", "d")
	if err := s.Delete("b"); err != nil {
		t.Fatal(err)
	}
	want(t, keys(t, it), "/a/b/c/")
	want(t, keys(t, iterate(t, s, nil, nil)), "/a/aa/c/d/")
}

func nilRangeIsAll(t *testing.T, s storage.Storage) {
	set(t, s, "a", "\xff\xff")
	it, err := s.IteratorWithRange(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Release()
	want(t, keys(t, it), "/a/\xff\xff/")
}

func prefix(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b", "b1", "b2", "bb", "c")
	want(t, keys(t, iterate(t, s, []byte("b"), nil)), "/b/b1/b2/bb/")
	want(t, keys(t, iterate(t, s, []byte("d"), nil)), "/")
}

func prefixOfHighBytes(t *testing.T, s storage.Storage) {
	set(t, s, "a\xff", "a\xff\xff", "a\xffb", "b")
	want(t, keys(t, iterate(t, s, []byte("a\xff"), nil)), "/a\xff/a\xffb/a\xff\xff/")
}

func rangeIncluded(limitExcluded bool) func(*testing.T, storage.Storage) {
	return func(t *testing.T, s storage.Storage) {
		set(t, s, "a", "b", "c", "d")
		got := keys(t, iterate(t, s, []byte("b"), []byte("d")))
		if limitExcluded {
			want(t, got, "/b/c/")
		} else if got != "/b/c/" && got != "/b/c/d/" {
			t.Errorf("got %q", got)
		}
	}
}

func seekStands(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b", "c")
	it := iterate(t, s, nil, nil)
	if !it.Seek([]byte("b")) {
		t.Fatal("not found")
	}
	want(t, row(t, it), "b=value of b")
	want(t, keys(t, it), "/c/")
}

func seekFindsSuccessor(t *testing.T, s storage.Storage) {
	set(t, s, "a", "c", "e")
	it := iterate(t, s, nil, nil)
	if !it.Seek([]byte("b")) {
		t.Fatal("not found")
	}
	want(t, row(t, it), "c=value of c")
	want(t, keys(t, it), "/e/")
	// A key before the range finds its first row.
	it = iterate(t, s, []byte("c"), []byte("z"))
	if !it.Seek([]byte("a")) {
		t.Fatal("not found")
	}
	want(t, row(t, it), "c=value of c")
}

func nextAfterSeekStays(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b", "c")
	it := iterate(t, s, nil, nil)
	if !it.Seek([]byte("b")) {
		t.Fatal("not found")
	}
	want(t, keys(t, it), "/b/c/")
}

func seekPastTheEnd(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b")
	it := iterate(t, s, nil, nil)
	if it.Seek([]byte("c")) {
		t.Error("found something")
	}
	if it.Next() {
		t.Error("there is a next row")
	}
}

func seekBack(t *testing.T, s storage.Storage) {
	set(t, s, "a", "b", "c")
	it := iterate(t, s, nil, nil)
	want(t, keys(t, it), "/a/b/c/")
	if !it.Seek([]byte("a")) {
		t.Fatal("not found")
	}
	want(t, row(t, it), "a=value of a")
}

func release(t *testing.T, s storage.Storage) {
	set(t, s, "a")
	it := iterate(t, s, nil, nil)
	it.Release()
	if it.Next() {
		t.Error("a released iterator has a row")
	}
	it.Release()
}

func anyKey(t *testing.T, s storage.Storage) {
	odd := []string{"\x00", "__offset", "m", "r", "\xff\xff\xff\xff\xff"}
	set(t, s, odd...)
	for _, k := range odd {
		want(t, string(get(t, s, k)), "value of "+k)
	}
	want(t, keys(t, iterate(t, s, nil, nil)), "/\x00/__offset/m/r/\xff\xff\xff\xff\xff/")
	if o, err := s.GetOffset(-7); err != nil || o != -7 {
		t.Errorf("got offset %d, %v", o, err)
	}
}

func emptyKey(t *testing.T, s storage.Storage) {
	set(t, s, "", "a")
	want(t, string(get(t, s, "")), "value of ")
	want(t, keys(t, iterate(t, s, nil, nil)), "//a/")
}

func offsetDefault(t *testing.T, s storage.Storage) {
	if o, err := s.GetOffset(-2); err != nil || o != -2 {
		t.Errorf("got %d, %v, want -2", o, err)
	}
}

func setOffset(t *testing.T, s storage.Storage) {
	for _, o := range []int64{0, 1, 1 << 40} {
		if err := s.SetOffset(o); err != nil {
			t.Fatal(err)
		}
		if got, err := s.GetOffset(-1); err != nil || got != o {
			t.Errorf("got %d, %v, want %d", got, err, o)
		}
	}
}
