package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tallystick/query/api"
	"tallystick/query/page"
)

// viewBuffers tells what waits from the views of all workers, by the interface that this
// one serves.
type viewBuffers struct{ address string }

const (
	// askedPages is how many pages of the orders that have not ended are read.
	askedPages = 10
	// askedBytes bounds the answer with one of them.
	askedBytes = 4 << 20
)

// An openOrder is an order that has not ended, as the interface lists it.
type openOrder struct {
	Order string
	State string
	Total *moneyOf
	Paid  []moneyOf
	Owed  []moneyOf
	Due   *time.Time
	First time.Time
}

type moneyOf struct {
	Minor    int64
	Currency string
}

// Waiting reads the list of open orders, the oldest first.
func (b *viewBuffers) Waiting(ctx context.Context) (page.Waiting, error) {
	w := page.Waiting{
		Source: "From the views of all workers",
		Orders: page.Half{Money: map[string]int64{}}, Payments: page.Half{Money: map[string]int64{}},
	}
	cursor := ""
	for range askedPages {
		var list struct {
			Orders  []openOrder
			Next    string
			Missing []int32
		}
		if err := b.ask(ctx, cursor, &list); err != nil {
			return w, err
		}
		w.Missing = append(w.Missing, list.Missing...)
		slices.Sort(w.Missing)
		w.Missing = slices.Compact(w.Missing)
		for i := range list.Orders {
			list.Orders[i].count(&w)
		}
		if cursor = list.Next; cursor == "" {
			return w, nil
		}
	}
	w.Partial = true
	return w, nil
}

// direct returns a client for questions to this worker itself: no proxy is asked for the
// way, and no connection is left when the answer has been read.
func direct() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// ask reads one page of the list.
func (b *viewBuffers) ask(ctx context.Context, cursor string, into any) error {
	query := url.Values{"limit": {strconv.Itoa(api.MaxLimit)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+b.address+"/stuck?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("views: %w", err)
	}
	out, err := direct().Do(in)
	if err != nil {
		return fmt.Errorf("views: %w", err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, askedBytes))
	if err != nil {
		return fmt.Errorf("views: %w", err)
	}
	if out.StatusCode != http.StatusOK {
		var said struct{ Detail, Title string }
		_ = json.Unmarshal(text, &said) // without it the status says enough
		return fmt.Errorf("views: %s", cmp.Or(said.Detail, said.Title, out.Status))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("views: %w", err)
	}
	return nil
}

// count adds an order to the half that it is of. One of whose payments nothing is left,
// and that has not come, waits for nothing.
func (o *openOrder) count(w *page.Waiting) {
	one := page.Waiter{Order: o.Order, Misses: "payment", Since: o.First, Due: o.Due}
	half, held := &w.Orders, o.held()
	if o.Total == nil {
		if len(held) == 0 {
			return
		}
		one.Misses, half = "order", &w.Payments
		for currency, minor := range held {
			half.Money[currency] += minor
			one.Minor, one.Currency = minor, currency
		}
	} else {
		one.Currency = o.Total.Currency
		one.Minor = max(0, o.Total.Minor-held[one.Currency]) // 0: paid, and not validated yet
		half.Money[one.Currency] += one.Minor
	}
	half.Count++
	waits(half, one)
	if len(w.Longest) < longestWaiting {
		w.Longest = append(w.Longest, one)
	}
}

// held is what has come in and is not to go back, by currency.
func (o *openOrder) held() map[string]int64 {
	held := map[string]int64{}
	for _, m := range o.Paid {
		held[m.Currency] += m.Minor
	}
	for _, m := range o.Owed {
		if held[m.Currency] -= m.Minor; held[m.Currency] <= 0 {
			delete(held, m.Currency)
		}
	}
	return held
}

// fingerprints are those of the tables that this worker has.
func (w *worker) fingerprints(context.Context) ([]page.Fingerprint, error) {
	var prints []page.Fingerprint
	for _, u := range w.units {
		table := u.table()
		if table == "" {
			continue
		}
		for _, p := range u.engine.Stats().Partitions {
			view, ok := u.engine.Table(p)
			if !ok {
				continue
			}
			s, err := view.Snapshot()
			if err != nil {
				return nil, fmt.Errorf("table %s/%d: %w", table, p, err)
			}
			at := standingOf(s)
			s.Close()
			prints = append(prints, page.Fingerprint{
				Table: table, Partition: p, Value: at.Fingerprint, Rows: at.Rows,
				Source: fmt.Sprintf("this worker, at offset %d", at.Offset),
			})
		}
	}
	return prints, nil
}
