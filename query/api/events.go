package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tallystick/query/views"
	"tallystick/schemas"
)

// lastEvent is the header by which one who comes back says what he has seen last.
const lastEvent = "Last-Event-ID"

const (
	streamPath = "/events"
	// relook is how often those who follow all orders look for workers that came.
	relook = 5 * time.Second
	// writeWithin is how long one event may take to be written.
	writeWithin = 10 * time.Second
	// maxEvent bounds an event that a peer sends, in bytes.
	maxEvent = 64 << 10
)

// changeJSON is an event of the stream.
type changeJSON struct {
	Order string `json:"order"`
	Position
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	State string    `json:"state"`
	Was   string    `json:"was"`
}

// changeOf is a change as it is told.
func (s *Server) changeOf(c Change) (changeJSON, error) {
	v, err := schemas.OrderViewChanges.Unmarshal(c.Value)
	if err != nil {
		return changeJSON{}, err
	}
	return changeJSON{
		c.Order,
		Position{s.cfg.Topics[v.GetTopic()], v.GetPartition(), v.GetOffset()},
		views.KindOf(v.GetTopic(), v.GetKind()), timeOf(v.GetTimeUs()), word(v.GetState()),
		word(v.GetWas()),
	}, nil
}

// follow answers with a stream of changes, of one order or of all.
func (s *Server) follow(out http.ResponseWriter, in *http.Request) {
	select {
	case s.following <- struct{}{}:
		defer func() { <-s.following }()
	default:
		busy(in, http.StatusServiceUnavailable, "streams").write(out)
		return
	}
	in, ctx, free := s.untilEnd(in, DefaultWait)
	defer free()
	order := in.URL.Query().Get("order")
	if len(order) > schemas.MaxIDBytes {
		badRequest("the id of the order is too long", "check ?order=").write(out)
		return
	}
	if order == "" {
		s.stream(out, in, "")
		return
	}
	s.atOwner(ctx, out, in, order, func(context.Context, Rows) error {
		s.stream(out, in, order)
		return nil
	})
}

// A line writes a stream of events to one who follows. It is used by one goroutine.
type line struct {
	out     http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
}

// send writes an event, and fails if that takes too long.
func (l line) send(text []byte) error {
	// A writer without deadlines belongs to a test.
	_ = l.control.SetWriteDeadline(l.now().Add(writeWithin))
	if _, err := l.out.Write(text); err != nil {
		return err
	}
	return l.control.Flush()
}

// relay passes the stream of a peer on as it comes.
func (s *Server) relay(ctx context.Context, out http.ResponseWriter, from io.Reader) {
	l := line{out, http.NewResponseController(out), s.cfg.Now}
	piece := make([]byte, 4<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 && l.send(piece[:n]) != nil {
			return
		}
		if err != nil {
			if ends(ctx) {
				l.send(lastWord()) //nolint:errcheck // it is the last one
			}
			return
		}
	}
}

// event is an event in the form of the stream.
func event(id, kind string, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + kind + "\ndata: ")
	b.Write(text)
	b.WriteString("\n\n")
	return b.Bytes()
}

// told is what the stream says beside changes.
type told struct {
	Reason string `json:"reason"`
}

// stream writes the changes of this worker's partitions, and for one who follows
// all orders those of its peers.
func (s *Server) stream(out http.ResponseWriter, in *http.Request, order string) {
	l := line{out, http.NewResponseController(out), s.cfg.Now}
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "text/event-stream")
	if hopped(in) {
		h.Set(hopHeader, hopHere)
	}
	listener, missed, whole, stop := s.cfg.Feed.listen(order, in.Header.Get(lastEvent))
	defer stop()
	out.WriteHeader(http.StatusOK)
	begin := []byte(": follows\nretry: 1000\n\n")
	if !whole {
		begin = append(begin, reset()...)
	}
	for _, c := range missed {
		begin = append(begin, s.tell(c)...)
	}
	if l.send(begin) != nil {
		return
	}
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	others := &gathered{make(chan []byte, unread), make(chan struct{})}
	if order == "" && !hopped(in) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.followPeers(ctx, others, in.Header.Get(lastEvent))
		}()
		defer func() { cancel(); <-done }()
	}
	s.pump(ctx, l, listener, others)
}

// gathered is what the peers tell one who follows all orders.
type gathered struct {
	events chan []byte
	late   chan struct{} // closed when it was too much
}

