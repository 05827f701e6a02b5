package audit

import (
	"bytes"
	"fmt"
	"slices"

	"tallystick/processors/confirm"
	"tallystick/schemas"
)

// compare applies the rules to what came in for a key, in the order of the
// journal, and holds what they give against what was said and what is in the
// table.
func (s *Shard) compare(key string, h *history) outcome {
	want := s.outcome(s.rules, h.events)
	s.exactly(key, h, want)
	s.report.Compared++
	return want
}

// An outcome is what the rules give: the row, and all that is said on the way.
type outcome struct {
	row                       *confirm.Row
	confirmations, exceptions [][]byte
	// forgotten says that the row was deleted on the way, after which the rules know
	// nothing of the key any more.
	forgotten bool
	err       error
}

// outcome applies rules to events, in their order.
func (s *Shard) outcome(rules confirm.Rules, events []confirm.Event) outcome {
	var o outcome
	for _, e := range events {
		if e == nil {
			continue // nothing that the processor has to do with
		}
		next, said := confirm.Step(rules, o.row, e)
		o.forgotten = o.forgotten || o.row != nil && next == nil
		o.row = next
		if said.Confirmed != nil {
			value, err := schemas.Confirmations.Marshal(said.Confirmed)
			o.confirmations, o.err = append(o.confirmations, value), firstOf(o.err, err)
		}
		for _, x := range said.Exceptions {
			value, err := schemas.Exceptions.Marshal(x)
			o.exceptions, o.err = append(o.exceptions, value), firstOf(o.err, err)
		}
	}
	return o
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// exactly names everything in which what was found is not what the rules give.
func (s *Shard) exactly(key string, h *history, want outcome) {
	if want.err != nil {
		s.differ(kindRow, key, "what the rules say cannot be written: %v", want.err)
		return
	}
	var row []byte
	var err error
	if want.row != nil {
		row, err = schemas.ConfirmRows.Marshal(want.row)
		s.replayed.Add(key, row)
	}
	if err != nil || (row == nil) != (h.row == nil) || !bytes.Equal(row, h.row) {
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
	if value == nil {
		return "no row"
	}
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
