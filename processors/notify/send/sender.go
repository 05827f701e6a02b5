package send

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallystick/processors/notify"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A Sender carries out attempts. It is made by [New] and ended by [Sender.Close].
type Sender struct {
	cfg     Config
	queue   chan Effect
	denied  chan denial
	closing chan struct{}
	once    sync.Once
	base    context.Context // of attempts
	cancel  context.CancelFunc
	working sync.WaitGroup
	counts  struct{ accepted, refused, untried, unsettled, lost atomic.Int64 }
}

// Stats is what a sender has done.
type Stats struct {
	Accepted  int64 `json:"accepted"`
	Refused   int64 `json:"refused"`   // by the receiver, or before it could take them
	Untried   int64 `json:"untried"`   // not begun, for lack of room or time
	Unsettled int64 `json:"unsettled"` // nobody knows
	// Lost is how many attempts have no result, because it could not be reported.
	// Their gates are given up at their deadlines.
	Lost   int64 `json:"lost"`
	Queued int   `json:"queued"`
}

// A denial is an effect that is to be reported as not begun, and to whom it is said
// that it was.
type denial struct {
	Effect
	reported chan<- struct{}
}

// An outcome is how an attempt ended.
type outcome struct {
	result     notify.Result
	reason     string
	permanent  bool
	untried    bool
	retryAfter time.Duration
}

func accepted() outcome { return outcome{result: notify.Accepted} }

func refused(format string, args ...any) outcome {
	return outcome{result: notify.Refused, reason: fmt.Sprintf(format, args...)}
}

func refusedForGood(format string, args ...any) outcome {
	o := refused(format, args...)
	o.permanent = true
	return o
}

func untried(reason string) outcome {
	return outcome{result: notify.Refused, reason: reason, untried: true}
}

func unsettled(format string, args ...any) outcome {
	return outcome{result: notify.Unsettled, reason: fmt.Sprintf(format, args...)}
}

const (
	reportTime = 10 * time.Second // for one try to report
	reporters  = 4                // of what is not begun
)

// New returns a sender that works until it is closed, longer than ctx.
func New(ctx context.Context, cfg Config) (*Sender, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Sender{
		cfg: cfg, queue: make(chan Effect, cfg.Queue), denied: make(chan denial, 10*cfg.Queue),
		closing: make(chan struct{}),
	}
	s.base, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for range cfg.Workers {
		s.working.Go(func() {
			work(s, s.queue, s.carryOut, func(one Effect) {
				s.deny(one, "the sender is shutting down")
			})
		})
	}
	for range reporters {
		s.working.Go(func() {
			deny := func(one denial) {
				s.deny(one.Effect, "the sender's queue is full")
				one.reported <- struct{}{}
			}
			work(s, s.denied, deny, deny)
		})
	}
	return s, nil
}