// tell is a change as an event; nothing if it cannot be read.
func (s *Server) tell(c Change) []byte {
	value, err := s.changeOf(c)
	if err != nil {
		s.cfg.Log.Warn("a change of a view cannot be told", "order", c.Order, "error", err)
		return nil
	}
	return event(c.ID, "change", value)
}

// The last words of a stream.
func dropped() []byte {
	return event("", "dropped", told{"changes came faster than they were read: ask again"})
}

func moved() []byte {
	return event("", "moved", told{"the order is with another worker now: ask again"})
}

func reset() []byte {
	return event("", "reset", told{"what changed meanwhile is not known: read again"})
}

// pump writes what comes until the one who follows is gone, too slow, or has to ask
// another worker.
func (s *Server) pump(ctx context.Context, l line, from *listener, others *gathered) {
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	look := time.NewTicker(s.recheck)
	defer look.Stop()
	for {
		var text, last []byte
		select {
		case <-ctx.Done():
			if ends(ctx) {
				l.send(lastWord()) //nolint:errcheck // it is the last one
			}
			return
		case c := <-from.changes:
			text = s.tell(c)
		case text = <-others.events:
		case <-from.late:
			last = dropped()
		case <-others.late:
			last = dropped()
		case <-beat.C:
			text = []byte(": still here\n\n")
		case <-look.C:
			if from.order == "" {
				continue
			}
			p := partitionOf(from.order, s.cfg.Views.Partitions())
			if _, ok := s.cfg.Views.Rows(p); ok {
				continue
			}
			last = moved()
		}
		if l.send(append(text, last...)) != nil || last != nil {
			return
		}
	}
}

// An ending is how following a peer ended.
type ending struct {
	address string
	up      bool // it was followed for a while
	err     error
}

// followPeers passes on what the other workers tell, until ctx is done or it is too
// much. Workers that come are followed too. Where changes may have been missed, it
// says so, once: when one that was gone is followed again, or cannot be.
func (s *Server) followPeers(ctx context.Context, to *gathered, last string) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan ending)
	following, lost := map[string]bool{}, map[string]bool{}
	defer func() {
		cancel()
		for range following { // each says when it has ended
			<-ended
		}
	}()
	begin := func(again bool, last string) {
		at, err := s.peers.look(ctx)
		if err != nil {
			return
		}
		for _, address := range at {
			if address == s.cfg.Address || following[address] {
				continue
			}
			following[address] = true
			go func() {
				up, err := s.followPeer(ctx, address, to, last, again)
				ended <- ending{address, up, err}
			}()
		}
	}
	begin(false, last)
	look := time.NewTicker(relook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-ended:
			delete(following, e.address)
			if errors.Is(e.err, errSlow) {
				close(to.late)
				return
			}
			s.cfg.Log.Debug("a peer is not followed any more", "peer", e.address, "cause", e.err)
			s.peers.forget()
			if !e.up {
				if !lost[e.address] {
					to.put(reset())
				}
				lost[e.address] = true
				continue // it is tried again when workers are looked for
			}
			delete(lost, e.address)
			if !rest(ctx, pause) {
				return
			}
		case <-look.C:
		}
		begin(true, "") // who comes later has nothing to catch up with
	}
}

// put hands an event on, and tells whether there was room for it.
func (g *gathered) put(text []byte) bool {
	select {
	case g.events <- text:
		return true
	default:
		return false
	}
}

// errSlow means that one who follows does not keep up.
var errSlow = errors.New("it tells more than is read")

// followPeer passes on what one worker tells, after a reset if it is followed again. It
// returns whether there was a line to it, and why it ended.
func (s *Server) followPeer(
	ctx context.Context, address string, to *gathered, last string, again bool,
) (bool, error) {
	a, err := s.ask(ctx, address, streamPath, url.Values{}, last)
	if err != nil {
		return false, err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return false, fmt.Errorf("ask %s: it answers %s", address, a.Status)
	}
	if again {
		to.put(reset())
	}
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	lines.Split(events)
	for lines.Scan() {
		text := lines.Text()
		if !strings.Contains(text, "event: change\n") && !strings.HasPrefix(text, "event: reset") {
			continue // it is about the line between us
		}
		if !to.put([]byte(text + "\n\n")) {
			return true, errSlow
		}
	}
	return true, errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

// events splits a stream at its empty lines.
func events(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		return i + 2, data[:i], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}
