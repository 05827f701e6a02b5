package api

import "time"

// Waiting is how many wait for an order.
func (f *Feed) Waiting(order string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting[order])
}

// Following is how many follow changes.
func (f *Feed) Following() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// Listen is one who follows without a connection.
func (f *Feed) Listen(order string) (l *listener, stop func()) {
	l, _, _, stop = f.listen(order, "")
	return l, stop
}

// Changes are those that wait to be read.
func (l *listener) Changes() <-chan Change { return l.changes }

// Late is closed when the listener has been let go.
func (l *listener) Late() <-chan struct{} { return l.late }

// WokenOnly makes those who wait look when they are told of a change, and at no other time.
func (s *Server) WokenOnly() { s.recheck = time.Hour }

// Fill takes all room for commands, answers that wait, streams and lists.
func (s *Server) Fill() {
	for _, room := range []chan struct{}{s.commands, s.waiting, s.following, s.gathering, s.telling} {
		for len(room) < cap(room) {
			room <- struct{}{}
		}
	}
}

// FillAnswering takes all room for what peers ask.
func (s *Server) FillAnswering() {
	for len(s.answering) < cap(s.answering) {
		s.answering <- struct{}{}
	}
}

// SilentFor is how long a peer that did not answer is not asked again.
const SilentFor = silentFor

// Patient sets how long peers are waited for when a list or a sum is gathered.
func (s *Server) Patient(d time.Duration) { s.patience = d }
