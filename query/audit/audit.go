// Package audit proves from the topics alone that every order and every payment
// ended in exactly one way, that the sums balance, and that what was said and
// what is in the table is what the rules say.
//
// It checks in two ways that have little in common. It applies the rules again
// ([confirm.Step]) to what came in, and compares what they say with what was
// said; and it adds up, record by record and coin by coin, without the rules.
//
// Orders, payments and corrections arrive in topics of their own, and deadlines by
// the clock. In which order a worker took them in is in the group's journal (see the
// package of that name), which the audit follows.
package audit

import (
	"fmt"
	"maps"
	"slices"

	"tallystick/query/audit/causes"
)

// maxDifferences bounds how many differences a report spells out.
const maxDifferences = 100

// Results of an audit.
const (
	OK          = "ok"
	Differences = "differences"
)

// A Report is the result of an audit.
type Report struct {
	// Audit is OK, or Differences.
	Audit string `json:"audit"`

	// Records is how many records of the inputs were looked at, which is the
	// sum of Dispositions.
	Records      int64            `json:"records"`
	Dispositions map[string]int64 `json:"dispositions"`

	Orders     int64 `json:"orders"`     // different orders that were placed
	Payments   int64 `json:"payments"`   // different payments that were received
	Confirmed  int64 `json:"confirmed"`  // orders
	Pending    int64 `json:"pending"`    // orders that are not covered yet
	Cancelled  int64 `json:"cancelled"`  // orders, rejected ones with them
	Expired    int64 `json:"expired"`    // orders that were not paid in time
	Late       int64 `json:"late"`       // payments that came after that
	Excess     int64 `json:"excess"`     // payments of which a part was too much
	Waiting    int64 `json:"waiting"`    // payments of which nothing is decided yet
	Unmatched  int64 `json:"unmatched"`  // payments
	Mismatched int64 `json:"mismatched"` // payments
	Reversed   int64 `json:"reversed"`   // payments, before anything was said of them
	Adjusted   int64 `json:"adjusted"`   // of the payments, those that came by a correction
	Voided     int64 `json:"voided"`     // payments that a correction took back, in time or not
	Duplicates int64 `json:"duplicates"` // records that came again
	Conflicted int64 `json:"conflicted"` // records that came again with another content
	Invalid    int64 `json:"invalid"`    // records in the dead letters

	// Money is what became of the money, by currency, in minor units.
	Money map[string]*Money `json:"money"`

	// Compared is how many keys were recomputed and compared, byte for byte.
	Compared int64 `json:"compared"`
	// Forgotten is how many of them had their row deleted, after the time for which
	// settled orders are kept. What came for them later was judged as new.
	Forgotten int64 `json:"forgotten"`
	// InFlight is how many keys were left out because a worker was at them while
	// the audit began.
	InFlight int64 `json:"in_flight"`
	// Unprocessed is how many records no worker has come to yet.
	Unprocessed int64 `json:"unprocessed"`

	// Fingerprints are those of the partitions of the table.
	Fingerprints []Fingerprint `json:"fingerprints,omitempty"`
	// Causes is what was found about causes and effects, if they were looked at.
	Causes *causes.Report `json:"causes,omitempty"`

	// DifferenceCount is how many differences there are, of which the first are
	// spelled out.
	DifferenceCount int64        `json:"difference_count"`
	Differences     []Difference `json:"differences"`
}

// Money is what became of the money of one currency.
type Money struct {
	Received   int64 `json:"received"`
	Confirmed  int64 `json:"confirmed"`
	Pending    int64 `json:"pending"`
	Excess     int64 `json:"excess"`
	Mismatched int64 `json:"mismatched"`
	Unmatched  int64 `json:"unmatched"`
	Expired    int64 `json:"expired"`
	Late       int64 `json:"late"`
	Reversed   int64 `json:"reversed"`
	// Owed is what was said to have to go back. It is part of the others.
	Owed int64 `json:"owed"`
	// Adjusted is the part of Received that came in by corrections, Voided the part
	// of Reversed that they took back.
	Adjusted int64 `json:"adjusted"`
	Voided   int64 `json:"voided"`
}

// returned is what has to go back: all that ended and is not in a confirmation.
func (m *Money) returned() int64 {
	return m.Excess + m.Mismatched + m.Unmatched + m.Expired + m.Late
}

