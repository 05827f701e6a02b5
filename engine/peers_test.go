package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tallystick/engine"
)

// advertise lets a worker tell its address.
func advertise(instance, address string) setting {
	return func(c *engine.Config) { c.Instance, c.Advertise = instance, address }
}

// agreed waits until each worker has a partition, and all say the same: that each
// partition is at the address of the worker that has it.
func (w *world) agreed(at map[string]*worker) map[int32]string {
	w.t.Helper()
	var all map[int32]string
	w.eventually("the workers know each other", func() bool {
		all = map[int32]string{}
		for address, wk := range at {
			had := len(all)
			for p := range int32(testParts) {
				if _, ok := wk.e.Table(p); ok {
					all[p] = address
				}
			}
			if len(all) == had {
				return false
			}
		}
		for _, wk := range at {
			peers, err := wk.e.Peers(w.t.Context())
			if err != nil || !maps.Equal(peers, all) {
				return false
			}
		}
		return len(all) == testParts
	})
	return all
}

// TestPeers: the workers of a group find each other through it, when one comes,
// comes back under another address, and goes.
func TestPeers(t *testing.T) {
	w := newWorld(t)
	one := w.start(vfs.NewMem(), nil, advertise("one", "one:1"))
	if all := w.agreed(map[string]*worker{"one:1": one}); all[0] != "one:1" {
		t.Errorf("alone: %v", all)
	}
	fs := vfs.NewMem()
	two := w.start(fs, nil, advertise("two", "two:1"))
	all := w.agreed(map[string]*worker{"one:1": one, "two:1": two})
	if all[0] == all[testParts-1] {
		t.Errorf("two workers: %v", all)
	}
	two.end()
	two = w.start(fs, nil, advertise("two", "two:2"))
	w.agreed(map[string]*worker{"one:1": one, "two:2": two})
	two.end()
	one.end()
}

// TestPeersSayNothing: a worker without an address is left out, and one that has not
// begun says so.
func TestPeersSayNothing(t *testing.T) {
	w := newWorld(t)
	one := w.start(vfs.NewMem(), nil)
	w.eventually("it is ready", func() bool { return one.e.Stats().Ready })
	if peers, err := one.e.Peers(t.Context()); err != nil || len(peers) != 0 {
		t.Errorf("peers %v, %v", peers, err)
	}
	for i := range 100 {
		key := fmt.Sprintf("k%d", i)
		w.send(leftTopic, key+"=l")
		p, err := one.e.Partition(key)
		if err != nil || one.e.Width() != testParts {
			t.Fatalf("%d of %d partitions, %v", p, one.e.Width(), err)
		}
	}
	w.eventually("all rows are where they are said to be", func() bool {
		for i := range 100 {
			key := fmt.Sprintf("k%d", i)
			p, _ := one.e.Partition(key) //nolint:errcheck // seen above
			view, _ := one.e.Table(p)
			if row, err := view.Get(key); err != nil || row == nil {
				return false
			}
		}
		return true
	})
	one.end()
	idle, err := engine.New(engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: "other", Instance: "x", State: w.open(vfs.NewMem()),
		Interval: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Peers(t.Context()); !errors.Is(err, engine.ErrNotRunning) {
		t.Errorf("before it runs: %v", err)
	}
	if _, err := idle.Partition("k"); !errors.Is(err, engine.ErrNotRunning) {
		t.Errorf("before it runs: %v", err)
	}
}
