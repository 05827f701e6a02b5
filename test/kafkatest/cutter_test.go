package kafkatest_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/test/kafkatest"
)

const endTxn = 26

// TestCutter loses requests and answers; franz-go asks again, and every value
// is there once.
func TestCutter(t *testing.T) {
	tests := map[string]kafkatest.Loss{
		"answer":  {Keys: []int16{endTxn}, Count: 1},
		"request": {Keys: []int16{endTxn}, Request: true, Count: 1},
		"a while": {Keys: []int16{endTxn}, For: 300 * time.Millisecond},
		"produce": {Keys: []int16{0}, Count: 2},
	}
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		for name, loss := range tests {
			t.Run(name, func(t *testing.T) {
				var cutter kafkatest.Cutter
				topic := b.Prefix(t) + "cutter"
				b.Topic(t, topic, 1)
				p, r := producer(t, b, topic, kgo.Dialer(cutter.Dial)), newReader(t, b, topic)
				p.write("before", 2, kgo.TryCommit)
				if n := cutter.Seen(endTxn); n != 1 {
					t.Errorf("saw %d ends of transactions, want 1", n)
				}
				cutter.Lose(loss)
				p.write("during", 2, kgo.TryCommit)
				if n := cutter.Lost(); n == 0 || loss.Count > 0 && n != loss.Count {
					t.Errorf("lost %d, want %d", n, loss.Count)
				}
				cutter.Mend()
				p.write("after", 2, kgo.TryCommit)
				r.want(6)
			})
		}
	})
}

// TestCutterExecutes proves which side of the broker a loss is on: with its
// answer lost a transaction is committed, with its request lost it is not.
func TestCutterExecutes(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		for name, want := range map[string]int{"answer": 1, "request": 0} {
			t.Run(name, func(t *testing.T) {
				var cutter kafkatest.Cutter
				topic := b.Prefix(t) + "executes"
				b.Topic(t, topic, 1)
				p := producer(t, b, topic, kgo.Dialer(cutter.Dial), kgo.RequestRetries(0))
				must(t, p.client.BeginTransaction())
				record := &kgo.Record{Topic: topic, Value: []byte("value")}
				must(t, p.client.ProduceSync(t.Context(), record).FirstErr())
				cutter.Lose(kafkatest.Loss{Keys: []int16{endTxn}, Request: name == "request"})
				if err := p.client.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
					t.Error("the client believes to know the outcome")
				}
				newReader(t, b, topic).want(want)
			})
		}
	})
}
