package engine

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
)

// Wrap is put around every callback of the processor. A record goes to the dead
// letters, in the same transaction as everything else, and cb does not see it
//
//   - if its decoded value is an error: codecs of inputs should be total, see [Total];
//   - if one of checks, given its key and decoded value, returns an error;
//   - if its key is parked, see [Config.Park].
//
// If cb panics, the transaction is aborted and replayed without that record,
// which goes to the dead letters. A row that can't be decoded stops the worker.
func (e *Engine) Wrap(
	cb goka.ProcessCallback, checks ...func(key string, msg any) error,
) goka.ProcessCallback {
	return func(ctx goka.Context, msg any) {
		c, ok := ctx.(*callContext)
		if !ok { // outside of the engine, as in Goka's tester
			cb(ctx, msg)
			return
		}
		if c.session == nil || c.session.failed.Load() {
			return // the transaction is lost; its records come again
		}
		c.tick()
		why, held := c.quarantined(msg)
		if !c.admit() {
			return
		}
		if held {
			c.refuse(why)
			return
		}
		if err, bad := msg.(error); bad {
			c.refuse(verdict{classMalformed, err.Error()})
			return
		}
		for _, check := range checks {
			if err := check(c.Key(), msg); err != nil {
				c.refuse(verdict{classCheck, err.Error()})
				return
			}
		}
		c.call(cb, msg)
		c.resolve()
	}
}

// Total makes a codec fit for an input: what it can't decode becomes a value,
// the error, which [Engine.Wrap] sends to the dead letters. Goka itself would
// stop the worker.
func Total(c goka.Codec) goka.Codec { return total{c} }

type total struct{ goka.Codec }

// Decode returns the error of the codec as the value.
func (t total) Decode(b []byte) (any, error) {
	v, err := t.Codec.Decode(b)
	if err != nil {
		return err, nil
	}
	return v, nil
}

type gokaContext = goka.Context // so that the embedded field doesn't hide its method

// callContext is what a callback sees of the engine. It lets outputs know their
// cause, and tells a panic of Goka's from one of the callback's.
type callContext struct {
	gokaContext
	session *session
	inGoka  bool   // within a method of Goka's context
	cause   []byte // set by the first emit
	retry   *retrial
	row     *ParkedKey // of the key, if a retry of the first that waits is at it
}

func (e *Engine) wrapContext(ctx goka.Context) goka.Context {
	s := e.session.Load()
	return &callContext{gokaContext: ctx, session: s, retry: s.retried(ctx)}
}

func (c *callContext) call(cb goka.ProcessCallback, msg any) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if c.inGoka { // a codec of ours, a wrong topic: a defect, not bad input
			c.session.fail(fmt.Errorf("%w: key %s, from %s: %v", ErrRow,
				printable([]byte(c.Key())), c.spot(), p))
			return
		}
		if c.timer() {
			c.session.fail(c.session.ep.e.stop(fmt.Errorf("%w: key %s: panic: %v\n%s", ErrTimer,
				printable([]byte(c.Key())), p, debug.Stack())))
			return
		}
		v := verdict{classPanic, fmt.Sprintf("panic: %v", p)}
		c.session.ep.e.log.Error("callback panicked", "at", c.spot().String(), "panic", p,
			"stack", string(debug.Stack()))
		c.session.ep.e.poison.add(c.spot(), v)
		c.session.fail(again(fmt.Errorf("callback panicked at %s: %v", c.spot(), p)))
	}()
	cb(c, msg)
}

// tick moves the partition's clock by the record, unless it is one that came before.
func (c *callContext) tick() {
	if clock := c.session.clocks[c.Partition()]; clock != nil && c.retry == nil {
		clock.advance(string(c.Topic()), c.Timestamp())
	}
}

// StreamTime returns the stream time of the partition, the record included: the
// minimum over the inputs of the highest timestamp of their records, idle ones left
// out. It is the zero time as long as nothing is known of an input. Processors that
// don't know the engine find it by its name.
func (c *callContext) StreamTime() time.Time {
	return c.session.clocks[c.spot().partition].time()
}

// spot is where the record was read: for one that is retried, in the retry topic.
func (c *callContext) spot() spot {
	if c.retry != nil {
		return c.retry.at
	}
	return spot{place{string(c.Topic()), c.Partition()}, c.Offset()}
}

func (s spot) String() string { return fmt.Sprintf("%s/%d@%d", s.topic, s.partition, s.offset) }

