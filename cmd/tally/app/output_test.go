package app

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallystick/cmd/tally/app/source"
	"tallystick/query/history"
	"tallystick/query/whatif"
)

// TestShownOrder: what an event says stands last on its line, so that a long one pushes
// nothing away, and no line ends in blanks.
func TestShownOrder(t *testing.T) {
	at := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	o := shownOrder{Order: "o1", State: "confirmed", Events: []shownEvent{
		{At: at, Type: "PlaceOrder", Topic: "order-commands", Offset: 7, words: "1 line, total EUR 900"},
		{At: at, Type: "FraudCleared", Topic: "order-checks", Partition: 2, Offset: 140},
		{At: at, Type: "OrderRefused", Topic: "orders", words: strings.Repeat("x", 200)},
	}}
	var out strings.Builder
	if err := o.write(&out); err != nil {
		t.Fatal(err)
	}
	const day = "  2026-05-04 09:00:00.000  "
	want := "order o1: confirmed\n" +
		day + "PlaceOrder    order-commands/0@7  1 line, total EUR 900\n" +
		day + "FraudCleared  order-checks/2@140\n" +
		day + "OrderRefused  orders/0@0          " + strings.Repeat("x", 200) + "\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWrittenState: what the deadline of an order is for depends on how far it is.
func TestWrittenState(t *testing.T) {
	until := time.Date(2026, 5, 18, 9, 0, 0, 0, time.UTC)
	for state, want := range map[string]string{
		"pending":            "  to be paid by 2026-05-18 09:00:00.000\n",
		"awaiting its order": "  waits for its order until 2026-05-18 09:00:00.000\n",
		"confirmed":          "  settled; its row is kept as it is until 2026-05-18 09:00:00.000\n",
	} {
		var out strings.Builder
		err := writeState(&out, &history.State{Order: "o1", State: state, Deadline: &until})
		if err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s (%v)\nlacks %s", &out, err, want)
		}
	}
}

// TestWrittenAmounts: amounts are written as everywhere.
func TestWrittenAmounts(t *testing.T) {
	got := changeText(whatif.Change{
		What: whatif.Missing, Kind: "OrderConfirmed", Place: "confirmations/0@78",
		Money: &whatif.Amount{Minor: 20909, Currency: "EUR"},
	})
	if want := "missing OrderConfirmed of EUR 20,909 at confirmations/0@78"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNoLetters: where none is asked for of those that there are, that is said.
func TestNoLetters(t *testing.T) {
	for of, want := range map[int]string{
		0: "no dead letters\n", 1000: "no dead letters that fit, of 1,000\n",
	} {
		var out strings.Builder
		if err := writeLetters(&out, nil, of); err != nil || out.String() != want {
			t.Errorf("of %d: %q (%v), want %q", of, out.String(), err, want)
		}
	}
}

// TestLoadedAmounts: who loads an amount with a point is told what amounts are.
func TestLoadedAmounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "points.jsonl")
	for amount, hinted := range map[string]bool{`45.5`: true, `"45.50"`: true, `900,"x":1`: false} {
		write(t, file, `{"orderPlaced":{"orderId":"o1","total":{"minor":`+amount+`,"currency":"EUR"}}}`)
		for _, err := range source.JSONLines(file) {
			var f *failure
			if errors.As(sendError(err), &f); err == nil ||
				strings.Contains(f.hint, "minor units, for example 4500") != hinted {
				t.Errorf("%s: %v", amount, f)
			}
		}
	}
}

// TestLoadedAbout: what was sent is told by what it is about, and what it is not about
// is not told.
func TestLoadedAbout(t *testing.T) {
	for want, d := range map[string]loaded{
		"": {},
		": 3 about customers, products and stock,": {Known: 3},
		": 1,000 about orders, 2 about payments,":  {Orders: 1000, Payments: 2},
	} {
		if got := d.about(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
