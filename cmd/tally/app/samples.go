package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app/source"
	"tallystick/query/replay"
	"tallystick/schemas"
)

// samples shows a few of the events that a demo has led to, one of each kind.
type samples struct {
	lines []string
	seen  map[string]bool
}

// maxSamples is how many lines a demo shows of them.
const maxSamples = 6

// readSamples looks through the topics that the worker wrote.
func (st *stage) readSamples(ctx context.Context, cl *kgo.Client) (*samples, error) {
	names := st.s.names()
	log, err := replay.Open(ctx, cl, patience,
		names.Confirmations, names.Exceptions, names.DeadLetters)
	if err != nil {
		return nil, err
	}
	s := &samples{seen: map[string]bool{}}
	for _, topic := range []struct {
		name string
		take func(*kgo.Record) (kind, line string, err error)
	}{
		{names.Confirmations, confirmed},
		{names.Exceptions, exceptional},
		{names.DeadLetters, refused},
	} {
		for p := range log.Partitions(topic.name) {
			for r, err := range log.Records(ctx, topic.name, p) {
				if err != nil {
					return nil, err
				}
				kind, line, err := topic.take(r)
				if err != nil {
					return nil, err
				}
				s.add(kind, line)
			}
		}
	}
	return s, nil
}

// add keeps the line if it is the first of its kind.
func (s *samples) add(kind, line string) {
	if !s.seen[kind] && len(s.lines) < maxSamples {
		s.seen[kind] = true
		s.lines = append(s.lines, line)
	}
}

func (s *samples) write(w io.Writer) {
	if len(s.lines) == 0 {
		return
	}
	fmt.Fprintln(w, "some of what was said (money in minor units)")
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range s.lines {
		fmt.Fprintln(out, "  "+line)
	}
	out.Flush()
	fmt.Fprintln(w)
}

// confirmed tells of a confirmation, by one payment or by several.
func confirmed(r *kgo.Record) (kind, line string, err error) {
	m, err := schemas.Confirmations.Unmarshal(r.Value)
	if err != nil {
		return "", "", err
	}
	c := m.GetOrderConfirmed()
	shares := make([]string, len(c.GetPayments()))
	for i, share := range c.GetPayments() {
		shares[i] = share.GetPaymentId()
		if len(shares) > 1 {
			shares[i] += " (" + thousands(share.GetMinor()) + ")"
		}
	}
	return fmt.Sprint("confirmed", min(len(shares), 2)),
		fmt.Sprintf("OrderConfirmed\t%s: %s %s by %s", c.GetOrderId(), c.GetTotal().GetCurrency(),
			thousands(c.GetTotal().GetMinor()), strings.Join(shares, ", ")), nil
}

// exceptional tells of an exception.
func exceptional(r *kgo.Record) (kind, line string, err error) {
	m, err := schemas.Exceptions.Unmarshal(r.Value)
	if err != nil {
		return "", "", err
	}
	if x := m.GetPaymentExcess(); x != nil {
		return "excess", fmt.Sprintf("PaymentExcess\t%s: %s %s of %s were too much", x.GetOrderId(),
			x.GetExcess().GetCurrency(), thousands(x.GetExcess().GetMinor()), x.GetPaymentId()), nil
	}
	envelope := m.ProtoReflect()
	event := envelope.WhichOneof(envelope.Descriptor().Oneofs().ByName("event"))
	name := string(event.Message().Name())
	return name, fmt.Sprintf("%s\t%s", name, r.Key), nil
}

// refused tells of a dead letter.
func refused(r *kgo.Record) (kind, line string, err error) {
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	if h["tally.topic"] == "" {
		return "", "", errors.New("a dead letter does not tell its origin")
	}
	return "refused", fmt.Sprintf("dead letter\t%s: %s", r.Key, h["tally.reason"]), nil
}

// overtaken counts the payments that come before their order, as they go by.
func overtaken(records recordSeq, n *int64) recordSeq {
	return func(yield func(source.Record, error) bool) {
		placed := map[string]bool{}
		for r, err := range records {
			switch {
			case r.Order.GetOrderPlaced() != nil:
				placed[string(r.Key)] = true
			case r.Payment.GetPaymentReceived() != nil && !placed[string(r.Key)]:
				*n++
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
