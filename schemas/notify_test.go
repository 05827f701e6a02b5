package schemas_test

import (
	"strings"
	"testing"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestNotifyResults: what a person writes to resolve an attempt is read, and what is
// wrong with it is named.
func TestNotifyResults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"attempt_accepted":{"order_id":"o1","channel":"MAIL","attempt":1}}`:                    "",
		`{"attempt_refused":{"order_id":"o1","channel":"WEBHOOK","attempt":2,"permanent":true}}`: "",
		`{"attempt_unsettled":{"order_id":"o1","channel":"MAIL","attempt":1,"reason":"cut"}}`:    "",

		`{"attempt_accepted":{"channel":"MAIL","attempt":1}}`:     "order_id",
		`{"attempt_accepted":{"order_id":"o1","attempt":1}}`:      "channel",
		`{"attempt_accepted":{"order_id":"o1","channel":"MAIL"}}`: "attempt is 0",
		`{"attempt_unsettled":{"order_id":"o1","channel":"MAIL","attempt":1,` +
			`"reason":"\n"}}`: "reason",
		`{"attempt_refused":{"order_id":"o1","channel":"MAIL","attempt":1,` +
			`"retry_after_us":-1}}`: "negative",
		`{}`: "no event",
	} {
		m, err := schemas.NotifyResults.Unmarshal([]byte(text))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			} else if err := schemas.CheckKey("o2", m); err == nil {
				t.Errorf("%s passes under another key", text)
			} else if err := schemas.CheckKey("o1", m); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one about %s", text, err, want)
		}
	}
}

// TestNotifyRowDeadline reads it from the bytes of any row, and from nothing else.
func TestNotifyRowDeadline(t *testing.T) {
	t.Parallel()
	for _, row := range []*tallyv1.NotifyRow{
		{}, {EventId: "e1"}, {DeadlineUs: 1, EventId: "e1"}, {DeadlineUs: 1 << 50, AtUs: 7},
	} {
		b, err := schemas.NotifyRows.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if got := schemas.NotifyRowDeadline(b); got != row.GetDeadlineUs() {
			t.Errorf("%v has the deadline %d", row, got)
		}
	}
	for _, b := range [][]byte{nil, {8}, {8, 255}, {255}, {10, 1, 'x'}} {
		if got := schemas.NotifyRowDeadline(b); got != 0 {
			t.Errorf("%v has the deadline %d", b, got)
		}
	}
}
