package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// verify says what is wrong with an observation, if anything.
func (o *observation) verify() []string {
	var wrong []string
	wrong = append(wrong, o.hanging...)
	wrong = append(wrong, o.repeated()...)
	wrong = append(wrong, o.poisoned()...)
	wrong = append(wrong, o.prefixes()...)
	wrong = append(wrong, o.tables()...)
	rows, bad := o.rows()
	wrong = append(wrong, bad...)
	wrong = append(wrong, o.orders(rows)...)
	return append(wrong, o.balance(rows)...)
}

const saidTwice = "said twice"

// repeated finds outputs that came twice.
func (o *observation) repeated() (wrong []string) {
	times := map[string]int{}
	for _, s := range o.said {
		times[s.id]++
		if times[s.id] == 2 {
			wrong = append(wrong, fmt.Sprintf("%s: %s: %s (id %s)", saidTwice, s.order, s.what, s.id))
		}
		if s.id == "" {
			wrong = append(wrong, fmt.Sprintf("without an id: %s: %s", s.order, s.what))
		}
	}
	return wrong
}

// poisoned compares the dead letters with what was sent to become one.
func (o *observation) poisoned() (wrong []string) {
	times := map[string]int{}
	for _, at := range o.dead {
		times[at]++
	}
	for _, f := range o.facts {
		at := fmt.Sprintf("%s/%d@%d", f.topic, f.partition, f.offset)
		want := 0
		if f.kind == poison {
			want = 1
		}
		if times[at] != want {
			wrong = append(wrong, fmt.Sprintf("%s %s (%s) is %d times in the dead letters, want %d",
				f.kind, f.order, at, times[at], want))
		}
		delete(times, at)
	}
	for at := range times {
		wrong = append(wrong, "a dead letter of nothing that was sent: "+at)
	}
	return wrong
}

// prefixes compares what the crashes left with the changelog up to its offset.
func (o *observation) prefixes() (wrong []string) {
	images := slices.Clone(o.images)
	slices.SortStableFunc(images, func(a, b image) int { return cmp.Compare(a.offset, b.offset) })
	at := map[int32]int{}
	fold := map[int32]map[string]string{}
	for _, i := range images {
		log := o.log[i.partition]
		rows := fold[i.partition]
		if rows == nil {
			rows = map[string]string{}
			fold[i.partition] = rows
		}
		n := at[i.partition]
		for ; n < len(log) && log[n].offset <= i.offset; n++ {
			apply(rows, log[n])
		}
		at[i.partition] = n
		wrong = append(wrong, i.compare(rows)...)
	}
	return wrong
}

func apply(rows map[string]string, e entry) {
	if e.deleted {
		delete(rows, e.key)
	} else {
		rows[e.key] = e.value
	}
}

// compare says how an image differs from the rows that it should hold.
func (i image) compare(want map[string]string) []string {
	if maps.Equal(i.rows, want) {
		return nil
	}
	lacks, more, other := 0, 0, 0
	for k, v := range want {
		if got, ok := i.rows[k]; !ok {
			lacks++
		} else if got != v {
			other++
		}
	}
	for k := range i.rows {
		if _, ok := want[k]; !ok {
			more++
		}
	}
	return []string{fmt.Sprintf("%s, partition %d at offset %d: of the %d rows of the changelog it "+
		"lacks %d, has %d that are other, and %d more", i.what, i.partition, i.offset, len(want),
		lacks, other, more)}
}

// tables compares the tables at the end with the whole changelog.
func (o *observation) tables() (wrong []string) {
	owners := map[int32]int{}
	for _, i := range o.finals {
		owners[i.partition]++
		rows := map[string]string{}
		var last int64 = -1
		for _, e := range o.log[i.partition] {
			apply(rows, e)
			last = e.offset
		}
		if i.offset < last {
			wrong = append(wrong, fmt.Sprintf("%s, partition %d: is at %d, the changelog at %d",
				i.what, i.partition, i.offset, last))
		}
		wrong = append(wrong, i.compare(rows)...)
	}
	for p := range int32(partitions) {
		if owners[p] != 1 {
			wrong = append(wrong, fmt.Sprintf("partition %d has %d owners at the end", p, owners[p]))
		}
	}
	return wrong
}

