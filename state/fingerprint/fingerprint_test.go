package fingerprint_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tallystick/state/fingerprint"
)

func of(rows map[string]string) fingerprint.Sum {
	var s fingerprint.Sum
	for k, v := range rows {
		s.Add(k, []byte(v))
	}
	return s
}

// TestKnownFingerprint holds the definition, by values that were computed with
// another implementation of XXH64.
func TestKnownFingerprint(t *testing.T) {
	var s fingerprint.Sum
	is := func(want string, rows int64) {
		t.Helper()
		if got := s.String(); got != want || s.Rows() != rows {
			t.Errorf("got %s of %d rows, want %s of %d", got, s.Rows(), want, rows)
		}
	}
	is("00000000000000000000000000000000", 0)
	s.Add("order-1", []byte("paid"))
	is("988ba9496ce9cf9817cc16769ff61165", 1)
	s.Add("order-2", []byte("a longer value of more than thirty-two bytes"))
	is("183a590cfa0e5699d1e791d60d120add", 2)
	s = fingerprint.Sum{}
	s.Add("order-3", bytes.Repeat([]byte("0123456789"), 100))
	is("33417496d422b1c8d8a53f48385b79bd", 1)
}

// TestOrderDoesNotMatter makes sets by any changes, and compares them with those
// that are made at once.
func TestOrderDoesNotMatter(t *testing.T) {
	key := rapid.SampledFrom([]string{"", "a", "aa", "ab", "b"})
	value := rapid.SampledFrom([]string{"", "a", "b", "ba", "a value that fills more than a block"})
	rapid.Check(t, func(t *rapid.T) {
		var s fingerprint.Sum
		rows := map[string]string{}
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			k := key.Draw(t, "key")
			if was, ok := rows[k]; ok {
				s.Remove(k, []byte(was))
				delete(rows, k)
			}
			if rapid.Bool().Draw(t, "set") {
				rows[k] = value.Draw(t, "value")
				s.Add(k, []byte(rows[k]))
			}
		}
		if s != of(rows) || s.Rows() != int64(len(rows)) {
			t.Errorf("got %s of %d rows, want %s of %v", s, s.Rows(), of(rows), rows)
		}
		other := rapid.MapOf(key, value).Draw(t, "other rows")
		if s == of(other) != maps.Equal(rows, other) {
			t.Errorf("%v and %v have the fingerprints %s and %s", rows, other, s, of(other))
		}
	})
}

// TestKeyAndValueAreApart: what moves from a key to its value, or from one row to
// another, is noticed.
func TestKeyAndValueAreApart(t *testing.T) {
	for _, rows := range [][2]map[string]string{
		{{"ab": "c"}, {"a": "bc"}},
		{{"a": "1", "b": "2"}, {"a": "2", "b": "1"}},
		{{"a": ""}, {"": "a"}},
		{{"a": "", "": "a"}, {"a": "a", "": ""}},
	} {
		if of(rows[0]) == of(rows[1]) {
			t.Errorf("%v and %v have the same fingerprint", rows[0], rows[1])
		}
	}
}

// TestDoubledRows: rows that cancel each other out in a sum modulo two do not.
func TestDoubledRows(t *testing.T) {
	var s fingerprint.Sum
	s.Add("a", []byte("1"))
	s.Add("a", []byte("1"))
	if s.String() == (fingerprint.Sum{}).String() {
		t.Error("a row that is there twice leaves no trace")
	}
}

func TestTextAndBytes(t *testing.T) {
	s := of(map[string]string{"a": "1", "b": "2"})
	got, err := fingerprint.Parse(s.String(), s.Rows())
	if err != nil || got != s {
		t.Errorf("parsed %s: got %s, %v", s, got, err)
	}
	b := s.Append([]byte("x"))
	if again, err := fingerprint.Read(b[1:]); err != nil || again != s {
		t.Errorf("read %x: got %s, %v", b, again, err)
	}
	if _, err := fingerprint.Read(b[2:]); err == nil {
		t.Error("took what is cut off")
	}
	for _, bad := range []string{"", "00", s.String() + "00", "g" + s.String()[1:]} {
		if _, err := fingerprint.Parse(bad, 1); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if _, err := fingerprint.Parse(s.String(), -1); err == nil {
		t.Error("took a negative number of rows")
	}
}

func TestMerge(t *testing.T) {
	a, b := map[string]string{"a": "1", "b": "2"}, map[string]string{"c": "3"}
	got := of(a)
	got.Merge(of(b))
	maps.Copy(a, b)
	if got != of(a) {
		t.Errorf("got %s, want %s", got, of(a))
	}
}

func BenchmarkAdd(b *testing.B) {
	value := make([]byte, 100)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	keys := slices.Repeat([]string{"order-000000001", "order-000000002"}, 4)
	var s fingerprint.Sum
	for i := 0; b.Loop(); i++ {
		s.Add(keys[i%8], value)
	}
}
