package notify_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tallystick/processors/notify"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A life is one order with its receivers: what was asked for, and what was said.
type life struct {
	t      *rapid.T
	rules  notify.Rules
	row    *notify.Row
	now    time.Time
	last   map[tallyv1.Channel]string // what was said last
	asked  map[string]bool            // channel and attempt of every effect
	queued []*tallyv1.SendConfirmation
	sent   map[tallyv1.Channel]int
}

// apply is Step with what must hold of every step checked.
func (l *life) apply(e notify.Event) {
	var before []byte
	if l.row != nil {
		before = l.encode(l.row)
	}
	next, out := notify.Step(l.rules, l.row, e)
	if l.row != nil && !bytes.Equal(before, l.encode(l.row)) {
		l.t.Fatalf("Step changed the row it was given")
	}
	if next != nil {
		b := l.encode(next)
		if again, err := schemas.NotifyRows.Unmarshal(b); err != nil ||
			!bytes.Equal(l.encode(again), b) {
			l.t.Fatalf("the row %v does not survive its codec: %v", next, err)
		}
	}
	for _, one := range out.Effects {
		id := fmt.Sprintf("%s %d", one.GetChannel(), one.GetAttempt())
		if l.asked[id] {
			l.t.Fatalf("%s was asked for twice", id)
		}
		if said := l.last[one.GetChannel()]; said != "" {
			l.t.Fatalf("%s was asked for after %s", id, said)
		}
		l.asked[id] = true
	}
	l.queued = append(l.queued, out.Effects...)
	for _, n := range out.Notices {
		if _, err := schemas.Notices.Marshal(n); err != nil {
			l.t.Fatal(err)
		}
		switch v := n.GetEvent().(type) {
		case *tallyv1.NoticeEvent_ConfirmationSent:
			l.last[v.ConfirmationSent.GetChannel()] = "sent"
		case *tallyv1.NoticeEvent_ConfirmationBounced:
			l.last[v.ConfirmationBounced.GetChannel()] = "bounced"
		case *tallyv1.NoticeEvent_ConfirmationUnresolved:
			l.last[v.ConfirmationUnresolved.GetChannel()] = "unresolved"
		}
	}
	l.row = next
}

func (l *life) encode(row *notify.Row) []byte {
	b, err := schemas.NotifyRows.Marshal(row)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// fire lets the row's deadline come if it has.
func (l *life) fire() {
	at := l.row.GetDeadlineUs()
	if at == 0 || at > l.now.UnixMicro() {
		return
	}
	l.apply(notify.OfTimer("o1", time.UnixMicro(at), l.now))
	if d := l.row.GetDeadlineUs(); d != 0 && d <= at {
		l.t.Fatalf("after its deadline %d came the row has %d", at, d)
	}
}

// attempt carries an effect out, or loses it with the process, and reports what it
// knows of it, once or twice.
func (l *life) attempt(one *tallyv1.SendConfirmation) {
	m := &tallyv1.NotifyResultEvent{}
	taken := false
	switch rapid.SampledFrom([]string{
		"taken", "taken", "refused", "refused for good", "untried", "taken, unknown",
		"not taken, unknown", "died before", "died after",
	}).Draw(l.t, "attempt") {
	case "taken":
		taken = true
		m.Event = &tallyv1.NotifyResultEvent_AttemptAccepted{AttemptAccepted: &tallyv1.AttemptAccepted{
			OrderId: "o1", Channel: one.GetChannel(), Attempt: one.GetAttempt(),
		}}
	case "refused":
		m.Event = refusal(one, false, false)
	case "refused for good":
		m.Event = refusal(one, true, false)
	case "untried":
		m.Event = refusal(one, false, true)
	case "taken, unknown":
		taken = true
		m.Event = unsettled(one)
	case "not taken, unknown":
		m.Event = unsettled(one)
	case "died before":
	case "died after":
		taken = true
	}
	if taken {
		l.sent[one.GetChannel()]++
	}
	if m.GetEvent() == nil {
		return
	}
	for range rapid.IntRange(1, 2).Draw(l.t, "reports") {
		l.apply(notify.OfResult(m, l.now, l.now))
	}
}

func refusal(
	one *tallyv1.SendConfirmation, permanent, untried bool,
) *tallyv1.NotifyResultEvent_AttemptRefused {
	return &tallyv1.NotifyResultEvent_AttemptRefused{AttemptRefused: &tallyv1.AttemptRefused{
		OrderId: "o1", Channel: one.GetChannel(), Attempt: one.GetAttempt(), Reason: "no",
		Permanent: permanent, Untried: untried,
	}}
}

func unsettled(one *tallyv1.SendConfirmation) *tallyv1.NotifyResultEvent_AttemptUnsettled {
	return &tallyv1.NotifyResultEvent_AttemptUnsettled{AttemptUnsettled: &tallyv1.AttemptUnsettled{
		OrderId: "o1", Channel: one.GetChannel(), Attempt: one.GetAttempt(), Reason: "cut off",
	}}
}

// TestNeverTwiceAndAlwaysEnds draws lives of a confirmation: it comes again at any
// time, receivers take and refuse, processes die before and after they sent. No
// receiver takes it twice, no attempt is asked for twice or after the end, and each
// way ends as sent, bounced or unresolved.
func TestNeverTwiceAndAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{
			t: t, rules: testRules(), now: time.Unix(1_000_000, 0),
			last: map[tallyv1.Channel]string{}, asked: map[string]bool{},
			sent: map[tallyv1.Channel]int{},
		}
		l.rules.Mail, l.rules.Webhook = true, true
		if rapid.Bool().Draw(t, "dropped at last") {
			l.rules.Keep = 50 * time.Second
		}
		l.rules.RepeatSpeech = rapid.Bool().Draw(t, "repeat speech")
		first := l.now
		l.apply(notify.OfConfirmation(confirmation("o1", "ada@example.com"), first, l.now))
		for range 60 {
			switch rapid.SampledFrom([]string{"send", "send", "wait", "again"}).Draw(t, "then") {
			case "send":
				if len(l.queued) > 0 {
					one := l.queued[0]
					l.queued = l.queued[1:]
					l.attempt(one)
				}
			case "wait":
				l.now = l.now.Add(time.Duration(rapid.IntRange(1, 150).Draw(t, "s")) * time.Second)
				l.fire()
			case "again":
				l.apply(notify.OfConfirmation(confirmation("o1", "ada@example.com"), first, l.now))
			}
		}
		for range 10_000 { // nobody dies any more, and nothing is refused for long
			for _, one := range l.queued {
				m := &tallyv1.NotifyResultEvent{Event: refusal(one, false, false)}
				l.apply(notify.OfResult(m, l.now, l.now))
			}
			l.queued = nil
			l.now = l.now.Add(10 * time.Second)
			l.fire()
			if len(l.queued) == 0 && l.row.GetConfirmation() == nil {
				break
			}
		}
		for _, channel := range []tallyv1.Channel{tallyv1.Channel_MAIL, tallyv1.Channel_WEBHOOK} {
			if l.sent[channel] > 1 {
				t.Fatalf("%s got it %d times", channel, l.sent[channel])
			}
			if l.last[channel] == "" {
				t.Fatalf("%s has not ended: %v", channel, l.row)
			}
			if l.sent[channel] == 1 && l.last[channel] == "bounced" {
				t.Fatalf("%s got it, and it is said to have bounced", channel)
			}
		}
	})
}
