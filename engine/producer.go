package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology/keyhash"
)

// causeHeader carries, from the wrapped context to the producer, the record
// that an emit comes from. It never reaches Kafka.
const causeHeader = "\x00cause"

// outputs is Goka's producer on the transaction that is open.
type outputs struct {
	e       *Engine
	done    *goka.Promise
	refused *goka.Promise
}

func (e *Engine) producer([]string, string, func() hash.Hash32) (goka.Producer, error) {
	o := &outputs{e: e}
	var finish goka.PromiseFinisher
	o.done, finish = goka.NewPromiseWithFinisher()
	finish(nil, nil)
	o.refused, finish = goka.NewPromiseWithFinisher()
	finish(nil, errNoTransaction)
	return o, nil
}

// Emit is EmitWithHeaders without headers.
func (o *outputs) Emit(topic, key string, value []byte) *goka.Promise {
	return o.EmitWithHeaders(topic, key, value, nil)
}

// EmitWithHeaders puts a record into the open transaction. The promise is
// finished at once: whether the record is written is decided with the
// transaction, and a promise with an error would end the processor. Rows are
// answered and dropped here; the table writes them itself when it commits.
func (o *outputs) EmitWithHeaders(topic, key string, value []byte, h goka.Headers) *goka.Promise {
	if topic == o.e.tableTopic() {
		return o.done
	}
	ep := o.e.epoch.Load()
	if ep == nil || !ep.open.Load() {
		return o.refused
	}
	if o.e.isEffect(topic) { // it did not come through the engine's context
		ep.fail(fmt.Errorf("%w: emit to %s past the engine's context", ErrRefused, topic))
		return o.refused
	}
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
	var from cause
	for k, v := range h {
		if k == causeHeader {
			from = parseCause(v)
			r.Timestamp = from.timestamp
			continue
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: v})
	}
	ep.emit(r, from.spot)
	return o.done
}

// emit puts an output into the open transaction; from is what caused it.
func (ep *epoch) emit(r *kgo.Record, from spot) {
	if len(r.Key)+len(r.Value) < ep.large {
		ep.produce(r, ep.wrote)
		return
	}
	ep.produce(r, func(r *kgo.Record, err error) { ep.wroteLarge(r, from, err) })
}

// Close does nothing: the client belongs to the epoch.
func (o *outputs) Close() error { return nil }

// A cause is the record that was processed when an output was emitted.
type cause struct {
	timestamp time.Time
	spot      spot
}

func (c cause) bytes() []byte {
	b := make([]byte, 0, 20+len(c.spot.topic))
	b = binary.BigEndian.AppendUint64(b, uint64(c.timestamp.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(c.spot.partition))
	b = binary.BigEndian.AppendUint64(b, uint64(c.spot.offset))
	return append(b, c.spot.topic...)
}

func parseCause(b []byte) cause {
	return cause{
		timestamp: time.UnixMilli(int64(binary.BigEndian.Uint64(b))),
		spot: spot{
			place:  place{string(b[20:]), int32(binary.BigEndian.Uint32(b[8:]))},
			offset: int64(binary.BigEndian.Uint64(b[12:])),
		},
	}
}

// produce hands a record to the client of this epoch.
func (ep *epoch) produce(r *kgo.Record, promise func(*kgo.Record, error)) {
	ep.client.Produce(context.Background(), r, promise)
}

// wrote is the promise of every record of the transaction.
func (ep *epoch) wrote(r *kgo.Record, err error) {
	if err == nil || ep.closing.Load() {
		return
	}
	ep.fail(ep.classify(fmt.Errorf("write %s: %w", r.Topic, err)))
}

// wroteLarge sends the cause of an output that no broker takes to the dead
// letters, by way of another try of the transaction.
func (ep *epoch) wroteLarge(r *kgo.Record, from spot, err error) {
	if errors.Is(err, kerr.MessageTooLarge) && from.topic == TimersTopic(ep.e.cfg.Group) {
		err = ep.e.stop(fmt.Errorf("%w: its output to %s is too large: %w", ErrTimer, r.Topic, err))
	} else if errors.Is(err, kerr.MessageTooLarge) && from.topic != "" {
		ep.e.poison.add(from, verdict{classLarge, fmt.Sprintf(
			"its output to %s is too large: %d bytes of value: %v", r.Topic, len(r.Value), err)})
		err = fmt.Errorf("output too large: %w", err)
	}
	ep.wrote(r, err)
}

// partitioner sends changelog records to the partition they name, and all others
// to that of Kafka's key hash.
func (e *Engine) partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		if e.owns(topic) || topic == JournalTopic(e.cfg.Group) {
			return func(r *kgo.Record, _ int) int { return int(r.Partition) }
		}
		return func(r *kgo.Record, n int) int { return int(keyhash.Partition(r.Key, int32(n))) }
	})
}
