package api

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
)

// A Feed hands changes of views on to those who wait for an order or follow them
// all. It never holds up the one who tells it: who does not keep up is let go.
type Feed struct {
	mu      sync.Mutex
	life    string // of this feed, so that the ids of another are known as such
	next    uint64
	recent  []Change // a ring, by number
	waiting map[string]map[*waiter]struct{}
	all     map[*listener]struct{}
}

// A Change is what a view has taken in.
type Change struct {
	ID    string
	Order string
	Value []byte // a tallyv1.OrderViewed
}

const (
	// keptChanges is how many changes are kept for those who come back.
	keptChanges = 2048
	// unread is how many changes may wait for one who follows.
	unread = 512
)

// NewFeed returns a feed that nobody follows yet.
func NewFeed() *Feed {
	var life [6]byte
	rand.Read(life[:]) //nolint:errcheck // it never fails
	return &Feed{
		life: hex.EncodeToString(life[:]), waiting: map[string]map[*waiter]struct{}{},
		all: map[*listener]struct{}{},
	}
}

// Changed tells of a change that is committed. The feed keeps value.
func (f *Feed) Changed(order string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	c := Change{f.life + "-" + strconv.FormatUint(f.next, 10), order, value}
	if len(f.recent) < keptChanges {
		f.recent = append(f.recent, c)
	} else {
		f.recent[(f.next-1)%keptChanges] = c
	}
	for w := range f.waiting[order] {
		select {
		case w.changed <- struct{}{}:
		default: // it has been told and has not looked yet
		}
	}
	for l := range f.all {
		if l.order != "" && l.order != order {
			continue
		}
		select {
		case l.changes <- c:
		default:
			close(l.late)
			delete(f.all, l)
		}
	}
}

// A waiter waits for changes of one order.
type waiter struct{ changed chan struct{} }

// wait tells w when the order changes, until stop is called.
func (f *Feed) wait(order string) (w *waiter, stop func()) {
	w = &waiter{make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting[order] == nil {
		f.waiting[order] = map[*waiter]struct{}{}
	}
	f.waiting[order][w] = struct{}{}
	return w, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting[order], w)
		if len(f.waiting[order]) == 0 {
			delete(f.waiting, order)
		}
	}
}

// A listener follows the changes of one order, or of all.
type listener struct {
	order   string
	changes chan Change
	late    chan struct{} // closed when it has been let go
}

// listen follows the changes behind the one that has the id last. Without one it
// begins now. It reports whether what was in between is known.
func (f *Feed) listen(order, last string) (l *listener, missed []Change, whole bool, stop func()) {
	l = &listener{order: order, changes: make(chan Change, unread), late: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[l] = struct{}{}
	missed, whole = f.since(order, last)
	return l, missed, whole, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all, l)
	}
}

// since returns the changes behind the one with that id, and whether these are all.
func (f *Feed) since(order, last string) ([]Change, bool) {
	if last == "" {
		return nil, true
	}
	life, text, _ := strings.Cut(last, "-")
	number, err := strconv.ParseUint(text, 10, 64)
	if life != f.life || err != nil || number > f.next {
		return nil, false
	}
	if f.next-number > uint64(len(f.recent)) {
		return nil, false
	}
	var missed []Change
	for n := number; n < f.next; n++ {
		if c := f.recent[n%keptChanges]; order == "" || c.Order == order {
			missed = append(missed, c)
		}
	}
	return missed, true
}
