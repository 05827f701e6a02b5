package engine

import (
	"errors"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
)

// TestEffectPastTheContextIsRefused emits an effect by Goka's producer, which
// would have written it to a topic of Kafka.
func TestEffectPastTheContextIsRefused(t *testing.T) {
	e := &Engine{effects: map[goka.Stream]goka.Codec{"x-effects": new(codec.String)}}
	ep := &epoch{e: e}
	s := newSession(ep, 0, nil, nil)
	ep.open.Store(true)
	e.epoch.Store(ep)
	e.session.Store(s)
	p, err := e.producer(nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer error
	p.Emit("x-effects", "key", []byte("value")).Then(func(err error) { answer = err })
	if answer == nil {
		t.Error("the promise was kept")
	}
	if !s.failed.Load() || !errors.Is(s.err, ErrRefused) {
		t.Errorf("the session ended with %v, want %v", s.err, ErrRefused)
	}
}