// Take takes effects over. It waits for room for at most MaxBlock, all of them
// together; what there is no room for is reported as not begun, which lets the
// processor ask again later. It waits until that is reported or ctx is done, so that
// what has no result is no more than waits in the queue and is with the workers. The
// effects are the sender's from then on.
func (s *Sender) Take(ctx context.Context, list []Effect) {
	reported, passed := make(chan struct{}, len(list)), 0 // those who report don't wait
	bounded, cancel := context.WithTimeout(ctx, s.cfg.MaxBlock)
	defer cancel()
	for _, one := range list {
		select {
		case s.queue <- one:
			continue
		default:
		}
		select {
		case s.queue <- one:
			continue
		case <-bounded.Done():
		case <-s.closing:
		}
		select {
		case s.denied <- denial{one, reported}:
			passed++
		default:
			s.lose(one, errors.New("no room to report it"))
		}
	}
	for range passed {
		select {
		case <-reported:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends the sender. What is not begun is reported as such, what is under way
// is waited for until ctx is done and cut off then. It returns an error if results
// were lost. Nothing may be taken any more.
func (s *Sender) Close(ctx context.Context) error {
	s.once.Do(func() { close(s.closing) })
	defer s.cancel()
	defer context.AfterFunc(ctx, s.cancel)()
	s.working.Wait()
	if n := s.counts.lost.Load(); n > 0 {
		return fmt.Errorf("send: the results of %d attempts were lost", n)
	}
	return nil
}

// Stats returns the sender's counters. It may be called at any time.
func (s *Sender) Stats() Stats {
	c := &s.counts
	return Stats{
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Untried: c.untried.Load(),
		Unsettled: c.unsettled.Load(), Lost: c.lost.Load(), Queued: len(s.queue),
	}
}

// work does what is in the queue until the sender is closed and the queue empty.
// What is in it then is put off.
func work[T any](s *Sender, queue <-chan T, do, putOff func(T)) {
	for {
		select {
		case one := <-queue:
			do(one)
		case <-s.closing:
			for {
				select {
				case one := <-queue:
					putOff(one)
				default:
					return
				}
			}
		}
	}
}

func (s *Sender) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// deny reports that an attempt was not begun.
func (s *Sender) deny(one Effect, why string) {
	c, err := schemas.NotifyEffects.Unmarshal(one.Value)
	if err != nil {
		s.lose(one, err)
		return
	}
	s.report(one, c, untried(why))
}

// carryOut makes one attempt and reports how it ended.
func (s *Sender) carryOut(one Effect) {
	if s.closed() {
		s.deny(one, "the sender is shutting down")
		return
	}
	c, err := schemas.NotifyEffects.Unmarshal(one.Value)
	if err != nil {
		s.lose(one, err)
		return
	}
	s.report(one, c, s.attempt(c))
}

// Longest is how long an attempt can take by the time limits of the channels. A gate
// that is no longer than that lets nothing be begun.
func (s *Sender) Longest() time.Duration {
	var longest time.Duration
	if s.cfg.Mail != nil {
		longest = s.cfg.Mail.longest()
	}
	if s.cfg.Webhook != nil {
		longest = max(longest, s.cfg.Webhook.Timeout)
	}
	return longest
}

func (s *Sender) attempt(c *tallyv1.SendConfirmation) outcome {
	left := time.UnixMicro(c.GetDeadlineUs()).Sub(s.cfg.Now())
	switch {
	case c.GetChannel() == tallyv1.Channel_MAIL && s.cfg.Mail != nil:
		if left < s.cfg.Mail.longest() {
			return untried("it waited too long to be begun")
		}
		return s.cfg.Mail.send(s.base, s.cfg.Now, c)
	case c.GetChannel() == tallyv1.Channel_WEBHOOK && s.cfg.Webhook != nil:
		if left < s.cfg.Webhook.Timeout {
			return untried("it waited too long to be begun")
		}
		return s.cfg.Webhook.send(s.base, s.cfg.Now, c)
	}
	o := refusedForGood("%s is not set up here", strings.ToLower(c.GetChannel().String()))
	o.untried = true
	return o
}

// report reports an outcome, again and again until the gate is given up anyway.
func (s *Sender) report(one Effect, c *tallyv1.SendConfirmation, o outcome) {
	s.count(o)
	value, err := schemas.NotifyResults.Marshal(resultOf(c, o, s.cfg.Now()))
	if err != nil {
		s.lose(one, err)
		return
	}
	const longest = 5 * time.Second
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, longest) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), reportTime)
		err := s.cfg.Report(ctx, one.Key, value)
		cancel()
		if err == nil {
			return
		}
		if s.base.Err() != nil || s.cfg.Now().UnixMicro() > c.GetDeadlineUs() {
			s.lose(one, err)
			return
		}
		select {
		case <-s.base.Done():
		case <-time.After(wait):
		}
	}
}

func (s *Sender) lose(one Effect, err error) {
	s.counts.lost.Add(1)
	s.cfg.Logger.Error("the result of an attempt is lost", "key", one.Key, "error", err)
}

func (s *Sender) count(o outcome) {
	c := &s.counts
	switch {
	case o.untried:
		c.untried.Add(1)
	case o.result == notify.Accepted:
		c.accepted.Add(1)
	case o.result == notify.Refused:
		c.refused.Add(1)
	default:
		c.unsettled.Add(1)
	}
}

// resultOf is the event that says how an attempt ended.
func resultOf(c *tallyv1.SendConfirmation, o outcome, now time.Time) *tallyv1.NotifyResultEvent {
	order, channel, attempt := c.GetOrderId(), c.GetChannel(), c.GetAttempt()
	reason := oneLine(o.reason, schemas.MaxReasonBytes)
	m := &tallyv1.NotifyResultEvent{Meta: schemas.MetaOf(
		notify.ResultID(o.result, order, channel, attempt), schemas.Micros(now), c.GetEventId(),
	)}
	switch o.result {
	case notify.Accepted:
		m.Event = &tallyv1.NotifyResultEvent_AttemptAccepted{AttemptAccepted: &tallyv1.AttemptAccepted{
			OrderId: order, Channel: channel, Attempt: attempt,
		}}
	case notify.Refused:
		m.Event = &tallyv1.NotifyResultEvent_AttemptRefused{AttemptRefused: &tallyv1.AttemptRefused{
			OrderId: order, Channel: channel, Attempt: attempt, Reason: reason, Untried: o.untried,
			Permanent: o.permanent, RetryAfterUs: max(o.retryAfter.Microseconds(), 0),
		}}
	case notify.Unsettled:
		m.Event = &tallyv1.NotifyResultEvent_AttemptUnsettled{
			AttemptUnsettled: &tallyv1.AttemptUnsettled{
				OrderId: order, Channel: channel, Attempt: attempt, Reason: reason,
			},
		}
	}
	return m
}

// oneLine makes a text from elsewhere fit for one line of at most n bytes.
func oneLine(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
}
