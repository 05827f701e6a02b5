package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/query/page"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

const (
	// scannedRows is how many rows are looked at for what waits.
	scannedRows = 200_000
	// longestWaiting is how many of them are named.
	longestWaiting = 20
)

// confirmBuffers tells what waits from the tables that this worker has of confirm.
type confirmBuffers struct {
	engine *engine.Engine
	adm    *kadm.Client
	table  string
}

// Waiting reads the committed rows, no more than scannedRows of them.
func (b *confirmBuffers) Waiting(ctx context.Context) (page.Waiting, error) {
	w := page.Waiting{
		Orders:   page.Half{Money: map[string]int64{}},
		Payments: page.Half{Money: map[string]int64{}},
	}
	mine := b.engine.Stats().Partitions
	rows := 0
	for _, p := range mine {
		view, ok := b.engine.Table(p)
		if !ok {
			continue
		}
		for row, err := range view.All("") {
			if err != nil {
				return w, err
			}
			if rows++; rows > scannedRows || ctx.Err() != nil {
				w.Partial = true
				break
			}
			r, err := schemas.ConfirmRows.Unmarshal(row.Value)
			if err != nil {
				return w, fmt.Errorf("row of %q: %w", row.Key, err)
			}
			takeWaiting(&w, row.Key, r)
		}
	}
	slices.SortFunc(w.Longest, func(x, y page.Waiter) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Order, y.Order))
	})
	w.Longest = w.Longest[:min(len(w.Longest), longestWaiting)]
	w.Source = fmt.Sprintf("From this worker's own table, which has %s",
		count(len(mine), "partition"))
	if meta, err := b.adm.ListTopics(ctx, b.table); err != nil {
		return w, err
	} else if n := len(meta[b.table].Partitions); n > 0 {
		w.Source += fmt.Sprintf(" of %d", n)
	}
	return w, ctx.Err()
}

// takeWaiting counts a row, if one of its halves lacks.
func takeWaiting(w *page.Waiting, key string, r *confirm.Row) {
	held := map[string]int64{}
	var first int64
	for i := range r.Payments {
		p := &r.Payments[i]
		if f, ok := confirm.FateOf(r, p.PaymentID); ok && f.Pending > 0 {
			held[p.Currency] += f.Pending
			if first == 0 || p.At < first {
				first = p.At
			}
		}
	}
	switch r.State {
	case tallyv1.ConfirmRow_PENDING:
		one := page.Waiter{
			Order: key, Misses: "payment", Since: time.UnixMicro(r.Order.At).UTC(),
			Minor: r.Order.Total - held[r.Order.Currency], Currency: r.Order.Currency,
		}
		if r.Deadline != 0 {
			due := time.UnixMicro(r.Deadline).UTC()
			one.Due = &due
		}
		w.Orders.Count++
		w.Orders.Money[one.Currency] += one.Minor
		waits(&w.Orders, one)
		w.Longest = append(w.Longest, one)
	case tallyv1.ConfirmRow_AWAITING_ORDER:
		if len(held) == 0 {
			return
		}
		one := page.Waiter{Order: key, Misses: "order", Since: time.UnixMicro(first).UTC()}
		for currency, minor := range held {
			w.Payments.Money[currency] += minor
			one.Minor, one.Currency = minor, currency
		}
		w.Payments.Count++
		waits(&w.Payments, one)
		w.Longest = append(w.Longest, one)
	default:
	}
}

func waits(h *page.Half, one page.Waiter) {
	if h.Oldest == nil || one.Since.Before(*h.Oldest) {
		h.Oldest = &one.Since
	}
}
