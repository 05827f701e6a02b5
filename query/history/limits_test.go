package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tallystick/processors/confirm"
	"tallystick/query/history"
)

// TestLongStory: an order with as many payments as confirm counts, each of them there
// more than once, has a story that says what is left out of it. What is left out can be
// asked for, and how it ended is told nevertheless.
func TestLongStory(t *testing.T) {
	const payments = confirm.MaxPayments
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	for i := range payments {
		for range 3 {
			at := noon.Add(time.Duration(i) * time.Second)
			w.pay("o", fmt.Sprintf("payment-%04d", i), at, 1)
		}
	}
	w.place("o", noon.Add(time.Hour), payments-1, 0)
	w.all()
	r := w.open()
	s := tell(w, r, "o")
	if s.State != "confirmed" || string(s.Row) != rowJSON(w, w.rows["o"]) {
		t.Errorf("it is %s", s.State)
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "after are given up to 8 MiB") {
		t.Errorf("notes: %v", s.Notes)
	}
	rows, out := 0, 0
	for _, e := range s.Events {
		switch c := e.Row; {
		case c == nil:
			continue
		case len(c.Words) > 2000:
			t.Fatalf("%d: %d bytes of words", e.No, len(c.Words))
		case c.LeftOut:
			out++
			if out%200 == 1 {
				was, err := r.At(t.Context(), "o", history.When{Place: e.Place})
				if err != nil || len(was.Row) < 1000 {
					t.Errorf("the row after %s: %v", e.Place, err)
				}
			}
		case out > 0 || c.Before == nil || c.After == nil:
			t.Fatalf("%d: rows are given behind what is left out, or not", e.No)
		}
		rows += len(e.Row.Before) + len(e.Row.After)
	}
	if rows > history.MaxRowBytes || rows < history.MaxRowBytes/2 || out == 0 {
		t.Errorf("%d bytes of rows are given, and %d times they are left out", rows, out)
	}
	text, err := json.Marshal(s)
	if err != nil || len(text) > history.MaxRowBytes+history.MaxValueBytes+8<<20 {
		t.Errorf("all of it takes %d bytes: %v", len(text), err)
	}
	if !bytes.Contains(text, []byte(`"before":null`)) ||
		bytes.Count(text, []byte(`"left_out":true`)) != out {
		t.Error("a row that is not there is not told from one that is left out")
	}
}

// TestLongValues: values beyond what a story gives are left out, from one event on.
func TestLongValues(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	w.place("o", noon, 500, 0)
	long := make([]string, 2_000)
	for i := range long {
		long[i] = fmt.Sprintf("%0190d", i)
	}
	for i := range 30 {
		w.said("o", noon.Add(time.Minute), fmt.Sprint("x", i), long)
	}
	w.begin()
	w.take(w.names.Orders, w.queue[0], false)
	w.commit()
	s := tell(w, w.open(), "o")
	given, out := 0, 0
	for _, e := range s.Events {
		if e.LeftOut {
			out++
		}
		given += len(e.Value)
	}
	if given > history.MaxValueBytes || out == 0 || !slices.ContainsFunc(s.Notes, func(n string) bool {
		return strings.Contains(n, fmt.Sprintf("those of %d events", out))
	}) {
		t.Errorf("%d bytes of values are given, %d left out: %v", given, out, s.Notes)
	}
}

// TestTooLong: of an order with more records than are read nothing is told, neither its
// story nor what it was.
func TestTooLong(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	w.place("o", noon, 500, 0)
	for i := range history.MaxRecords {
		if w.pay("o", "p", noon.Add(time.Duration(i)), 500); i%500 == 499 {
			w.all()
			w.flush()
		}
	}
	r := w.open()
	if _, err := r.Story(t.Context(), "o"); !errors.Is(err, history.ErrLong) {
		t.Errorf("got %v, want ErrLong", err)
	}
	if was, err := r.At(t.Context(), "o", history.When{}); !errors.Is(err, history.ErrLong) {
		t.Errorf("it was %+v, %v; want ErrLong", was, err)
	}
}