// rows decodes the rows at the end of the changelog, by order.
func (o *observation) rows() (map[string]*tallyv1.ConfirmRow, []string) {
	var wrong []string
	out := map[string]*tallyv1.ConfirmRow{}
	for _, log := range o.log {
		rows := map[string]string{}
		for _, e := range log {
			apply(rows, e)
		}
		for key, value := range rows {
			m := new(tallyv1.ConfirmRow)
			if err := proto.Unmarshal([]byte(value), m); err != nil {
				wrong = append(wrong, fmt.Sprintf("row of %s: %v", key, err))
			}
			out[key] = m
		}
	}
	return out, wrong
}

// orders compares what became of each order with what may have become of it.
func (o *observation) orders(rows map[string]*tallyv1.ConfirmRow) (wrong []string) {
	orders, payments := map[string][]*fact{}, map[string][]*fact{}
	all := map[string]bool{}
	facts := slices.Clone(o.facts)
	slices.SortStableFunc(facts, func(a, b *fact) int { return cmp.Compare(a.offset, b.offset) })
	for _, f := range facts {
		switch f.kind {
		case placed, cancelled, rejected:
			orders[f.order] = append(orders[f.order], f)
		case received, reversed:
			payments[f.order] = append(payments[f.order], f)
		default:
			continue
		}
		all[f.order] = true
	}
	said := map[string][]string{}
	for _, s := range o.said {
		said[s.order] = append(said[s.order], s.what)
		if !all[s.order] {
			wrong = append(wrong, fmt.Sprintf("said of an order that is not: %s: %s", s.order, s.what))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		slices.Sort(said[id])
		got := describe(rows[id]) + "; said: " + strings.Join(said[id], ", ")
		may := outcomes(orders[id], payments[id])
		if !may[got] {
			wrong = append(wrong, fmt.Sprintf("order %s:\n\tgot %s\n\tmay %s", id, got,
				strings.Join(slices.Sorted(maps.Keys(may)), "\n\tor  ")))
		}
	}
	return wrong
}

// describe is a row in the oracle's words.
func describe(r *tallyv1.ConfirmRow) string {
	state := map[tallyv1.ConfirmRow_State]string{
		tallyv1.ConfirmRow_AWAITING_ORDER: "awaiting",
		tallyv1.ConfirmRow_PENDING:        "pending",
		tallyv1.ConfirmRow_CONFIRMED:      "confirmed",
		tallyv1.ConfirmRow_CANCELLED:      cancelled,
		tallyv1.ConfirmRow_REJECTED:       rejected,
	}[r.GetState()]
	var row []string
	for _, p := range r.GetPayments() {
		row = append(row, fmt.Sprintf("%s %d %s %d %v", p.GetPaymentId(), p.GetAmount(),
			strings.ToLower(p.GetDisposition().String()), p.GetConfirmed(), p.GetReversedLate()))
	}
	return fmt.Sprintf("%s; row: %s", state, strings.Join(row, ", "))
}

// balance adds the money up: what was received must be what was confirmed, was
// too much, matched nothing, waits, or went back in time.
func (o *observation) balance(rows map[string]*tallyv1.ConfirmRow) (wrong []string) {
	in, out := map[string]int64{}, map[string]int64{}
	seen := map[string]bool{}
	facts := slices.Clone(o.facts)
	slices.SortStableFunc(facts, func(a, b *fact) int { return cmp.Compare(a.offset, b.offset) })
	for _, f := range facts {
		if f.kind == received && !seen[f.payment] {
			seen[f.payment] = true
			in[f.currency] += f.minor
		}
	}
	places := map[string]int64{}
	for _, s := range o.said {
		if s.where != "" {
			out[s.currency] += s.minor
			places[s.where+" "+s.currency] += s.minor
		}
	}
	for _, r := range rows {
		for _, p := range r.GetPayments() {
			switch p.GetDisposition() {
			case tallyv1.ConfirmRow_WAITING, tallyv1.ConfirmRow_REVERSED:
				out[p.GetCurrency()] += p.GetAmount()
				places[strings.ToLower(p.GetDisposition().String())+" "+p.GetCurrency()] += p.GetAmount()
			}
		}
	}
	delete(out, "") // of reversals without a payment, which are of 0
	if !maps.Equal(in, out) {
		wrong = append(wrong, fmt.Sprintf("money: received %v, accounted for %v (%v)", in, out, places))
	}
	return wrong
}