func (c *callContext) bury(v verdict, notes ...note) {
	r := c.session.find(c.spot())
	if r == nil {
		c.session.fail(fmt.Errorf("%w: %s was not delivered", ErrRefused, c.spot()))
		return
	}
	if c.retry != nil {
		r = c.retry.Origin()
		notes = append(notes, note{"retry", c.spot().String()})
	}
	c.session.ep.refuse(c.spot())
	c.session.ep.write(r, v, notes...)
}

func (c *callContext) from() goka.ContextOption {
	if c.cause == nil {
		c.cause = cause{timestamp: c.Timestamp(), spot: c.spot()}.bytes()
	}
	return goka.WithCtxEmitHeaders(goka.Headers{causeHeader: c.cause})
}

// The row goes past Goka, as outputs do: whether it is written is decided with the
// transaction, and the table writes its changelog itself.

// table is the partition of the group's table that the record is processed in, nil if
// there is none.
func (c *callContext) table() *state.Table {
	if c.retry != nil { // a record that was in the wrong partition is retried in the right one
		return c.session.tables[c.retry.at.partition]
	}
	return c.session.tables[c.Partition()]
}

// Value returns the row of the record's key, nil if there is none.
func (c *callContext) Value() any {
	table := c.table()
	c.inGoka = true
	var row any
	if table == nil { // Goka knows why
		row = c.gokaContext.Value()
	} else if data, err := table.Get(c.Key()); err != nil {
		c.gokaContext.Fail(fmt.Errorf("read row: %w", err))
	} else if data == nil {
		row = nil
	} else if row, err = c.session.ep.e.rows.Decode(data); err != nil {
		c.gokaContext.Fail(fmt.Errorf("decode row: %w", err))
	}
	c.inGoka = false
	return row
}

// SetValue writes the row of the record's key.
func (c *callContext) SetValue(value any, options ...goka.ContextOption) {
	table := c.table()
	c.inGoka = true
	if table == nil || value == nil { // Goka knows why not
		c.gokaContext.SetValue(value, options...)
	} else if data, err := c.session.ep.e.rows.Encode(value); err != nil {
		c.gokaContext.Fail(fmt.Errorf("encode row: %w", err))
	} else if err := table.Set(c.Key(), data); err != nil {
		c.gokaContext.Fail(fmt.Errorf("write row: %w", err))
	}
	c.inGoka = false
}

// Delete deletes the row of the record's key.
func (c *callContext) Delete(options ...goka.ContextOption) {
	table := c.table()
	c.inGoka = true
	if table == nil {
		c.gokaContext.Delete(options...)
	} else if err := table.Delete(c.Key()); err != nil {
		c.gokaContext.Fail(fmt.Errorf("delete row: %w", err))
	}
	c.inGoka = false
}

// Emit is Goka's; the output gets the timestamp of the record it comes from. An
// emit without options to a declared output goes past Goka, whose promises and
// counters say nothing that the transaction does not.
func (c *callContext) Emit(
	topic goka.Stream, key string, value any, options ...goka.ContextOption,
) {
	if codec := c.session.ep.e.effects[topic]; codec != nil {
		c.emitEffect(topic, codec, key, value, options)
		return
	}
	c.inGoka = true
	codec := c.session.ep.e.outputs[topic]
	if codec == nil || value == nil || len(options) > 0 {
		c.gokaContext.Emit(topic, key, value, append(options, c.from())...)
		c.inGoka = false
		return
	}
	data, err := codec.Encode(value)
	if err != nil {
		c.gokaContext.Fail(fmt.Errorf("encode for %s: %w", topic, err))
		return
	}
	c.inGoka = false
	c.session.ep.emit(&kgo.Record{
		Topic: string(topic), Key: []byte(key), Value: data, Timestamp: c.Timestamp(),
	}, c.spot())
}

// Loopback is Goka's; the output gets the timestamp of the record it comes from.
func (c *callContext) Loopback(key string, value any, options ...goka.ContextOption) {
	c.inGoka = true
	c.gokaContext.Loopback(key, value, append(options, c.from())...)
	c.inGoka = false
}

// Join is Goka's.
func (c *callContext) Join(topic goka.Table) any {
	c.inGoka = true
	v := c.gokaContext.Join(topic)
	c.inGoka = false
	return v
}

// Lookup is Goka's.
func (c *callContext) Lookup(topic goka.Table, key string) any {
	c.inGoka = true
	v := c.gokaContext.Lookup(topic, key)
	c.inGoka = false
	return v
}

// Fail stops the worker.
func (c *callContext) Fail(err error) {
	c.inGoka = true
	c.gokaContext.Fail(err)
	c.inGoka = false
}

// DeferCommit is refused: the transaction would have to wait for it.
func (c *callContext) DeferCommit() func(error) {
	c.session.fail(fmt.Errorf("%w: DeferCommit", ErrRefused))
	return func(error) {}
}
