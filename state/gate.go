package state

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// A gate lets users in until it is shut, and then waits for them to leave.
type gate struct {
	users atomic.Int64
	shut  atomic.Bool
	idle  chan struct{} // holds one token
}

func (g *gate) enter() bool {
	g.users.Add(1)
	if g.shut.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	if g.users.Add(-1) == 0 && g.shut.Load() {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// shutDown shuts the gate and waits until nobody is inside. It returns false
// if the gate was shut before.
func (g *gate) shutDown() bool {
	if g.shut.Swap(true) {
		return false
	}
	for g.users.Load() != 0 {
		<-g.idle
	}
	return true
}

// openReads are the iterators and snapshots of Pebble's that are open. Each is
// closed by its user or by the DB, whoever comes first.
type openReads struct {
	mu   sync.Mutex
	open map[io.Closer]struct{}
}

func (r *openReads) add(c io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[io.Closer]struct{}{}
	}
	r.open[c] = struct{}{}
}

// close closes c, unless that was done before.
func (r *openReads) close(c io.Closer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.open[c]; !ok {
		return nil
	}
	delete(r.open, c)
	return c.Close()
}

// closeAll closes what is open.
func (r *openReads) closeAll() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for c := range r.open {
		errs = append(errs, c.Close())
	}
	clear(r.open)
	return errors.Join(errs...)
}
