package page

import (
	"context"
	"net/http"
	"sync"
	"time"
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

	mu    sync.Mutex
	at    time.Time
	value T
	err   error
}

const (
	// fresh is for how long an answer is given again.
	fresh = 2 * time.Second
	// slow bounds how long an answer may take.
	slow = 20 * time.Second
)

func (r *remembered[T]) get(ctx context.Context) (T, time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || r.now().Sub(r.at) >= fresh {
		ctx, cancel := context.WithTimeout(ctx, slow)
		defer cancel()
		value, err := r.ask(ctx)
		if ctx.Err() != nil && err != nil { // of no use to the next one who asks
			return value, r.now(), err
		}
		r.value, r.err, r.at = value, err, r.now()
	}
	return r.value, r.at, r.err
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
