package audit

import (
	"bytes"
	"fmt"
	"slices"

	"tallystick/processors/confirm"
	"tallystick/schemas"
)

// maxMerges bounds how many merges of a key's two inputs are tried.
const maxMerges = 2000

// compare applies the rules to what came in for a key, and holds what they give
// against what was said and what is in the table.
func (s *Shard) compare(key string, h *history) {
	if !mergeMatters(h) {
		want := s.outcome(nil, slices.Concat(h.orders, h.payments))
		s.exactly(key, h, want)
		s.report.Compared.Exactly++
		return
	}
	if merges(len(h.orders), len(h.payments)) > maxMerges {
		s.report.Compared.ByMoney++
		return
	}
	s.report.Compared.ByMerge++
	if !s.someMerge(h, outcome{}, h.orders, h.payments) {
		s.differ(kindRow, key, "no merge of its %d orders' and %d payments' records gives its row, "+
			"its %d confirmations and its %d exceptions", len(h.orders), len(h.payments),
			len(h.confirmations), len(h.exceptions))
	}
}

// mergeMatters tells whether the result depends on how the two inputs of the
// key were merged, which nobody recorded.
func mergeMatters(h *history) bool {
	for _, in := range h.orders {
		if _, ended := in.(confirm.Ended); ended && len(h.orders)+len(h.payments) > 1 {
			return true
		}
	}
	for _, in := range h.payments {
		if _, reversed := in.(confirm.Reversed); reversed {
			return len(h.orders) > 0
		}
	}
	return false
}

// merges is in how many ways two sequences can be merged, cut off well above
// the limit.
func merges(a, b int) int {
	n := 1
	for i := 1; i <= min(a, b); i++ {
		n = n * (max(a, b) + i) / i
		if n > 1000*maxMerges {
			break
		}
	}
	return n
}

// An outcome is what the rules give: the row, and all that is said on the way.
type outcome struct {
	row                       *confirm.Row
	confirmations, exceptions [][]byte
	err                       error
}

// outcome applies the rules to the inputs, in their order.
func (s *Shard) outcome(row *confirm.Row, inputs []confirm.Event) outcome {
	o := outcome{row: row}
	for _, in := range inputs {
		o = s.then(o, in)
	}
	return o
}

// then is the outcome after one more input. The one before stays as it is.
func (s *Shard) then(o outcome, in confirm.Event) outcome {
	next, said := confirm.Step(s.rules, o.row, in)
	o.row = next
	if said.Confirmed != nil {
		value, err := schemas.Confirmations.Marshal(said.Confirmed)
		o.confirmations, o.err = append(slices.Clip(o.confirmations), value), firstOf(o.err, err)
	}
	for _, e := range said.Exceptions {
		value, err := schemas.Exceptions.Marshal(e)
		o.exceptions, o.err = append(slices.Clip(o.exceptions), value), firstOf(o.err, err)
	}
	return o
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// someMerge tries the merges of what is left of the two inputs after o until one
// gives what was found.
func (s *Shard) someMerge(h *history, o outcome, orders, payments []confirm.Event) bool {
	if len(orders) == 0 && len(payments) == 0 {
		return s.equal(h, o)
	}
	if len(orders) > 0 && s.someMerge(h, s.then(o, orders[0]), orders[1:], payments) {
		return true
	}
	return len(payments) > 0 && s.someMerge(h, s.then(o, payments[0]), orders, payments[1:])
}

// equal tells whether what was found is o.
func (s *Shard) equal(h *history, o outcome) bool {
	row, err := schemas.ConfirmRows.Marshal(o.row)
	if err != nil || o.err != nil || !bytes.Equal(row, h.row) {
		return false
	}
	missing, extra := s.unequal(o.confirmations, h.confirmations)
	if len(missing)+len(extra) > 0 {
		return false
	}
	missing, extra = s.unequal(o.exceptions, h.exceptions)
	return len(missing)+len(extra) == 0
}

// exactly names everything in which what was found is not what the rules give.
func (s *Shard) exactly(key string, h *history, want outcome) {
	if want.err != nil {
		s.differ(kindRow, key, "what the rules say cannot be written: %v", want.err)
		return
	}
	row, err := schemas.ConfirmRows.Marshal(want.row)
	if err != nil || !bytes.Equal(row, h.row) {
		s.differ(kindRow, key, "the table has %s, the rules give %s", rowText(h.row), rowText(row))
	}
	s.said(kindConfirmation, key, want.confirmations, h.confirmations, confirmationText)
	s.said(kindException, key, want.exceptions, h.exceptions, exceptionText)
}

// said compares one topic.
func (s *Shard) said(kind, key string, want [][]byte, got []output, text func([]byte) string) {
	missing, extra := s.unequal(want, got)
	for len(missing) > 0 && len(extra) > 0 {
		s.report.differ(Difference{
			kind, key, fmt.Sprintf("offset %d", extra[0].offset),
			fmt.Sprintf("it says %s, the rules give %s", text(extra[0].value), text(missing[0])),
		})
		missing, extra = missing[1:], extra[1:]
	}
	for _, m := range missing {
		s.differ(kind, key, "it is missing: %s", text(m))
	}
	for _, e := range extra {
		what := "it should not be there: "
		if slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(w, e.value) }) {
			what = "it is there once too often: "
		}
		s.report.differ(Difference{kind, key, fmt.Sprintf("offset %d", e.offset), what + text(e.value)})
	}
}

// unequal returns what is only in one of two collections. Each element counts as
// often as it is there, except where repeats are allowed.
func (s *Shard) unequal(want [][]byte, got []output) (missing [][]byte, extra []output) {
	left := slices.Clone(want)
	for _, g := range got {
		i := slices.IndexFunc(left, func(w []byte) bool { return bytes.Equal(w, g.value) })
		switch {
		case i >= 0:
			left = slices.Delete(left, i, i+1)
		case s.rules.RepeatSpeech &&
			slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(w, g.value) }):
		default:
			extra = append(extra, g)
		}
	}
	if !s.rules.RepeatSpeech {
		return left, extra
	}
	for _, l := range left {
		if !slices.ContainsFunc(got, func(g output) bool { return bytes.Equal(g.value, l) }) {
			missing = append(missing, l)
		}
	}
	return missing, extra
}

func rowText(value []byte) string {
	row, err := schemas.ConfirmRows.Unmarshal(value)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no row", len(value))
	}
	text, err := schemas.ConfirmRows.JSON(row)
	return textOr(text, err, value)
}

func confirmationText(value []byte) string {
	m, err := schemas.Confirmations.Unmarshal(value)
	if err != nil {
		return textOr(nil, err, value)
	}
	text, err := schemas.Confirmations.JSON(m)
	return textOr(text, err, value)
}

func exceptionText(value []byte) string {
	m, err := schemas.Exceptions.Unmarshal(value)
	if err != nil {
		return textOr(nil, err, value)
	}
	text, err := schemas.Exceptions.JSON(m)
	return textOr(text, err, value)
}

// textOr is a text, cut short, or what is wrong with it.
func textOr(text []byte, err error, value []byte) string {
	const longest = 600
	if err != nil {
		return fmt.Sprintf("%d bytes (%v)", len(value), err)
	}
	if len(text) > longest {
		return string(text[:longest]) + "..."
	}
	return string(text)
}
