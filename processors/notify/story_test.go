package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/processors/notify"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. Each is about one order, o1, and one
// event per command:
//
//	rules [mail] [webhook] [tries=N] [keep=S] [repeat-speech]   (gate 100 s, grace 10 s,
//	                                                back-off 8 s up to 32 s)
//	confirmed [email=T] [at=S] [now=S]
//	accepted C [attempt=N] [at=S]
//	refused C [attempt=N] [permanent] [untried] [after=S] [at=S]
//	unsettled C [attempt=N] [at=S]
//	fire                                       (the row's deadline has come)
//	repeat                                     (the last record comes again)
//
// Times are seconds; a record without one is a second later than the one before.
// C is mail or webhook; without an attempt the last one is meant.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{rules: testRules()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

func testRules() notify.Rules {
	return notify.Rules{
		MaxAttempts: 3, Backoff: 8 * time.Second, MaxBackoff: 32 * time.Second,
		Gate: 100 * time.Second, Grace: 10 * time.Second,
	}
}

type story struct {
	rules notify.Rules
	row   *notify.Row
	last  notify.Event
	clock int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "rules":
		s.rules.Mail, s.rules.Webhook = d.HasArg("mail"), d.HasArg("webhook")
		s.rules.RepeatSpeech = d.HasArg("repeat-speech")
		s.rules.Keep = time.Duration(number(t, d, "keep", 0)) * time.Second
		if d.HasArg("tries") {
			s.rules.MaxAttempts = int(number(t, d, "tries", 0))
		}
		if err := s.rules.Validate(); err != nil {
			t.Fatal(err)
		}
		return "ok\n"
	case "repeat":
	case "fire":
		at := time.UnixMicro(s.row.GetDeadlineUs())
		now := at.Add(time.Duration(number(t, d, "late", 0)) * time.Second)
		s.clock = now.Unix()
		s.last = notify.OfTimer("o1", at, now)
	default:
		s.last = s.record(t, d)
	}
	next, out := notify.Step(s.rules, s.row, s.last)
	same := next == s.row
	s.row = next
	var b strings.Builder
	for _, n := range out.Notices {
		if _, err := schemas.Notices.Marshal(n); err != nil {
			t.Fatal(err)
		}
		text, err := schemas.Notices.JSON(n)
		if err != nil {
			t.Fatal(err)
		}
		_, said, _ := strings.Cut(string(text), `},`)
		fmt.Fprintf(&b, "notice at=%d {%s\n", n.GetMeta().GetAt().GetSeconds(), said)
	}
	for _, e := range out.Effects {
		fmt.Fprintf(&b, "effect %s attempt %d until %s\n", strings.ToLower(e.GetChannel().String()),
			e.GetAttempt(), seconds(e.GetDeadlineUs()))
	}
	switch {
	case same:
		b.WriteString("row unchanged\n")
	case next == nil:
		b.WriteString("row dropped\n")
	default:
		b.WriteString(brief(t, next))
	}
	return b.String()
}

// record makes the record that the command describes.
func (s *story) record(t *testing.T, d *datadriven.TestData) notify.Event {
	t.Helper()
	s.clock = number(t, d, "at", s.clock+1)
	at := time.Unix(s.clock, 0)
	if d.Cmd == "confirmed" {
		var email string
		if d.HasArg("email") {
			d.ScanArgs(t, "email", &email)
		}
		now := time.Unix(number(t, d, "now", s.clock), 0)
		return notify.OfConfirmation(confirmation("o1", email), at, now)
	}
	channel := tallyv1.Channel_MAIL
	if d.CmdArgs[0].Key == "webhook" {
		channel = tallyv1.Channel_WEBHOOK
	}
	attempt := int32(1)
	for _, have := range s.row.GetDeliveries() {
		if have.GetChannel() == channel {
			attempt = have.GetAttempt()
		}
	}
	attempt = int32(number(t, d, "attempt", int64(attempt)))
	m := &tallyv1.NotifyResultEvent{}
	switch d.Cmd {
	case "accepted":
		m.Event = &tallyv1.NotifyResultEvent_AttemptAccepted{AttemptAccepted: &tallyv1.AttemptAccepted{
			OrderId: "o1", Channel: channel, Attempt: attempt,
		}}
	case "refused":
		m.Event = &tallyv1.NotifyResultEvent_AttemptRefused{AttemptRefused: &tallyv1.AttemptRefused{
			OrderId: "o1", Channel: channel, Attempt: attempt, Reason: "no",
			Permanent: d.HasArg("permanent"), Untried: d.HasArg("untried"),
			RetryAfterUs: number(t, d, "after", 0) * 1_000_000,
		}}
	case "unsettled":
		m.Event = &tallyv1.NotifyResultEvent_AttemptUnsettled{
			AttemptUnsettled: &tallyv1.AttemptUnsettled{
				OrderId: "o1", Channel: channel, Attempt: attempt, Reason: "cut off",
			},
		}
	default:
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	if _, err := schemas.NotifyResults.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return notify.OfResult(m, at, at)
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise int64) int64 {
	t.Helper()
	if d.HasArg(key) {
		d.ScanArgs(t, key, &otherwise)
	}
	return otherwise
}

func confirmation(order, email string) *tallyv1.ConfirmationEvent {
	c := &tallyv1.OrderConfirmed{OrderId: order, Total: schemas.Money(0, "EUR")}
	if email != "" {
		c.Contact = &tallyv1.Contact{Name: "Ada", Email: email}
	}
	return &tallyv1.ConfirmationEvent{
		Meta:  &tallyv1.Meta{Id: "c-" + order},
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: c},
	}
}

func seconds(us int64) string { return fmt.Sprintf("%.1f", float64(us)/1e6) }

// brief is one line for the row. It fails if the row does not survive its codec, or
// its deadline is not the one that its bytes tell.
func brief(t *testing.T, row *notify.Row) string {
	t.Helper()
	b, err := schemas.NotifyRows.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	if at := schemas.NotifyRowDeadline(b); at != row.GetDeadlineUs() {
		t.Fatalf("the bytes tell the deadline %d, the row %d", at, row.GetDeadlineUs())
	}
	line := "row"
	if row.GetConfirmation() == nil {
		line += " (nothing to send)"
	}
	if row.GetDeadlineUs() != 0 {
		line += " until " + seconds(row.GetDeadlineUs())
	}
	for _, d := range row.GetDeliveries() {
		line += fmt.Sprintf("; %s %s %d", strings.ToLower(d.GetChannel().String()),
			strings.ToLower(d.GetState().String()), d.GetAttempt())
		if d.GetUntried() > 0 {
			line += fmt.Sprintf(" (%d untried)", d.GetUntried())
		}
		if d.GetOverdue() {
			line += " overdue"
		}
	}
	return line + "\n"
}
