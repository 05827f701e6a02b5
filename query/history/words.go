package history

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/processors/orders"
	"tallystick/query/reading"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// changed says in a few words what became of a row.
func changed(before, after *confirm.Row) string {
	switch {
	case after == nil:
		return sum(before) + " → forgotten"
	case before != nil && before.Digest == nil && after.Digest != nil:
		return sum(before) + " → cut down to a digest"
	}
	is := words(after)
	var was []string
	if before != nil {
		was = words(before)
	}
	only := func(these, those []string) string {
		known := make(map[string]bool, len(those))
		for _, word := range those {
			known[word] = true
		}
		return list(slices.DeleteFunc(slices.Clone(these), func(word string) bool { return known[word] }))
	}
	left, right := only(was, is), only(is, was)
	if left == "" && right == "" {
		return list(is) // what changed is not worth words
	}
	return strings.TrimSpace(left + " → " + right)
}

// sum says in a few words what is in a row.
func sum(row *confirm.Row) string { return list(words(row)) }

// maxParts is how many parts of a row are put into words; it can have a thousand
// payments.
const maxParts = 20

// list joins the parts of a row.
func list(parts []string) string {
	if more := len(parts) - maxParts; more > 0 {
		parts = append(slices.Clone(parts[:maxParts]), "and "+reading.Thousands(int64(more))+" more")
	}
	return strings.Join(parts, ", ")
}

// words are the parts of sum.
func words(row *confirm.Row) []string {
	words := []string{stateOf(row)}
	total, currency := price(row)
	if currency != "" {
		words = append(words, reading.Thousands(paid(row))+" of "+currency+" "+
			reading.Thousands(total)+" paid")
	}
	_, fates := confirm.Dispositions(row)
	for i := range fates {
		f := &fates[i]
		if currency == "" && f.Pending > 0 {
			words = append(words, f.PaymentID+" "+f.Currency+" "+reading.Thousands(f.Pending)+" waiting")
		}
		if fate := fateOf(f); fate != "" {
			words = append(words, cmp.Or(f.PaymentID, "a payment")+" "+fate)
		}
	}
	if row.CancelRefused {
		words = append(words, "a cancel refused")
	}
	return words
}

// stateOf names the state of a row.
func stateOf(row *confirm.Row) string {
	if row == nil {
		return ""
	}
	if state, _ := confirm.Dispositions(row); state != "" {
		return string(state)
	}
	if row.State == tallyv1.ConfirmRow_ABANDONED {
		return "its order never came"
	}
	return "awaiting its order"
}

// price returns the total of a row and its currency, which is empty if the order
// has not come.
func price(row *confirm.Row) (minor int64, currency string) {
	if row.Placed || row.Digest == nil {
		return row.Order.Total, row.Order.Currency
	}
	return row.Digest.Order.Total, row.Digest.Order.Currency
}

// paid is what counts, or has counted, for the order.
func paid(row *confirm.Row) int64 {
	var minor int64
	_, fates := confirm.Dispositions(row)
	for i := range fates {
		minor += fates[i].Confirmed + fates[i].Pending
	}
	return minor
}

// fateOf says how the money of a payment ended, as far as it is not in the sum of
// what is paid.
func fateOf(f *confirm.Fate) string {
	var words []string
	for _, part := range []struct {
		minor int64
		name  string
	}{
		{f.Excess, "excess"},
		{f.Mismatched, "mismatched"},
		{f.Unmatched, "unmatched"},
		{f.Expired, "to go back"},
		{f.Late, "late"},
		{f.Reversed, "reversed"},
	} {
		if part.minor > 0 {
			words = append(words, reading.Thousands(part.minor)+" "+part.name)
		}
	}
	if f.ReversedLate {
		words = append(words, "reversed too late")
	}
	return strings.Join(words, " and ")
}

// orderRows applies the rules of the service orders to commands in their order, and
// returns what each did to the row. Those that it would refuse to read did nothing.
func orderRows(order string, asked []*kgo.Record) (map[Place]*Change, error) {
	steps := map[Place]*Change{}
	var row *orders.Row
	was := null
	for _, k := range asked {
		m, err := schemas.OrderCommands.Unmarshal(k.Value)
		if err != nil || schemas.CheckKey(order, m) != nil {
			continue
		}
		next, _ := orders.Step(orders.Rules{}, row, orders.OfCommand(m, k.Timestamp))
		if next == row {
			continue
		}
		b, err := schemas.OrderRows.JSON(next)
		if err != nil {
			return nil, err
		}
		words := "→ placed"
		if next.GetCancel() != nil {
			words = "placed → cancelled"
		}
		steps[placeOf(k)] = &Change{
			Processor: topology.Orders, Before: was, After: json.RawMessage(b), Words: words,
		}
		row, was = next, b
	}
	return steps, nil
}
