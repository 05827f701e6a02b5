package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tallystick/query/views"
	"tallystick/schemas"
)

// listJSON is one page of a list.
type listJSON struct {
	Orders []summaryJSON `json:"orders"`
	// Next is the cursor of the page behind this one, if there is one.
	Next string `json:"next,omitempty"`
	// Missing are the partitions whose orders are not among these.
	Missing []int32 `json:"missing,omitempty"`
}

// An item is an order of a list, and where it stands in it.
type item struct {
	Entry []byte      `json:"entry"`
	Order summaryJSON `json:"order"`
}

func (i item) place() Entry { return Entry{i.Entry, i.Order.Order} }

// before tells which of two comes first in a list.
func before(a, b Entry) int {
	return cmp.Or(bytes.Compare(a.Entry, b.Entry), strings.Compare(a.Order, b.Order))
}

// listCustomer answers with the orders of a customer, the newest first.
func (s *Server) listCustomer(out http.ResponseWriter, in *http.Request) {
	if id, ok := idOf(out, in); ok {
		s.list(out, in, views.CustomerPrefix(id))
	}
}

// listOpen answers with the orders that have not ended, the oldest first.
func (s *Server) listOpen(out http.ResponseWriter, in *http.Request) {
	s.list(out, in, views.OpenPrefix())
}

// list answers with a page of the orders whose entries begin with prefix.
func (s *Server) list(out http.ResponseWriter, in *http.Request, prefix []byte) {
	query := in.URL.Query()
	limit := DefaultLimit
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > MaxLimit {
			badRequest(fmt.Sprintf("limit is a number from 1 to %d", MaxLimit),
				"for example limit=100").write(out)
			return
		}
	}
	var last Entry
	if text := query.Get("cursor"); text != "" {
		var err error
		if last, err = parseCursor(text, prefix); err != nil {
			badRequest("cursor: "+err.Error(), "use the next of the page before, or none").write(out)
			return
		}
	}
	all, ok := s.gather(out, in, func(ctx context.Context, rows Rows) (any, error) {
		return page(ctx, rows, prefix, last, limit+1)
	})
	if !ok {
		return
	}
	var items []item
	for _, one := range all.parts {
		var some []item
		if err := json.Unmarshal(one.Gives, &some); err != nil {
			failed(err).write(out)
			return
		}
		items = append(items, some...)
	}
	slices.SortFunc(items, func(a, b item) int { return before(a.place(), b.place()) })
	shown := listJSON{Orders: []summaryJSON{}, Missing: all.missing}
	if len(items) > limit {
		items = items[:limit]
		shown.Next = cursorOf(items[limit-1].place())
	}
	for _, i := range items {
		shown.Orders = append(shown.Orders, i.Order)
	}
	answer(out, http.StatusOK, shown)
}

// page reads up to n orders of a partition behind last.
func page(ctx context.Context, rows Rows, prefix []byte, last Entry, n int) ([]item, error) {
	items := []item{}
	for e, err := range rows.Index(last.Entry, prefix) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if last.Entry != nil && before(e, last) <= 0 {
			continue
		}
		b, err := rows.Get(e.Order)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		row, err := schemas.OrderViews.Unmarshal(b)
		if err != nil {
			return nil, err
		}
		if items = append(items, item{e.Entry, summary(e.Order, row)}); len(items) == n {
			break
		}
	}
	return items, nil
}

// riskJSON is what depends on the open orders in one currency.
type riskJSON struct {
	Currency string `json:"currency"`
	// Orders is how many open orders there are with money in the currency.
	Orders int64 `json:"orders"`
	// Total is what they cost, Held what has come in for them and is not to go back.
	Total int64 `json:"total"`
	Held  int64 `json:"held"`
}

// moneyAtRisk is the answer about money.
type moneyAtRisk struct {
	Currencies []riskJSON `json:"currencies"`
	// Missing are the partitions whose orders are not in the sums.
	Missing []int32 `json:"missing,omitempty"`
}

// sumMoney answers with the money in orders that have not ended, by currency.
func (s *Server) sumMoney(out http.ResponseWriter, in *http.Request) {
	all, ok := s.gather(out, in, func(ctx context.Context, rows Rows) (any, error) {
		sums := map[string]riskJSON{}
		for e, err := range rows.Index(nil, views.MoneyPrefix()) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			if a, ok := views.Money(e.Entry); ok {
				add(sums, riskJSON{a.Currency, 1, a.Total, a.Paid})
			}
		}
		return sums, nil
	})
	if !ok {
		return
	}
	sums := map[string]riskJSON{}
	for _, one := range all.parts {
		var some map[string]riskJSON
		if err := json.Unmarshal(one.Gives, &some); err != nil {
			failed(err).write(out)
			return
		}
		for _, r := range some {
			add(sums, r)
		}
	}
	shown := moneyAtRisk{Currencies: []riskJSON{}, Missing: all.missing}
	for _, r := range sums {
		shown.Currencies = append(shown.Currencies, r)
	}
	slices.SortFunc(shown.Currencies, func(a, b riskJSON) int {
		return strings.Compare(a.Currency, b.Currency)
	})
	answer(out, http.StatusOK, shown)
}

func add(sums map[string]riskJSON, r riskJSON) {
	was := sums[r.Currency]
	sums[r.Currency] = riskJSON{
		r.Currency, was.Orders + r.Orders, sum(was.Total, r.Total), sum(was.Held, r.Held),
	}
}

// sum adds what is not negative, up to the largest number there is.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
