// Package causes holds the events of all services against each other: that each
// names causes that exist, is said once, and that nothing that a service has taken
// in is left without what follows from it.
//
// It goes by ids alone, and applies no rules of any service but which kinds of
// events follow from which. What came from outside without an id has the one that
// follows from its content, as the services derive it.
//
// Beside running workers it looks for effects of what a group had committed when
// it began, and for causes in all that is there at the end.
package causes

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"tallystick/schemas/tallyv1"
)

// maxFindings bounds how many findings a report spells out.
const maxFindings = 100

// A Report is the result.
type Report struct {
	// Events is how many events services have said, Checked how many causes and
	// effects were looked for.
	Events  int64 `json:"events"`
	Checked int64 `json:"checked"`
	// Missing is how many events were taken in by a service that never said what
	// follows from them.
	Missing int64 `json:"missing"`
	// Orphans is how many causes are named that are not there.
	Orphans int64 `json:"orphans"`
	// Repeated is how many events were said more than once.
	Repeated int64 `json:"repeated"`
	// Pending is how many effects are still to come: no worker has come to their
	// cause yet, or the customer is being told.
	Pending int64 `json:"pending"`
	// Untold is how many confirmations notify has passed over, as it does with a
	// customer who cannot be reached and nobody else to tell.
	Untold int64 `json:"untold"`
	// Unresolved is how many customers, and others to tell, may have been told or not:
	// nobody knows. They are for a person to look after.
	Unresolved int64 `json:"unresolved"`
	// Horizon says that records were deleted from a topic by their age. What is
	// not there may have been: it is not a finding then.
	Horizon bool `json:"horizon,omitempty"`

	// Findings are the first of what is wrong.
	Findings []Finding `json:"-"`
}

// Wrong is how much is wrong.
func (r *Report) Wrong() int64 {
	if r.Horizon {
		return r.Repeated
	}
	return r.Missing + r.Orphans + r.Repeated
}

// What is wrong with an event.
const (
	Missing  = "missing"  // nothing follows from it
	Orphan   = "orphan"   // it names a cause that is not there
	Repeated = "repeated" // it was said before
)

// A Finding is one thing that is wrong.
type Finding struct {
	// What is Missing, Orphan or Repeated.
	What string
	// Order is the order that it is about, Place the record, as topic/partition@offset.
	Order, Place, Detail string
}

func (r *Report) merge(o *Report) {
	r.Events += o.Events
	r.Checked += o.Checked
	r.Missing += o.Missing
	r.Orphans += o.Orphans
	r.Repeated += o.Repeated
	r.Pending += o.Pending
	r.Untold += o.Untold
	r.Unresolved += o.Unresolved
	r.Findings = append(r.Findings, o.Findings...)
	r.sort()
}

// beyond takes out what may only have been deleted by its age.
func (r *Report) beyond() {
	r.Horizon = true
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.What != Repeated })
}

func (r *Report) sort() {
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Place, b.Place),
			cmp.Compare(a.Detail, b.Detail))
	})
	r.Findings = r.Findings[:min(len(r.Findings), maxFindings)]
}

// A digest stands for an id, or for an id in a role.
type digest [2]uint64

// seeds make digests. All parts of one look have the same.
type seeds [2]maphash.Seed

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *seeds) of(role role, id string) digest {
	var d digest
	for i, seed := range s {
		var h maphash.Hash
		h.SetSeed(seed)
		_ = h.WriteByte(byte(role))
		_, _ = h.WriteString(id)
		d[i] = h.Sum64()
	}
	return d
}

// in is the digest of another one in a role.
func (d digest) in(r role) digest {
	return digest{d[0] + uint64(r)*0x9e3779b97f4a7c15, d[1] + uint64(r)*0xc2b2ae3d27d4eb4f}
}

// A fact is an event, as far as it matters here.
type fact struct {
	topic     *topic
	kind      string
	order     string
	id        digest
	causes    []digest
	partition int32
	offset    int64
	// content is that of a command, whatever its id.
	content digest
	// late says that it came after the look had begun: it is a cause, and nobody
	// looks for its own.
	late bool
	// often says that it may be said as often as its cause comes.
	often bool
	// channel is that of a notice.
	channel tallyv1.Channel
}

func (f *fact) place() string {
	return fmt.Sprintf("%s/%d@%d", f.topic.name, f.partition, f.offset)
}

// A want is something that has to be there when everything has been read.
type want struct {
	digest    digest
	topic     *topic
	order     string
	kind      string
	offset    int64
	partition int32
	// orphan tells that it is a cause, else it is an effect.
	orphan bool
	role   role
}

// A shelf is what is known about the orders of one partition.
type shelf struct {
	report  *Report
	repeats bool
	known   map[digest]struct{} // ids
	said    map[digest]struct{} // ids by topic, and effects by role
	wants   []want
	orders  map[string]*order
	copies  map[digest]*copies
}

