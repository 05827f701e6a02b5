package schemas_test

import (
	"strings"
	"testing"

	"tallystick/schemas"
)

// adjusting is a correction in JSON with one part replaced.
func adjusting(part, by string) string {
	const good = `{"meta":{"id":"c1","at":"2026-05-04T12:00:00Z"},"payment_adjusted":{` +
		`"payment_id":"p2","order_id":"o1","amount":{"minor":1200,"currency":"EUR"},` +
		`"reason":"a digit was lost","by":"ann","replaces":"p1"}}`
	if !strings.Contains(good, part) {
		panic("no such part: " + part)
	}
	return strings.Replace(good, part, by, 1)
}

// voiding is the same of a payment that is taken back.
func voiding(part, by string) string {
	const good = `{"meta":{"id":"c1"},"payment_voided":{"payment_id":"p1","order_id":"o1",` +
		`"reason":"booked twice","by":"ann"}}`
	if !strings.Contains(good, part) {
		panic("no such part: " + part)
	}
	return strings.Replace(good, part, by, 1)
}

// TestMalformedCorrections: a correction says which it is, why it was made and by
// whom, or it is none.
func TestMalformedCorrections(t *testing.T) {
	c, long := schemas.Corrections, strings.Repeat("x", schemas.MaxReasonBytes+1)
	for _, w := range []wrong{
		{c, `{"meta":{"id":"c1"}}`, "the envelope holds no event that is known here"},
		{c, `{"meta":{"id":"c1"},"payment_reversed":{"payment_id":"p1","order_id":"o1"}}`, "no event"},
		{c, voiding(`"meta":{"id":"c1"},`, ``), "meta.id is missing"},
		{c, adjusting(`"id":"c1",`, ``), "meta.id is missing"},
		{c, voiding(`"payment_id":"p1",`, ``), "payment_voided.payment_id is missing"},
		{c, voiding(`"order_id":"o1",`, ``), "payment_voided.order_id is missing"},
		{c, voiding(`"reason":"booked twice",`, ``), "payment_voided.reason is missing"},
		{c, voiding(`booked twice`, `  `), "payment_voided.reason is missing"},
		{c, voiding(`booked twice`, long), "payment_voided.reason has 1001 bytes"},
		{c, voiding(`booked twice`, `a\nb`), "payment_voided.reason holds the control character"},
		{c, voiding(`,"by":"ann"`, ``), "payment_voided.by is missing"},
		{c, voiding(`ann`, long), "payment_voided.by has 1001 bytes, the limit is 500"},
		{c, adjusting(`"payment_id":"p2",`, ``), "payment_adjusted.payment_id is missing"},
		{c, adjusting(`"order_id":"o1",`, ``), "payment_adjusted.order_id is missing"},
		{c, adjusting(`"minor":1200,`, ``), "payment_adjusted.amount.minor is missing"},
		{c, adjusting(`1200`, `-1200`), "amount.minor is -1200, it must not be negative"},
		{c, adjusting(`a digit was lost`, ``), "payment_adjusted.reason is missing"},
		{c, adjusting(`ann`, ``), "payment_adjusted.by is missing"},
		{c, adjusting(`"replaces":"p1"`, `"replaces":"p2"`), "replaces is the payment itself"},
		{c, adjusting(`"replaces":"p1"`, `"replaces":"`+long+`"`), "replaces has 1001"},
	} {
		w.refused(t)
	}
}

// TestLenientCorrections: what may be left out of a correction.
func TestLenientCorrections(t *testing.T) {
	for _, k := range []keyed{
		{schemas.Corrections, voiding(`o1`, `o1`)},
		{schemas.Corrections, adjusting(`,"replaces":"p1"`, ``)},
		{schemas.Corrections, adjusting(`1200`, `0`)},
		{schemas.Corrections, adjusting(`,"at":"2026-05-04T12:00:00Z"`, ``)},
	} {
		k.decoded(t)
	}
}
