package simulation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// An observation is all that can be seen of a run from outside, in plain
// values.
type observation struct {
	facts   []*fact
	said    []speech
	dead    []string          // topic/partition@offset of each dead letter
	log     map[int32][]entry // the committed changelog
	images  []image           // of disks after crashes
	finals  []image           // of the tables at the end
	hanging []string          // partitions with an undecided end
}

// A speech is one output.
type speech struct {
	order string
	id    string
	what  string // as the oracle says it
	// What it says about money.
	currency string
	where    string
	minor    int64
}

// An entry is a record of the changelog.
type entry struct {
	offset     int64
	key, value string
	deleted    bool
}

// observe reads everything that came out, as a reader who sees what is
// committed and nothing else.
func (s *simulation) observe(ctx context.Context, admin *kadm.Client) error {
	for _, topic := range []struct {
		name string
		take func(*kgo.Record) error
	}{
		{s.names.Confirmations, s.seen.confirmation},
		{s.names.Exceptions, s.seen.exception},
		{s.names.DeadLetters, s.seen.deadLetter},
		{s.names.ConfirmTable, s.seen.row},
	} {
		records, err := s.read(ctx, admin, topic.name)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := topic.take(r); err != nil {
				return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
			}
		}
	}
	return nil
}

// read returns the committed records of a topic.
func (s *simulation) read(
	ctx context.Context, admin *kadm.Client, topic string,
) ([]*kgo.Record, error) {
	stable, err := admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	high, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	high.Each(func(o kadm.ListedOffset) {
		if at, _ := stable.Lookup(topic, o.Partition); at.Offset != o.Offset {
			s.seen.hanging = append(s.seen.hanging, fmt.Sprintf("%s/%d: decided up to %d of %d",
				topic, o.Partition, at.Offset, o.Offset))
		} else if o.Offset > 0 {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	client := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var out []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading %s does not end: left %v", topic, left)
		}
		for _, r := range fetches.Records() {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

func (o *observation) confirmation(r *kgo.Record) error {
	var m tallyv1.ConfirmationEvent
	if err := proto.Unmarshal(r.Value, &m); err != nil {
		return err
	}
	c := m.GetOrderConfirmed()
	if c.GetOrderId() != string(r.Key) {
		return fmt.Errorf("confirmation of %q under the key %q", c.GetOrderId(), r.Key)
	}
	var parts []string
	var sum int64
	for _, p := range c.GetPayments() {
		parts = append(parts, fmt.Sprintf("%s=%d", p.GetPaymentId(), p.GetMinor()))
		sum += p.GetMinor()
	}
	o.said = append(o.said, speech{
		order: c.GetOrderId(), id: m.GetMeta().GetId(),
		what: fmt.Sprintf("confirmed: %s %d %s %v", c.GetCustomerId(), c.GetTotal().GetMinor(),
			c.GetTotal().GetCurrency(), parts),
		currency: c.GetTotal().GetCurrency(), where: counted, minor: sum,
	})
	return nil
}

func (o *observation) exception(r *kgo.Record) error {
	var m tallyv1.ExceptionEvent
	if err := proto.Unmarshal(r.Value, &m); err != nil {
		return err
	}
	sp := speech{order: string(r.Key), id: m.GetMeta().GetId()}
	say := func(format string, args ...any) { sp.what = fmt.Sprintf(format, args...) }
	money := func(where string, a *tallyv1.Money) {
		sp.where, sp.currency, sp.minor = where, a.GetCurrency(), a.GetMinor()
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_PaymentExcess:
		p := e.PaymentExcess
		say("excess: %s %d of %d", p.GetPaymentId(), p.GetExcess().GetMinor(), p.GetAmount().GetMinor())
		money(excess, p.GetExcess())
	case *tallyv1.ExceptionEvent_PaymentMismatch:
		p := e.PaymentMismatch
		say("mismatch: %s %d %s", p.GetPaymentId(), p.GetAmount().GetMinor(), p.GetAmount().GetCurrency())
		money(mismatched, p.GetAmount())
	case *tallyv1.ExceptionEvent_PaymentUnmatched:
		p := e.PaymentUnmatched
		why := strings.ToLower(strings.TrimPrefix(p.GetReason().String(), "ORDER_"))
		say("unmatched: %s %d %s", p.GetPaymentId(), p.GetAmount().GetMinor(), why)
		money(unmatched, p.GetAmount())
	case *tallyv1.ExceptionEvent_ConfirmedPaymentReversed:
		p := e.ConfirmedPaymentReversed
		was := strings.ToLower(p.GetWas().String())
		if was == "confirmed" {
			was = counted
		}
		say("reversed late: %s %d was %s", p.GetPaymentId(), p.GetAmount().GetMinor(), was)
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		say("cancel refused: %v", e.OrderCancelRefused.GetRejection())
	case *tallyv1.ExceptionEvent_OrderConflicted:
		c := e.OrderConflicted
		say("order conflicted: %d, then %d", c.GetFirst().GetTotal().GetMinor(),
			c.GetSecond().GetTotal().GetMinor())
	case *tallyv1.ExceptionEvent_PaymentConflicted:
		c := e.PaymentConflicted
		say("payment conflicted: %s %d, then %d", c.GetFirst().GetPaymentId(),
			c.GetFirst().GetAmount().GetMinor(), c.GetSecond().GetAmount().GetMinor())
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		say("withdrawn: %v", e.OrderWithdrawn.GetRejection())
	case *tallyv1.ExceptionEvent_RefundOwed:
		p := e.RefundOwed
		why := strings.ToLower(strings.TrimPrefix(p.GetReason().String(), "ORDER_"))
		say("refund: %s %d %s %s", p.GetPaymentId(), p.GetAmount().GetMinor(),
			p.GetAmount().GetCurrency(), why)
	default:
		return fmt.Errorf("unknown exception %v", &m)
	}
	o.said = append(o.said, sp)
	return nil
}

func (o *observation) deadLetter(r *kgo.Record) error {
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	o.dead = append(o.dead, h["tally.topic"]+"/"+h["tally.partition"]+"@"+h["tally.offset"])
	return nil
}

func (o *observation) row(r *kgo.Record) error {
	o.log[r.Partition] = append(o.log[r.Partition], entry{
		offset: r.Offset, key: string(r.Key), value: string(r.Value), deleted: r.Value == nil,
	})
	return nil
}
