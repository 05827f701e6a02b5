package whatif

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Results.
const (
	// Same means that the replay says what came out, record by record.
	Same = "same"
	// Differences means that it does not.
	Differences = "differences"
)

// How a record differs.
const (
	// Missing is a record that came out and would not have.
	Missing = "missing"
	// Extra is a record that would have come out and did not.
	Extra = "extra"
	// Changed is a record that would have come out with another content, under
	// the same id.
	Changed = "changed"
	// Repeated is a record that came out more often than it would have.
	Repeated = "repeated"
)

// maxReasons bounds how many unreadable records a report spells out.
const maxReasons = 20

// A Report is the difference between what came out and what would have.
type Report struct {
	// Whatif is Same or Differences.
	Whatif string `json:"whatif"`
	// Records is how many records of the inputs were replayed, Refused how many of
	// them are dead letters. They are not tried again.
	Records int64 `json:"records"`
	Refused int64 `json:"refused"`
	// Fired is how many deadlines came in the replay.
	Fired int64 `json:"fired"`
	// Rows is how many rows the replay ends with.
	Rows int64 `json:"rows"`
	// InFlight is how many orders were left out because a worker was at them, or, as to
	// what a deadline says, has yet to come to that. Unprocessed is how many
	// records no worker has come to yet.
	InFlight    int64 `json:"in_flight"`
	Unprocessed int64 `json:"unprocessed"`

	// Of records of the outputs. A repeated one is missing in the replay too.
	Missing  int64 `json:"missing"`
	Extra    int64 `json:"extra"`
	Changed  int64 `json:"changed"`
	Repeated int64 `json:"repeated"`
	// Kinds has them by the kind of event.
	Kinds map[string]*Kind `json:"kinds"`
	// Money is what was said about money, by currency.
	Money map[string]*Money `json:"money"`

	// OrderCount is how many orders differ, of which some are spelled out: those first
	// of which a record is missing or extra.
	OrderCount int64   `json:"order_count"`
	Orders     []Order `json:"orders"`

	// UnreadableCount is how many records were processed that this program does not
	// take. The first are spelled out.
	UnreadableCount int64    `json:"unreadable_count"`
	Unreadable      []string `json:"unreadable,omitempty"`
}

// A Kind counts the events of one kind.
type Kind struct {
	Came    int64 `json:"came"`
	Would   int64 `json:"would"`
	Missing int64 `json:"missing"`
	Extra   int64 `json:"extra"`
	Changed int64 `json:"changed"`
}

// Money is what came out, and what would have, in minor units of one currency.
type Money struct {
	Confirmed Sums `json:"confirmed"` // totals of orders that were confirmed
	Expired   Sums `json:"expired"`   // totals of orders that expired
	Owed      Sums `json:"owed"`      // what has to go back to who paid it
}

// Sums are the same on both sides.
type Sums struct {
	Came  int64 `json:"came"`
	Would int64 `json:"would"`
}

// An Order is one that differs.
type Order struct {
	Order   string   `json:"order"`
	Changes []Change `json:"changes"`
}

// A Change is one record that differs.
type Change struct {
	// What is Missing, Extra, Changed or Repeated.
	What string `json:"what"`
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Place is where it came out, if it did, as output/partition@offset.
	Place string `json:"place,omitempty"`
	// Money is what it is about, if it is about money.
	Money *Amount `json:"money,omitempty"`
	// Came is what it says, Would what it would have said.
	Came  json.RawMessage `json:"came,omitempty"`
	Would json.RawMessage `json:"would,omitempty"`
}

// An Amount is in minor units.
type Amount struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

// NewReport returns the report of nothing.
func NewReport() *Report {
	return &Report{
		Whatif: Same, Kinds: map[string]*Kind{}, Money: map[string]*Money{}, Orders: []Order{},
	}
}

// facts are what counts of an event.
type facts struct {
	kind, id string
	money    *tallyv1.Money
	text     json.RawMessage
}

// An envelope is what the outputs hold.
type envelope interface {
	proto.Message
	GetMeta() *tallyv1.Meta
}

