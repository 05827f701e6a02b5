package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lovoo/goka"
)

// An Effect is an output that never reaches Kafka: something to be done in the
// world outside, such as a mail. Callbacks emit it to an output of the graph that
// [Config.Effects] names; see there for what is promised.
type Effect struct {
	Key   string
	Value []byte // as the output's codec made it; nil if nil was emitted
}

// effects are what the callbacks of the open transaction want to be done after
// it, by output, in the order in which they were emitted.
type effects struct {
	mu   sync.Mutex
	made map[goka.Stream][]Effect
}

func (e *effects) add(topic goka.Stream, one Effect) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.made == nil {
		e.made = map[goka.Stream][]Effect{}
	}
	e.made[topic] = append(e.made[topic], one)
}

// take returns what was added and forgets it: from here on it is handed over
// with this transaction, or never.
func (e *effects) take() map[goka.Stream][]Effect {
	e.mu.Lock()
	defer e.mu.Unlock()
	made := e.made
	e.made = nil
	return made
}

// prepareOutputs sorts the outputs of the graph into topics and effects.
func (e *Engine) prepareOutputs(g *goka.GroupGraph) error {
	for _, out := range g.OutputStreams() {
		name := out.Topic()
		if e.cfg.Effects[name] != nil {
			e.effects[goka.Stream(name)] = out.Codec()
			continue
		}
		if name == e.cfg.Group+"-effects" {
			return fmt.Errorf("engine: effects: %s has no function to hand them to", name)
		}
		e.outputs[goka.Stream(name)] = out.Codec()
	}
	for _, name := range slices.Sorted(maps.Keys(e.cfg.Effects)) {
		if e.effects[goka.Stream(name)] == nil {
			return fmt.Errorf("engine: effects: %s is not an output of the graph", name)
		}
	}
	return nil
}

// isEffect tells whether an output is one of effects, which Kafka never sees.
func (e *Engine) isEffect(topic string) bool { return e.effects[goka.Stream(topic)] != nil }

// emitEffect keeps an effect until its transaction is committed.
func (c *callContext) emitEffect(
	topic goka.Stream, codec goka.Codec, key string, value any, options []goka.ContextOption,
) {
	if len(options) > 0 {
		c.session.fail(fmt.Errorf("%w: headers on an effect of %s", ErrRefused, topic))
		return
	}
	one := Effect{Key: key}
	if value != nil {
		var err error
		if one.Value, err = codec.Encode(value); err != nil {
			c.inGoka = true
			c.gokaContext.Fail(fmt.Errorf("encode for %s: %w", topic, err))
			return
		}
	}
	c.session.ep.effects.add(topic, one)
}

// handOver gives the effects of a committed transaction to their functions. A
// stop of the worker does not take them back.
func (e *Engine) handOver(ctx context.Context, made map[goka.Stream][]Effect) {
	if len(made) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.TransactionTimeout)
	defer cancel()
	for _, topic := range slices.Sorted(maps.Keys(made)) {
		e.stats.effects.Add(int64(len(made[topic])))
		e.cfg.Effects[string(topic)](bounded, made[topic])
	}
}

// dropped says that effects will not be handed over, because nobody here knows
// what became of their transaction. If it was aborted, its records come again and
// make new ones.
func (e *Engine) dropped(made map[goka.Stream][]Effect, err error) {
	for topic, list := range made {
		e.log.Warn("effects dropped with their transaction", "output", topic,
			"effects", len(list), "cause", err)
	}
}

// WallTime is when the open transaction began, by the worker's clock, the same
// for all of its records. Callbacks get it by a type assertion on their context;
// what is to happen some time after an effect is timed by it, because the
// timestamps of records may be of long ago.
func (c *callContext) WallTime() time.Time { return c.session.ep.began }
