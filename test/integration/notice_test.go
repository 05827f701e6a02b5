package integration_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// notifier is a worker that tells a webhook, on a stage of the chain.
func (s *stage) notifier(hook http.HandlerFunc, more ...string) *worker {
	s.t.Helper()
	s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(s.t)
	receiver := httptest.NewUnstartedServer(hook)
	receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
	receiver.Start()
	s.t.Cleanup(receiver.Close)
	return s.spawn("notifier", s.t.TempDir(), append([]string{
		"--chain", "notify", "--webhook", receiver.URL, "--session-timeout", "10s",
	}, more...)...)
}

// confirmed writes confirmations of so many orders.
func (s *stage) confirmed(n int) {
	s.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		id, minor := fmt.Sprintf("o-%d", i), int64(0)
		records[i] = s.record(s.topics.Confirmations, id, time.Now(), &tallyv1.ConfirmationEvent{
			Meta: &tallyv1.Meta{Id: "c-" + id},
			Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
				OrderId: id, Total: &tallyv1.Money{Minor: &minor, Currency: "EUR"},
			}},
		})
	}
	s.put(records...)
}

// unknown is how many attempts are under way of which no outcome was reported: if the
// worker is gone, nobody knows it.
func (s *stage) unknown() int {
	s.t.Helper()
	open := map[string]int32{}
	for _, r := range s.records(s.app + "-notify-table") {
		var row tallyv1.NotifyRow
		if err := proto.Unmarshal(r.Value, &row); err != nil {
			s.t.Fatal(err)
		}
		delete(open, string(r.Key))
		for _, d := range row.GetDeliveries() {
			if d.GetState() == tallyv1.NotifyRow_OPEN {
				open[string(r.Key)] = d.GetAttempt()
			}
		}
	}
	for _, r := range s.records(s.app + "-notify-results") {
		var e tallyv1.NotifyResultEvent
		if err := proto.Unmarshal(r.Value, &e); err != nil {
			s.t.Fatal(err)
		}
		attempt := e.GetAttemptAccepted().GetAttempt() + e.GetAttemptRefused().GetAttempt() +
			e.GetAttemptUnsettled().GetAttempt()
		if open[string(r.Key)] == attempt {
			delete(open, string(r.Key))
		}
	}
	return len(open)
}

// TestKilledNotifier kills a worker under load while its receiver hangs: nobody knows
// of no more attempts than it may have on their way.
func TestKilledNotifier(t *testing.T) {
	const (
		ahead   = 400
		orders  = 4000
		answers = 300
		within  = ahead/8 + 32 // the queue and the senders
	)
	each(t, func(t *testing.T, s *stage) {
		var calls, held atomic.Int32
		w := s.notifier(func(out http.ResponseWriter, in *http.Request) {
			if _, err := io.Copy(io.Discard, in.Body); err != nil || calls.Add(1) <= answers {
				return
			}
			held.Add(1)
			<-in.Context().Done() // until its sender is gone
		}, "--notify-ahead", fmt.Sprint(ahead))
		s.confirmed(orders)
		s.until("the receiver hangs", func() bool { return held.Load() >= 32 })
		s.until("a transaction has more than there is room for", func() bool {
			return s.unknown() > within
		})
		w.kill()
		n := s.unknown()
		t.Logf("of %d attempts nobody knows", n)
		if n <= within || n > ahead {
			t.Errorf("nobody knows of %d attempts; --notify-ahead is %d", n, ahead)
		}
	})
}
