package notify_test

import (
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/notify"
	"tallystick/schemas/tallyv1"
)

var topics = notify.Topics{
	Group: "tally-notify", Confirmations: "confirmations", Results: "tally-notify-results",
	Notices: "notices",
}

// bare wraps callbacks in nothing.
func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

// TestGraph sends a confirmation through the graph, has it refused, lets the
// deadline come, and has it taken.
func TestGraph(t *testing.T) {
	rules := testRules()
	rules.Mail, rules.Keep = true, time.Hour
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, rules.Define(topics, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(t.Context()) }()
	notices, effects := gkt.NewQueueTracker("notices"), gkt.NewQueueTracker(topics.Effects())
	row := func() *notify.Row {
		r, _ := gkt.TableValue("tally-notify-table", "o1").(*notify.Row)
		return r
	}
	at := func(s int64) tester.EmitOption { return tester.WithTime(time.Unix(s, 0)) }

	gkt.Consume("confirmations", "o1", confirmation("o1", "ada@example.com"), at(100))
	one := attemptIn(t, effects)
	gkt.Consume(topics.Results, "o1",
		&tallyv1.NotifyResultEvent{Event: refusal(one, false, false)}, at(101))
	gkt.Consume(topics.Timers(), "o1", "wall", tester.WithTime(time.UnixMicro(row().GetDeadlineUs())))
	one = attemptIn(t, effects)
	if one.GetAttempt() != 2 || one.GetEventId() != "c-o1" || one.GetConfirmation() == nil {
		t.Errorf("the second attempt is %v", one)
	}
	gkt.Consume(topics.Results, "o1", &tallyv1.NotifyResultEvent{
		Event: &tallyv1.NotifyResultEvent_AttemptAccepted{AttemptAccepted: &tallyv1.AttemptAccepted{
			OrderId: "o1", Channel: one.GetChannel(), Attempt: 2,
		}},
	}, at(112))
	key, m, ok := notices.Next()
	n, _ := m.(*tallyv1.NoticeEvent)
	if !ok || key != "o1" || n.GetConfirmationSent().GetAttempts() != 2 {
		t.Errorf("notice at %q: %v", key, m)
	}
	gkt.Consume(topics.Timers(), "o1", "wall", tester.WithTime(time.UnixMicro(row().GetDeadlineUs())))
	if left := gkt.TableValue("tally-notify-table", "o1"); left != nil {
		t.Errorf("the row was not dropped: %v", left)
	}
}

func attemptIn(t *testing.T, effects *tester.QueueTracker) *tallyv1.SendConfirmation {
	t.Helper()
	key, m, ok := effects.Next()
	one, _ := m.(*tallyv1.SendConfirmation)
	if !ok || key != "o1" || one == nil {
		t.Fatalf("effect at %q: %v", key, m)
	}
	return one
}
