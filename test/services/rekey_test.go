package services_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/rekey"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology/keyhash"
)

const (
	paymentPartitions = 3
	orderPartitions   = 4
)

// A till is a world of payments that are re-keyed.
type till struct {
	*world
	payments, byOrder, dead, group string
}

func newTill(w *world) till {
	return till{
		w, w.topic("payments", paymentPartitions), w.topic("payments-by-order", orderPartitions),
		w.topic("dead-letters", 1), w.prefix + "rekey",
	}
}

func (s till) define(e *engine.Engine) *goka.GroupGraph {
	return rekey.Define(
		rekey.Topics{Group: s.group, Payments: s.payments, PaymentsByOrder: s.byOrder},
		func(cb goka.ProcessCallback) goka.ProcessCallback {
			return e.Wrap(cb, schemas.CheckPaymentKey)
		})
}

// payment is a record of a payment in JSON or Protobuf, some with headers; each is
// of its own time.
func (s till) payment(i int) *kgo.Record {
	s.t.Helper()
	id := fmt.Sprintf("p%d", i)
	m := &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{Id: "e-" + id},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: fmt.Sprintf("o%d", i/2), Amount: schemas.Money(int64(i), "EUR"),
		}},
	}
	r := &kgo.Record{Topic: s.payments, Key: []byte(id), Timestamp: time.UnixMilli(1000 + int64(i))}
	var err error
	form := "application/protobuf"
	if r.Value, err = schemas.Payments.Marshal(m); i%3 == 0 {
		form = "application/json"
		r.Value, err = schemas.Payments.JSON(m)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if i%2 == 0 {
		r.Headers = []kgo.RecordHeader{
			{Key: "content-type", Value: []byte(form)}, {Key: "traceparent", Value: []byte(id)},
		}
	}
	return r
}

// TestRekeyedOnce: every payment is once in the topic by order, in the partition
// of its order, with its time and its headers, though workers die before and after
// their commits and those behind begin with empty disks.
func TestRekeyedOnce(t *testing.T) {
	each(t, func(w *world) {
		s := newTill(w)
		const batch = 50
		s.dying(s.group, s.define, func(round int) {
			for i := range batch {
				s.send(paymentPartitions, s.payment(round*batch+i))
			}
		}, func() bool { return len(s.committed(s.byOrder)) >= rounds*batch })
		seen := map[string]int{}
		for _, r := range s.committed(s.byOrder) {
			m, err := schemas.Payments.Unmarshal(r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			s.same(r, m)
			seen[schemas.PaymentID(m)]++
		}
		for i := range rounds * batch {
			if n := seen[fmt.Sprintf("p%d", i)]; n != 1 {
				w.t.Errorf("p%d is there %d times", i, n)
			}
		}
		if n := len(s.committed(s.dead)); n != 0 {
			w.t.Errorf("%d dead letters", n)
		}
	})
}

// same checks that a record by order says what that of its payment said.
func (s till) same(r *kgo.Record, m *tallyv1.PaymentEvent) {
	s.t.Helper()
	var i int
	if _, err := fmt.Sscanf(schemas.PaymentID(m), "p%d", &i); err != nil {
		s.t.Fatal(err)
	}
	came := s.payment(i)
	order := fmt.Sprintf("o%d", i/2)
	if string(r.Key) != order || r.Partition != keyhash.Partition(r.Key, orderPartitions) {
		s.t.Errorf("p%d is at %q in partition %d", i, r.Key, r.Partition)
	}
	if !r.Timestamp.Equal(came.Timestamp) || m.GetMeta().GetId() != fmt.Sprintf("e-p%d", i) {
		s.t.Errorf("p%d is of %v and called %s", i, r.Timestamp, m.GetMeta().GetId())
	}
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	want := map[string]string{}
	if i%2 == 0 {
		want = map[string]string{
			"content-type": "application/protobuf", "traceparent": fmt.Sprintf("p%d", i),
		}
	}
	if fmt.Sprint(headers) != fmt.Sprint(want) {
		s.t.Errorf("p%d has headers %v", i, headers)
	}
}

// TestRekeyNamesWrongKeys: a payment that is keyed by its order goes to the dead
// letters, with both ids; one in a partition that its key does not belong to stops
// the worker, which names it.
func TestRekeyNamesWrongKeys(t *testing.T) {
	each(t, func(w *world) {
		s := newTill(w)
		wk := s.start(s.group, s.define, fault{})
		byOrder := s.payment(8)
		byOrder.Key = []byte("o4")
		s.send(paymentPartitions, byOrder, s.payment(7))
		s.eventually("the other is re-keyed", func() bool { return len(s.committed(s.byOrder)) == 1 })
		dead := s.committed(s.dead)
		if len(dead) != 1 || !bytes.Equal(dead[0].Value, byOrder.Value) || !named(dead[0],
			`the key is "o4", the payment id in the body is "p8"`) {
			w.t.Errorf("dead letters: %v", dead)
		}
		lost := s.payment(9)
		lost.Partition = (keyhash.Partition(lost.Key, paymentPartitions) + 1) % paymentPartitions
		if lost.Partition == 0 { // which send would mend
			lost.Partition = (keyhash.Partition(lost.Key, paymentPartitions) + 2) % paymentPartitions
		}
		s.send(paymentPartitions, lost)
		err := wk.end()
		if !errors.Is(err, engine.ErrMisrouted) || !strings.Contains(err.Error(), s.payments) ||
			!strings.Contains(err.Error(), "p9") {
			w.t.Errorf("ended with %v", err)
		}
		if n := len(s.committed(s.byOrder)); n != 1 {
			w.t.Errorf("%d records by order", n)
		}
	})
}

// named tells whether a header of a dead letter says why.
func named(r *kgo.Record, why string) bool {
	for _, h := range r.Headers {
		if strings.Contains(string(h.Value), why) {
			return true
		}
	}
	return false
}
