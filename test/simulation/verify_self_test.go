package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// sound is a small observation with nothing wrong in it: one order, covered by
// two payments of which the second is too large, and one poison record.
func sound() *observation {
	at := func(topic string, offset int64, f fact) *fact {
		f.topic, f.offset, f.order, f.currency = topic, offset, "o", "EUR"
		return &f
	}
	o := &observation{
		facts: []*fact{
			at("orders", 0, fact{kind: placed, customer: "c", minor: 10}),
			at("payments", 0, fact{kind: received, payment: "p", minor: 4}),
			at("payments", 1, fact{kind: received, payment: "q", minor: 7}),
			at("payments", 2, fact{kind: poison}),
		},
		said: []speech{
			{
				order: "o", id: "1", what: "confirmed: c 10 EUR [p=4 q=6]",
				currency: "EUR", where: counted, minor: 10,
			},
			{
				order: "o", id: "2", what: "excess: q 1 of 7",
				currency: "EUR", where: excess, minor: 1,
			},
			{order: "o", id: "4", what: "refund: q 1 EUR excess"},
		},
		dead: []string{"payments/0@2"},
		log:  map[int32][]entry{},
	}
	p := tallyv1.ConfirmRow_Payment{PaymentId: "p", Amount: 4, Currency: "EUR"}
	first := &tallyv1.ConfirmRow{
		State:    tallyv1.ConfirmRow_PENDING,
		Payments: []*tallyv1.ConfirmRow_Payment{proto.Clone(&p).(*tallyv1.ConfirmRow_Payment)},
	}
	p.Disposition, p.Confirmed = tallyv1.ConfirmRow_COUNTED, 4
	second := &tallyv1.ConfirmRow{
		State: tallyv1.ConfirmRow_CONFIRMED,
		Payments: []*tallyv1.ConfirmRow_Payment{&p, {
			PaymentId: "q", Amount: 7, Currency: "EUR",
			Disposition: tallyv1.ConfirmRow_COUNTED, Confirmed: 6,
		}},
	}
	var rows []string
	for _, m := range []*tallyv1.ConfirmRow{first, second} {
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err) // the messages above can be written
		}
		rows = append(rows, string(b))
	}
	for i, r := range rows {
		o.log[0] = append(o.log[0], entry{offset: int64(2 * i), key: "o", value: r})
	}
	for p := range int32(partitions) {
		i := image{what: "end", partition: p, offset: -1, rows: map[string]string{}}
		if p == 0 {
			i.offset, i.rows = 2, map[string]string{"o": rows[1]}
		}
		o.finals = append(o.finals, i)
	}
	o.images = []image{
		{what: "late", partition: 0, offset: 3, rows: map[string]string{"o": rows[1]}},
		{what: "early", partition: 0, offset: 0, rows: map[string]string{"o": rows[0]}},
	}
	return o
}

// TestOracleNotices damages what was observed and expects a complaint.
func TestOracleNotices(t *testing.T) {
	if wrong := sound().verify(); len(wrong) > 0 {
		t.Fatalf("nothing is wrong, but: %v", wrong)
	}
	for _, c := range []struct {
		name, complaint string
		damage          func(*observation)
	}{
		{"a confirmation twice", saidTwice, func(o *observation) {
			o.said = append(o.said, o.said[0])
		}},
		{"a confirmation under another id", "order o:", func(o *observation) {
			again := o.said[0]
			again.id = "3"
			o.said = append(o.said, again)
		}},
		{"no confirmation", "order o:", func(o *observation) { o.said = o.said[1:] }},
		{"no excess", "money:", func(o *observation) { o.said = o.said[:1] }},
		{"no refund", "order o:", func(o *observation) { o.said = o.said[:2] }},
		{"another share", "order o:", func(o *observation) {
			o.said[0].what = "confirmed: c 10 EUR [p=3 q=7]"
		}},
		{"another order", "said of an order that is not", func(o *observation) {
			o.said[0].order = "x"
		}},
		{"no id", "without an id", func(o *observation) { o.said[0].id = "" }},
		{"money from nowhere", "money:", func(o *observation) { o.said[1].minor++ }},
		{"poison lost", "0 times in the dead letters", func(o *observation) { o.dead = nil }},
		{"poison twice", "2 times in the dead letters", func(o *observation) {
			o.dead = append(o.dead, o.dead[0])
		}},
		{"a good record buried", "1 times in the dead letters, want 0", func(o *observation) {
			o.dead = append(o.dead, "orders/0@0")
		}},
		{"a stranger buried", "of nothing that was sent", func(o *observation) {
			o.dead = append(o.dead, "orders/0@9")
		}},
		{"an image ahead of its offset", "1 that are other", func(o *observation) {
			o.images[1].rows = o.images[0].rows
		}},
		{"an image behind its offset", "1 that are other", func(o *observation) {
			o.images[0].rows = o.images[1].rows
		}},
		{"an image with a row too many", "1 more", func(o *observation) {
			o.images[0].rows = maps.Clone(o.images[0].rows)
			o.images[0].rows["x"] = ""
		}},
		{"a table that lacks a row", "lacks 1", func(o *observation) { o.finals[0].rows = nil }},
		{"a table that is behind", "is at 0, the changelog at 2", func(o *observation) {
			o.finals[0].offset = 0
		}},
		{"a partition without an owner", "0 owners", func(o *observation) {
			o.finals = o.finals[:partitions-1]
		}},
		{"a partition with two owners", "2 owners", func(o *observation) {
			o.finals = append(o.finals, o.finals[1])
		}},
		{"an undecided transaction", "decided up to", func(o *observation) {
			o.hanging = []string{"orders/0: decided up to 1 of 2"}
		}},
		{"a row that is not the last word", "order o:", func(o *observation) {
			o.log[0] = o.log[0][:1]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := sound()
			c.damage(o)
			wrong := o.verify()
			if !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, c.complaint) }) {
				t.Errorf("got %q, want a complaint about %q", wrong, c.complaint)
			}
		})
	}
}

// TestOutcomesOfAnyOrder holds the oracle to what the business says of
// interleavings: without cancels and reversals they change nothing.
func TestOutcomesOfAnyOrder(t *testing.T) {
	order := &fact{kind: placed, order: "o", minor: 10, currency: "EUR"}
	pay := func(id string, minor int64) *fact {
		return &fact{kind: received, order: "o", payment: id, minor: minor, currency: "EUR"}
	}
	payments := []*fact{pay("p", 4), pay("q", 7), pay("p", 4), pay("r", 1), pay("z", 0)}
	payments[3].currency = "USD"
	may := slices.Collect(maps.Keys(outcomes([]*fact{order, order}, payments)))
	if len(may) != 1 {
		t.Errorf("%d outcomes, want 1: %s", len(may), strings.Join(may, "\n"))
	}
	end := &fact{kind: cancelled, order: "o"}
	if n := len(outcomes([]*fact{order, end}, payments[:2])); n != 2 {
		t.Errorf("%d outcomes with a cancel, want 2", n)
	}
	facts := traffic(3, topology.Options{}.Names())
	kinds := map[string]int{}
	for _, f := range facts {
		kinds[f.kind]++
	}
	if len(kinds) != 6 {
		t.Errorf("the traffic has not all kinds of facts: %s", fmt.Sprint(kinds))
	}
}