// copies counts a payment by its id: how often it came, how often rekey has taken
// it in, and how often it was copied.
type copies struct {
	came, taken, copied int
	order               string
}

// An order is what is known of one.
type order struct {
	placed     digest // the id of OrderPlaced, which validate has taken in
	cancelled  bool
	checks     byte // which of the three validate has taken in
	asked      int  // of how many products inventory has asked the stock
	replied    int  // how many of the answers it has taken in
	stock      bool // inventory has said what came of it
	confirmed  bool // notify has taken the confirmation in
	told, open bool // notify has said something about it, or is at it
}

func newShelf(repeats bool) *shelf {
	return &shelf{
		report: &Report{}, repeats: repeats, known: map[digest]struct{}{},
		said: map[digest]struct{}{}, orders: map[string]*order{}, copies: map[digest]*copies{},
	}
}

func (s *shelf) order(id string) *order {
	o := s.orders[id]
	if o == nil {
		o = &order{}
		s.orders[id] = o
	}
	return o
}

func (s *shelf) copiesOf(payment digest, order string) *copies {
	c := s.copies[payment]
	if c == nil {
		c = &copies{order: order}
		s.copies[payment] = c
	}
	return c
}

// spoken takes in an event that a service has said: it names causes that exist,
// and is said once.
func (s *shelf) spoken(f *fact) {
	s.report.Events++
	once := f.id.in(f.topic.once)
	if _, again := s.said[once]; again && !f.often && !s.repeats {
		s.find(Repeated, f.order, f.place(), f.kind+" is said once more")
	}
	s.said[once] = struct{}{}
	for _, c := range f.causes {
		s.cause(f, c)
	}
}

// cause wants an event to exist because f names it.
func (s *shelf) cause(f *fact, c digest) {
	s.report.Checked++
	if _, known := s.known[c]; !known {
		s.wants = append(s.wants, want{
			c, f.topic, f.order, f.kind, f.offset, f.partition, true, 0,
		})
	}
}

// follows notes that an event is what follows, in a role, from its causes.
func (s *shelf) follows(r role, causes ...digest) {
	for _, c := range causes {
		s.said[c.in(r)] = struct{}{}
	}
}

// expect wants something to follow from f in a role.
func (s *shelf) expect(r role, f *fact) {
	s.report.Checked++
	d := f.id.in(r)
	if _, there := s.said[d]; !there {
		s.wants = append(s.wants, want{d, f.topic, f.order, f.kind, f.offset, f.partition, false, r})
	}
}

func (s *shelf) find(what, order, place, detail string) {
	switch what {
	case Missing:
		s.report.Missing++
	case Orphan:
		s.report.Orphans++
	case Repeated:
		s.report.Repeated++
	}
	if len(s.report.Findings) < maxFindings {
		s.report.Findings = append(s.report.Findings, Finding{what, order, place, detail})
	}
}

// close looks for what was wanted, when all has been read.
func (s *shelf) close() *Report {
	for i := range s.wants {
		w := &s.wants[i]
		place := fmt.Sprintf("%s/%d@%d", w.topic.name, w.partition, w.offset)
		if w.orphan {
			if _, known := s.known[w.digest]; !known {
				s.find(Orphan, w.order, place, w.kind+" names a cause that is not there")
			}
		} else if _, said := s.said[w.digest]; !said {
			s.find(Missing, w.order, place,
				fmt.Sprintf("nothing follows from %s: %s is missing", w.kind, w.role))
		}
	}
	for id, o := range s.orders {
		s.whole(id, o)
	}
	for _, c := range s.copies {
		s.report.Checked++
		switch {
		case c.copied < c.taken:
			s.find(Missing, c.order, "", fmt.Sprintf(
				"a payment came %d times, and rekey has copied it %d times", c.taken, c.copied))
		case c.copied > c.came && c.came == 0:
			s.find(Orphan, c.order, "", "a payment was copied that never came")
		case c.copied > c.came && !s.repeats:
			s.find(Repeated, c.order, "", fmt.Sprintf(
				"a payment came %d times, and rekey has copied it %d times", c.came, c.copied))
		}
	}
	s.report.sort()
	return s.report
}

// whole looks for what follows from several events of an order together.
func (s *shelf) whole(id string, o *order) {
	if o.asked > 0 && o.asked == o.replied {
		s.report.Checked++
		if !o.stock {
			s.find(Missing, id, "",
				"all products have answered, and neither StockReserved nor StockShort follows")
		}
	}
	if o.placed != (digest{}) && o.checks == allChecks && !o.cancelled {
		s.report.Checked++
		if _, decided := s.said[o.placed.in(decision)]; !decided {
			s.find(Missing, id, "",
				"all checks are there, and neither OrderValidated nor OrderRejected follows")
		}
	}
	switch {
	case !o.confirmed:
	case o.open:
		s.report.Pending++
	case !o.told:
		s.report.Untold++
	}
}
