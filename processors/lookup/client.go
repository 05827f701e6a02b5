package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"tallystick/schemas"
)

// Asking is how the order service is asked.
type Asking struct {
	// URL is that of the service; /orders/ and the id come behind it.
	URL string
	// HTTP does the requests. It should keep as many idle connections to the
	// service as there are partitions.
	HTTP *http.Client
	// Timeout is how long one attempt may take.
	Timeout time.Duration
	// Attempts is how often the service is asked about one message, and Backoff the
	// wait before the second one, which doubles from then on.
	Attempts int
	Backoff  time.Duration
	// CacheFor is how long an answer is taken for good; 0 for no cache.
	CacheFor time.Duration
	// CacheSize is how many answers are kept.
	CacheSize int
	// Now is the clock of the cache.
	Now func() time.Time
}

// DefaultAsking is how a service next door is asked, without a cache.
func DefaultAsking(url string, client *http.Client, now func() time.Time) Asking {
	return Asking{
		URL: url, HTTP: client, Timeout: 250 * time.Millisecond, Attempts: 4,
		Backoff: 50 * time.Millisecond, CacheSize: 100_000, Now: now,
	}
}

// Validate returns what is wrong with the settings.
func (a Asking) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("lookup: "+format, args...))
		}
	}
	u, err := url.Parse(a.URL)
	need(err == nil && u.Host != "", "url: %q is not one", a.URL)
	need(a.HTTP != nil, "http: is nil")
	need(a.Now != nil, "now: is nil")
	need(a.Timeout > 0, "timeout: %v is not above 0", a.Timeout)
	need(a.Attempts > 0 && a.Attempts <= 10, "attempts: %d is not within 1 and 10", a.Attempts)
	need(a.Backoff >= 0 && a.Backoff <= 10*time.Second,
		"backoff: %v is not within 0 and 10s", a.Backoff)
	need(a.CacheFor >= 0, "cache-for: %v is below 0", a.CacheFor)
	need(a.CacheSize > 0, "cache-size: %d is not above 0", a.CacheSize)
	return errors.Join(errs...)
}

// An Answer is the body of a response: the events about the order in the order in
// which the service took them, in their JSON form.
type Answer struct {
	Orders   []json.RawMessage `json:"orders,omitempty"`
	Payments []json.RawMessage `json:"payments,omitempty"`
}

// A Client asks the order service. It is safe for concurrent use.
type Client struct {
	how    Asking
	cache  *cache
	calls  atomic.Int64
	hits   atomic.Int64
	failed atomic.Int64
}

// NewClient returns a client. It opens no connection.
func NewClient(how Asking) (*Client, error) {
	if err := how.Validate(); err != nil {
		return nil, err
	}
	return &Client{how: how, cache: newCache(how.CacheFor, how.CacheSize)}, nil
}

// Traffic is what a client has done.
type Traffic struct {
	// Calls are the requests that were made, those that failed among them.
	Calls int64
	// Hits are the answers that came from the cache.
	Hits int64
	// GivenUp are the questions that got no answer.
	GivenUp int64
}

// Traffic returns what the client has done so far.
func (c *Client) Traffic() Traffic {
	return Traffic{c.calls.Load(), c.hits.Load(), c.failed.Load()}
}

// Ask returns what the service knows of an order, which is nothing for an order
// that it has not heard of. After the last attempt it returns that one's error.
func (c *Client) Ask(ctx context.Context, orderID string) (Known, error) {
	if known, ok := c.cache.get(orderID, c.how.Now()); ok {
		c.hits.Add(1)
		return known, nil
	}
	wait := c.how.Backoff
	for attempt := 1; ; attempt++ {
		asked := c.how.Now()
		known, found, err := c.attempt(ctx, orderID)
		if err == nil {
			if found {
				c.cache.put(orderID, known, asked)
			}
			return known, nil
		}
		var refused *refusal
		if attempt == c.how.Attempts || errors.As(err, &refused) && !refused.passing() {
			c.failed.Add(1)
			return Known{}, fmt.Errorf("lookup: order %s: %w", orderID, err)
		}
		if err := pause(ctx, wait); err != nil {
			return Known{}, fmt.Errorf("lookup: order %s: %w", orderID, err)
		}
		wait *= 2
	}
}

// A refusal is an answer with a status that carries no order.
type refusal struct{ status int }

func (r *refusal) Error() string { return "the order service answers " + http.StatusText(r.status) }

// passing tells whether the same question may be answered later.
func (r *refusal) passing() bool {
	return r.status >= 500 || r.status == http.StatusTooManyRequests ||
		r.status == http.StatusRequestTimeout
}

// attempt asks once. Found tells whether the service has heard of the order.
func (c *Client) attempt(ctx context.Context, orderID string) (_ Known, found bool, _ error) {
	ctx, cancel := context.WithTimeout(ctx, c.how.Timeout)
	defer cancel()
	c.calls.Add(1)
	to := c.how.URL + "/orders/" + url.PathEscape(orderID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return Known{}, false, err
	}
	res, err := c.how.HTTP.Do(req)
	if err != nil {
		return Known{}, false, err
	}
	defer res.Body.Close()
	// A body that is read to its end leaves the connection fit for the next one.
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return Known{}, false, err
	case res.StatusCode == http.StatusNotFound:
		return Known{}, false, nil
	case res.StatusCode != http.StatusOK:
		return Known{}, false, &refusal{res.StatusCode}
	}
	known, err := parse(body)
	return known, err == nil, err
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 16 << 20

// parse reads an answer.
func parse(body []byte) (Known, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Known{}, fmt.Errorf("answer: %w", err)
	}
	var known Known
	for _, b := range a.Orders {
		m, err := schemas.Orders.Unmarshal(b)
		if err != nil {
			return Known{}, fmt.Errorf("answer: %w", err)
		}
		known = known.WithOrder(m, time.Time{})
	}
	for _, b := range a.Payments {
		m, err := schemas.Payments.Unmarshal(b)
		if err != nil {
			return Known{}, fmt.Errorf("answer: %w", err)
		}
		known = known.WithPayment(m, time.Time{})
	}
	return known, nil
}

// pause waits, no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