func factsOf(m envelope) facts {
	f := facts{id: m.GetMeta().GetId()}
	switch m := m.(type) {
	case *tallyv1.ConfirmationEvent:
		if c := m.GetOrderConfirmed(); c != nil {
			f.kind, f.money = "OrderConfirmed", c.GetTotal()
		}
	case *tallyv1.ExceptionEvent:
		r := m.ProtoReflect()
		if field := r.WhichOneof(r.Descriptor().Oneofs().Get(0)); field != nil {
			f.kind = string(field.Message().Name())
		}
		if x := m.GetOrderExpired(); x != nil {
			f.money = x.GetTotal()
		} else if x := m.GetRefundOwed(); x != nil {
			f.money = x.GetAmount()
		}
	}
	return f
}

// factsIn are those of a value, which may be unreadable, with its text if that is
// needed.
func factsIn(l *lonely, text bool) facts {
	if l.output == Confirmations {
		return read(schemas.Confirmations, l.value, text)
	}
	return read(schemas.Exceptions, l.value, text)
}

func read[T envelope](c schemas.Codec[T], value []byte, text bool) facts {
	m, err := c.Unmarshal(value)
	if err != nil {
		return facts{kind: "unreadable"}
	}
	f := factsOf(m)
	if !text {
		return f
	}
	if f.text, err = c.JSON(m); err != nil {
		f.text = nil
	}
	return f
}

// would counts an event n times, as something that would have come out.
func (r *Report) would(f facts, n int64) {
	r.kind(f.kind).Would += n
	if s := r.sums(f); s != nil {
		s.Would += n * f.money.GetMinor()
	}
}

// came is the same for something that did.
func (r *Report) came(f facts, n int64) {
	r.kind(f.kind).Came += n
	if s := r.sums(f); s != nil {
		s.Came += n * f.money.GetMinor()
	}
}

func (r *Report) kind(name string) *Kind {
	k := r.Kinds[name]
	if k == nil {
		k = &Kind{}
		r.Kinds[name] = k
	}
	return k
}

func (r *Report) sums(f facts) *Sums {
	if f.money == nil {
		return nil
	}
	m := r.Money[f.money.GetCurrency()]
	if m == nil {
		m = &Money{}
		r.Money[f.money.GetCurrency()] = m
	}
	switch f.kind {
	case "OrderConfirmed":
		return &m.Confirmed
	case "OrderExpired":
		return &m.Expired
	}
	return &m.Owed
}

// unreadable notes a record that was processed and that this program would refuse.
func (r *Report) unreadable(record *kgo.Record, err error) {
	r.Whatif = Differences
	r.UnreadableCount++
	if len(r.Unreadable) < maxReasons {
		r.Unreadable = append(r.Unreadable, fmt.Sprintf("%s/%d@%d: %v",
			record.Topic, record.Partition, record.Offset, err))
	}
}

// conclude counts what differs. What both sides have was counted when it was said.
func (r *Report) conclude(differ []*lonely, leftOut func(*lonely) bool, o Options) {
	orders := map[string][]*lonely{}
	for _, l := range differ {
		if leftOut(l) {
			if l.surplus < 0 { // it was counted when it was said
				r.would(factsIn(l, false), int64(l.surplus))
			}
			continue
		}
		orders[l.key] = append(orders[l.key], l)
	}
	for _, k := range r.Kinds {
		k.Came = k.Would
	}
	for _, m := range r.Money {
		for _, s := range []*Sums{&m.Confirmed, &m.Expired, &m.Owed} {
			s.Came = s.Would
		}
	}
	r.OrderCount = int64(len(orders))
	for key, list := range orders {
		r.Orders = append(r.Orders, Order{key, r.changes(list, o, false)})
	}
	r.first(o.Limit)
	again := NewReport() // what differs is counted already
	for i := range r.Orders {
		r.Orders[i].Changes = again.changes(orders[r.Orders[i].Order], o, true)
	}
	if r.Missing+r.Extra+r.Changed > 0 {
		r.Whatif = Differences
	}
}

