package page

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Buffers tells what waits for its other half.
type Buffers interface {
	Waiting(ctx context.Context) (Waiting, error)
}

// Waiting is what waits for its other half.
type Waiting struct {
	// Source says what was counted, for people: all orders, or those of one worker.
	Source string `json:"source"`
	// Partial says that there is more than was counted.
	Partial bool `json:"partial"`
	// Missing are the partitions that did not answer, whose orders are not counted.
	Missing []int32 `json:"missing,omitempty"`
	// Orders are not covered by payments yet, Payments wait for their order.
	Orders   Half `json:"orders"`
	Payments Half `json:"payments"`
	// Longest are those that wait for the longest, the oldest first.
	Longest []Waiter `json:"longest"`
}

// A Half is one side of what waits.
type Half struct {
	Count int64 `json:"count"`
	// Oldest is since when the first of them waits, nil if none does.
	Oldest *time.Time `json:"oldest"`
	// Money is how much they are about by currency, in minor units. Of an order it is
	// what is not paid yet.
	Money map[string]int64 `json:"money"`
}

// A Waiter is one order that is not covered, or that is paid and unknown.
type Waiter struct {
	Order string `json:"order"`
	// Misses is "payment" or "order".
	Misses string    `json:"misses"`
	Since  time.Time `json:"since"`
	// Due is when it expires, nil if it does not.
	Due      *time.Time `json:"due,omitempty"`
	Minor    int64      `json:"minor"`
	Currency string     `json:"currency"`
}

// remembered is an answer that is asked for no more than once in a while, however many
// want it.
type remembered[T any] struct {
	ask func(context.Context) (T, error)
	now func() time.Time

	asking singleflight.Group
	mu     sync.Mutex
	last   given[T]
}

// A given is an answer, or why there is none, and when that was.
type given[T any] struct {
	at    time.Time
	value T
	err   error
}

const (
	// fresh is for how long an answer is given again.
	fresh = 2 * time.Second
	// stale is for how long a failure is.
	stale = time.Second
	// slow bounds how long an answer may take.
	slow = 20 * time.Second
)

// get returns the answer and when it was given. Those who want it at the same time wait
// for the same one, each for as long as he likes: it is not given up when one of them
// goes.
func (r *remembered[T]) get(ctx context.Context) (T, time.Time, error) {
	if last, ok := r.known(); ok {
		return last.value, last.at, last.err
	}
	done := r.asking.DoChan("", func() (any, error) {
		if _, ok := r.known(); ok { // somebody was faster
			return nil, nil
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), slow)
		defer cancel()
		value, err := r.ask(bounded)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last = given[T]{r.now(), value, err}
		return nil, nil
	})
	select {
	case <-ctx.Done():
		var none T
		return none, r.now(), ctx.Err()
	case <-done:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.last.value, r.last.at, r.last.err
	}
}

// known is the last answer, and whether it may be given again.
func (r *remembered[T]) known() (given[T], bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	age := fresh
	if r.last.err != nil {
		age = stale
	}
	return r.last, !r.last.at.IsZero() && r.now().Sub(r.last.at) < age
}

func (p *Page) serveBuffers(out http.ResponseWriter, in *http.Request) {
	if p.buffers == nil {
		refuse(out, http.StatusNotFound, "this worker runs nothing that knows what waits")
		return
	}
	waiting, at, err := p.buffers.get(in.Context())
	if err != nil {
		refuse(out, http.StatusBadGateway, err.Error())
		return
	}
	if waiting.Longest == nil {
		waiting.Longest = []Waiter{}
	}
	answer(out, http.StatusOK, struct {
		At time.Time `json:"at"`
		Waiting
	}{at.UTC(), waiting})
}
