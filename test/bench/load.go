package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partitions of every topic.
const partitions = 4

// load writes the workload's records into the topics of orders and payments,
// side by side as they would have come. It returns the mean size of a value.
func load(ctx context.Context, brokers []string, w workload, f format, prefix string) (int, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MaxBufferedRecords(50_000))
	if err != nil {
		return 0, fmt.Errorf("bench: load: %w", err)
	}
	defer client.Close()
	var once sync.Once
	var failed error
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { failed = err })
		}
	}
	bytes := 0
	put := func(topic string, order, when int, value []byte, err error) error {
		if err != nil {
			return fmt.Errorf("bench: load: %w", err)
		}
		bytes += len(value)
		client.Produce(ctx, &kgo.Record{
			Topic: prefix + topic, Key: []byte(key(order)), Value: value, Timestamp: at(when),
		}, done)
		return nil
	}
	for order, payments := 0, w.payments; order < w.orders || len(payments) > 0; {
		if len(payments) == 0 || order < w.orders && order <= payments[0].at {
			value, err := f.order(order)
			if err := put("orders", order, order, value, err); err != nil {
				return 0, err
			}
			order++
			continue
		}
		p := payments[0]
		value, err := f.payment(p.order)
		if err := put("payments", p.order, p.at, value, err); err != nil {
			return 0, err
		}
		payments = payments[1:]
	}
	if err := client.Flush(ctx); err != nil {
		return 0, fmt.Errorf("bench: load: %w", err)
	}
	if failed != nil {
		return 0, fmt.Errorf("bench: load: %w", failed)
	}
	return bytes / w.inputs(), nil
}