// changes counts what differs about one order, and pairs what has the same id.
func (r *Report) changes(list []*lonely, o Options, spell bool) []Change {
	var changes []Change
	known := map[string]int{} // by id, what came out and would not have
	slices.SortFunc(list, func(a, b *lonely) int {
		return cmp.Or(cmp.Compare(b.surplus, a.surplus), cmp.Compare(a.output, b.output),
			cmp.Compare(a.offset, b.offset), slices.Compare(a.value, b.value))
	})
	for _, l := range list {
		f := factsIn(l, spell)
		if l.surplus > 0 {
			known[f.id] = len(changes)
			changes = append(changes, r.missing(l, f, o))
			continue
		}
		i, ok := known[f.id]
		if delete(known, f.id); ok && changes[i].What == Missing && l.surplus == -1 {
			r.change(&changes[i], f)
			continue
		}
		changes = append(changes, r.extra(l, f))
	}
	return changes
}

func (r *Report) missing(l *lonely, f facts, o Options) Change {
	n := int64(l.surplus)
	r.Missing += n
	r.kind(f.kind).Missing += n
	r.came(f, n)
	topic := o.Topics.Confirmations
	if l.output == Exceptions {
		topic = o.Topics.Exceptions
	}
	c := Change{
		What: Missing, Kind: f.kind, ID: f.id, Money: amount(f), Came: f.text,
		Place: fmt.Sprintf("%s/%d@%d", topic, l.partition, l.offset),
	}
	if int64(l.found) > n {
		c.What = Repeated
		r.Repeated += n
	}
	return c
}

func (r *Report) extra(l *lonely, f facts) Change {
	n := int64(-l.surplus)
	r.Extra += n
	r.kind(f.kind).Extra += n
	r.came(f, -n)
	return Change{What: Extra, Kind: f.kind, ID: f.id, Money: amount(f), Would: f.text}
}

// change makes a change of what was missing: f comes instead of it.
func (r *Report) change(c *Change, f facts) {
	r.Missing--
	r.kind(c.Kind).Missing--
	r.Changed++
	r.kind(f.kind).Changed++
	r.came(f, -1)
	c.What, c.Would = Changed, f.text
	c.Money = cmp.Or(amount(f), c.Money)
}

func amount(f facts) *Amount {
	if f.money == nil {
		return nil
	}
	return &Amount{f.money.GetMinor(), f.money.GetCurrency()}
}

// merge adds the report of another partition, with at most limit orders spelled out.
func (r *Report) merge(o *Report, limit int) {
	if o.Whatif == Differences {
		r.Whatif = Differences
	}
	r.Records += o.Records
	r.Refused += o.Refused
	r.Fired += o.Fired
	r.Rows += o.Rows
	r.InFlight += o.InFlight
	r.Unprocessed += o.Unprocessed
	r.Missing += o.Missing
	r.Extra += o.Extra
	r.Changed += o.Changed
	r.Repeated += o.Repeated
	for name, k := range o.Kinds {
		sum := r.kind(name)
		sum.Came += k.Came
		sum.Would += k.Would
		sum.Missing += k.Missing
		sum.Extra += k.Extra
		sum.Changed += k.Changed
	}
	for currency, m := range o.Money {
		if r.Money[currency] == nil {
			r.Money[currency] = &Money{}
		}
		r.Money[currency].add(m)
	}
	r.OrderCount += o.OrderCount
	r.Orders = append(r.Orders, o.Orders...)
	r.first(limit)
	r.UnreadableCount += o.UnreadableCount
	r.Unreadable = append(r.Unreadable, o.Unreadable...)
	r.Unreadable = r.Unreadable[:min(len(r.Unreadable), maxReasons)]
}

// first leaves so many orders: those first of which something is missing or extra,
// each in the order of their ids.
func (r *Report) first(limit int) {
	slices.SortFunc(r.Orders, func(a, b Order) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Order, b.Order))
	})
	r.Orders = r.Orders[:min(len(r.Orders), limit)]
}

func (o Order) rank() int {
	for _, c := range o.Changes {
		if c.What != Changed {
			return 0
		}
	}
	return 1
}

func (m *Money) add(o *Money) {
	for _, s := range []struct{ to, from *Sums }{
		{&m.Confirmed, &o.Confirmed}, {&m.Expired, &o.Expired}, {&m.Owed, &o.Owed},
	} {
		s.to.Came += s.from.Came
		s.to.Would += s.from.Would
	}
}
