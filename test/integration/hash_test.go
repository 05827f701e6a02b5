package integration_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app"
	"tallystick/engine"
)

// TestWrongHash feeds the orders by a producer that chooses partitions as
// Sarama does by default. Nothing may be joined.
func TestWrongHash(t *testing.T) {
	const orders = 200
	each(t, func(t *testing.T, s *stage) {
		config := sarama.NewConfig()
		config.Version = sarama.V2_1_0_0
		config.Producer.Return.Successes = true
		producer, err := sarama.NewSyncProducer(s.broker.Addrs(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close() //nolint:errcheck // it has sent all it had
		var payments []*kgo.Record
		var misplaced []*sarama.ProducerMessage
		for i := range orders {
			pair, err := s.pair(fmt.Sprintf("hash-%03d", i), 100)
			if err != nil {
				t.Fatal(err)
			}
			payments = append(payments, pair[1])
			misplaced = append(misplaced, &sarama.ProducerMessage{
				Topic: pair[0].Topic, Key: sarama.ByteEncoder(pair[0].Key),
				Value: sarama.ByteEncoder(pair[0].Value),
			})
		}
		s.put(payments...)
		if err := producer.SendMessages(misplaced); err != nil {
			t.Fatal(err)
		}

		w := s.run("worker", t.TempDir(), nil)
		s.until("the worker stops", w.ended)
		said := w.log.complaint(t)
		want := regexp.MustCompile(regexp.QuoteMeta(engine.ErrMisrouted.Error()+": "+s.topics.Orders) +
			`/[0-3]@[0-9]+, key "hash-\d{3}".*\(hint: .*FNV-1a \(Sarama, Goka, `)
		if w.code != app.ExitError || !want.MatchString(said) {
			t.Errorf("exit code %d: %s", w.code, said)
		}
		result := s.count()
		if result.Confirmed != 0 || len(result.Dead) != 0 {
			t.Errorf("%d confirmations and %d dead letters, want none", result.Confirmed,
				len(result.Dead))
		}
		if lag := s.lag(); lag != 2*orders {
			t.Errorf("the group has processed %d records, want none", 2*orders-lag)
		}
	})
}