func (m *Money) spent() int64 {
	return m.Confirmed + m.Pending + m.returned() + m.Reversed
}

func (m *Money) add(o Money) {
	m.Received += o.Received
	m.Confirmed += o.Confirmed
	m.Pending += o.Pending
	m.Excess += o.Excess
	m.Mismatched += o.Mismatched
	m.Unmatched += o.Unmatched
	m.Expired += o.Expired
	m.Late += o.Late
	m.Reversed += o.Reversed
	m.Owed += o.Owed
	m.Adjusted += o.Adjusted
	m.Voided += o.Voided
}

// A Difference is one thing that is not as it must be.
type Difference struct {
	Kind   string `json:"kind"`
	Key    string `json:"key,omitempty"`
	Place  string `json:"place,omitempty"`
	Detail string `json:"detail"`
}

// String returns the difference in one line.
func (d Difference) String() string {
	s := d.Kind
	if d.Key != "" {
		s += fmt.Sprintf(" %q", d.Key)
	}
	if d.Place != "" {
		s += " at " + d.Place
	}
	return s + ": " + d.Detail
}

// Kinds of differences.
const (
	kindConfirmation = "confirmation"
	kindException    = "exception"
	kindRow          = "row"
	kindMoney        = "money"
	kindDeadLetter   = "dead letter"
	kindCause        = "cause"
	kindTable        = "table"
)

// NewReport returns the report of nothing.
func NewReport() *Report {
	return &Report{
		Audit: OK, Dispositions: map[string]int64{}, Money: map[string]*Money{},
		Differences: []Difference{},
	}
}

// differ notes one difference.
func (r *Report) differ(d Difference) {
	r.Audit = Differences
	r.DifferenceCount++
	if len(r.Differences) < maxDifferences {
		r.Differences = append(r.Differences, d)
	}
}

// money returns the sums of a currency.
func (r *Report) money(currency string) *Money {
	m := r.Money[currency]
	if m == nil {
		m = &Money{}
		r.Money[currency] = m
	}
	return m
}

// Currencies returns the currencies of the report, sorted.
func (r *Report) Currencies() []string { return slices.Sorted(maps.Keys(r.Money)) }

// merge adds the report of another part of the keys.
func (r *Report) merge(o *Report) {
	r.Records += o.Records
	for name, n := range o.Dispositions {
		r.Dispositions[name] += n
	}
	r.Orders += o.Orders
	r.Payments += o.Payments
	r.Confirmed += o.Confirmed
	r.Pending += o.Pending
	r.Cancelled += o.Cancelled
	r.Expired += o.Expired
	r.Late += o.Late
	r.Excess += o.Excess
	r.Waiting += o.Waiting
	r.Unmatched += o.Unmatched
	r.Mismatched += o.Mismatched
	r.Reversed += o.Reversed
	r.Adjusted += o.Adjusted
	r.Voided += o.Voided
	r.Duplicates += o.Duplicates
	r.Conflicted += o.Conflicted
	r.Invalid += o.Invalid
	for currency, m := range o.Money {
		r.money(currency).add(*m)
	}
	r.Compared += o.Compared
	r.Forgotten += o.Forgotten
	r.InFlight += o.InFlight
	r.Unprocessed += o.Unprocessed
	r.Fingerprints = append(r.Fingerprints, o.Fingerprints...)
	for _, d := range o.Differences {
		r.differ(d)
	}
	r.DifferenceCount += o.DifferenceCount - int64(len(o.Differences))
}

// balance holds the sums against each other.
func (r *Report) balance() {
	for _, currency := range r.Currencies() {
		if m := r.Money[currency]; m.Received != m.spent() {
			r.differ(Difference{Kind: kindMoney, Key: currency, Detail: fmt.Sprintf(
				"%d were received, %d have a fate: %+v", m.Received, m.spent(), *m)})
		}
		if m := r.Money[currency]; m.Owed != m.returned() {
			r.differ(Difference{Kind: kindMoney, Key: currency, Detail: fmt.Sprintf(
				"%d have to go back, %d were said to: %+v", m.returned(), m.Owed, *m)})
		}
	}
	var sum int64
	for _, n := range r.Dispositions {
		sum += n
	}
	if sum != r.Records {
		r.differ(Difference{Kind: "records", Detail: fmt.Sprintf(
			"%d came in, %d have a disposition", r.Records, sum)})
	}
}
