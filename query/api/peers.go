package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// hopHeader is on questions that one worker passes on to another, and on the
// answers to these: here, or elsewhere if the partition is not there any more. A
// question that has it is not passed on again, and an answer without it is not one
// of ours.
const (
	hopHeader    = "Tally-Hop"
	hopAsked     = "asked"
	hopHere      = "here"
	hopElsewhere = "elsewhere"
)

const (
	// bookAge is how long an answer of the group is used.
	bookAge = time.Second
	// pause is how long to wait before asking again where a partition is.
	pause = 100 * time.Millisecond
	// grace is how much longer than it may wait itself a peer may take to answer.
	grace = 5 * time.Second
	// peerWithin is how long peers may take for their part of a list or a sum.
	peerWithin = 3 * time.Second
	// silentFor is how long one that did not is not asked for such a part again.
	silentFor = 5 * time.Second
	// maxAnswer bounds what is read of a peer's answer, in bytes.
	maxAnswer = 32 << 20
)

var (
	// errElsewhere means that the one who was asked does not have the partition.
	errElsewhere = errors.New("the partition is on its way to another worker")
	// errRefused means that a peer answers, but not what it was asked.
	errRefused = errors.New("it answers")
)

// dialer connects to peers, which are near.
func dialer(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
}

// A book remembers for a moment where the partitions are, and which peers were silent.
type book struct {
	peers Peers
	now   func() time.Time
	turn  chan struct{} // whoever asks the group holds it

	mu     sync.Mutex
	at     map[int32]string
	when   time.Time
	silent map[string]time.Time // until when, by address
}

func newBook(peers Peers, now func() time.Time) *book {
	return &book{
		peers: peers, now: now, turn: make(chan struct{}, 1), silent: map[string]time.Time{},
	}
}

// look returns the addresses by partition.
func (b *book) look(ctx context.Context) (map[int32]string, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if at := b.known(); at != nil {
		return at, nil
	}
	bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	at, err := b.peers.Peers(bounded)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.when = at, b.now()
	return at, nil
}

// known is what the group has said a moment ago, or nil.
func (b *book) known() map[int32]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Sub(b.when) >= bookAge {
		return nil
	}
	return b.at
}

// forget makes the next look ask again, unless somebody has just done so: many may look
// for the same partition.
func (b *book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Sub(b.when) >= pause {
		b.at = nil
	}
}

// hush remembers that the peer at an address did not answer in time.
func (b *book) hush(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for old, until := range b.silent { // addresses come and go
		if !until.After(now) {
			delete(b.silent, old)
		}
	}
	b.silent[address] = now.Add(silentFor)
}

// hushed tells whether the peer at an address was silent a moment ago.
func (b *book) hushed(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.silent[address].After(b.now())
}

// rest waits for a moment, and returns false if ctx is done.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// hopped tells whether a question comes from a peer.
func hopped(in *http.Request) bool { return in.Header.Get(hopHeader) != "" }

// atOwner answers by the worker that has the order's partition: by local if that is
// this one, else by passing the question on. local returns errElsewhere when the
// partition goes away meanwhile. Until ctx is done it looks for the owner again,
// because partitions move when workers come and go.
func (s *Server) atOwner(
	ctx context.Context, out http.ResponseWriter, in *http.Request, order string,
	local func(context.Context, Rows) error,
) {
	for {
		err := s.once(ctx, out, in, order, local)
		if err == nil {
			return
		}
		again := !hopped(in) && rest(ctx, pause)
		switch {
		case ends(in.Context()):
			writeEnding(out, in)
			return
		case in.Context().Err() != nil:
			return
		case again:
			s.peers.forget()
			continue
		}
		if hopped(in) && errors.Is(err, errElsewhere) {
			out.Header().Set(hopHeader, hopElsewhere)
		}
		problem{
			status: http.StatusServiceUnavailable, name: "owner", detail: err.Error(), retry: 1,
			hint: "no worker that runs views answers for this order now: ask again",
		}.write(out)
		return
	}
}

// once tries to answer. It returns an error if that makes sense again.
func (s *Server) once(
	ctx context.Context, out http.ResponseWriter, in *http.Request, order string,
	local func(context.Context, Rows) error,
) error {
	n := s.cfg.Views.Partitions()
	if n == 0 {
		return errors.New("this worker has not joined its group yet")
	}
	p := partitionOf(order, n)
	if rows, ok := s.cfg.Views.Rows(p); ok {
		if hopped(in) {
			out.Header().Set(hopHeader, hopHere)
		}
		return local(ctx, rows)
	}
	if hopped(in) {
		return errElsewhere
	}
	at, err := s.peers.look(ctx)
	if err != nil {
		return err
	}
	if at[p] == "" || at[p] == s.cfg.Address {
		return errElsewhere
	}
	return s.pass(ctx, out, in, at[p])
}

// ask puts a question to a peer. The caller closes the answer. The token does not go
// along: whatever is passed on is for all to read, and an address is only what a
// member of the group says.
func (s *Server) ask(ctx context.Context, address, path string, query url.Values, last string,
) (*http.Response, error) {
	where := url.URL{Scheme: "http", Host: address, RawQuery: query.Encode()}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	q.URL.Path, q.URL.RawPath = "", path // as it came, with what is escaped in it
	if q.URL.Path, err = url.PathUnescape(path); err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	q.Header.Set(hopHeader, hopAsked)
	if last != "" {
		q.Header.Set(lastEvent, last)
	}
	a, err := s.client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	switch a.Header.Get(hopHeader) {
	case hopHere:
		return a, nil
	case hopElsewhere:
		err = errElsewhere
	default:
		err = fmt.Errorf("ask %s: what answers there is no worker of ours (see --advertise)", address)
	}
	return nil, errors.Join(err, a.Body.Close())
}

// pass lets a peer answer.
func (s *Server) pass(
	ctx context.Context, out http.ResponseWriter, in *http.Request, address string,
) error {
	query := in.URL.Query()
	left := DefaultWait
	if deadline, ok := ctx.Deadline(); ok {
		left = max(0, deadline.Sub(s.cfg.Now()))
		query.Set("wait", left.Round(time.Millisecond).String())
	}
	// The peer gives up in time, and then there is its answer to read.
	patient, cancel := in.Context(), context.CancelFunc(func() {})
	if in.URL.Path != streamPath {
		patient, cancel = context.WithTimeout(patient, left+grace)
	}
	defer cancel()
	a, err := s.ask(patient, address, in.URL.EscapedPath(), query, in.Header.Get(lastEvent))
	if err != nil {
		return err
	}
	defer a.Body.Close()
	h := out.Header()
	secured(h)
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if v := a.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	out.WriteHeader(a.StatusCode)
	if in.URL.Path == streamPath {
		s.relay(in.Context(), out, a.Body)
		return nil
	}
	io.Copy(out, io.LimitReader(a.Body, maxAnswer)) //nolint:errcheck // it has begun
	return nil
}

// fetch reads the JSON that a peer answers.
func (s *Server) fetch(
	ctx context.Context, address, path string, query url.Values, to any,
) error {
	a, err := s.ask(ctx, address, path, query, "")
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %w %s", address, errRefused, a.Status)
	}
	if err := json.NewDecoder(io.LimitReader(a.Body, maxAnswer)).Decode(to); err != nil {
		return fmt.Errorf("ask %s: %w", address, err)
	}
	return nil
}
