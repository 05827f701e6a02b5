package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"tallystick/query/history"
	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// recheck is how often one who waits looks whether the partition is still here: if
// it is not, nobody tells him of changes any more.
const recheck = 500 * time.Millisecond

// idOf is the id in the path. If it is none, the request is answered.
func idOf(out http.ResponseWriter, in *http.Request) (string, bool) {
	id := in.PathValue("id")
	if id == "" || len(id) > schemas.MaxIDBytes || !utf8.ValidString(id) {
		badRequest(fmt.Sprintf("an id is 1 to %d bytes of UTF-8", schemas.MaxIDBytes),
			"check the path").write(out)
		return "", false
	}
	return id, true
}

// waitOf is how long the request wants to wait. If that is none, it is answered.
func waitOf(out http.ResponseWriter, in *http.Request) (time.Duration, bool) {
	text := in.URL.Query().Get("wait")
	if text == "" {
		return DefaultWait, true
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > MaxWait {
		badRequest(fmt.Sprintf("wait is a duration from 0s to %v", MaxWait),
			"for example wait=10s").write(out)
		return 0, false
	}
	return d, true
}

// getOrder answers with the view of an order, which has taken in the command of
// ?after if there is one.
func (s *Server) getOrder(out http.ResponseWriter, in *http.Request) {
	s.viewOf(out, in, func(order string, row *views.Row) any { return detailed(order, row) })
}

// errNotSeen means that what a token speaks of did not come in time.
var errNotSeen = errors.New("the view has not taken the command in yet")

// viewOf finds the row of the order in the path, waits until it is as new as is
// asked for, and answers with what show makes of it.
func (s *Server) viewOf(
	out http.ResponseWriter, in *http.Request, show func(order string, row *views.Row) any,
) {
	id, ok := idOf(out, in)
	if !ok {
		return
	}
	wait, ok := waitOf(out, in)
	if !ok {
		return
	}
	after := int64(-1)
	if token := in.URL.Query().Get("after"); token != "" {
		var err error
		topic := s.cfg.Topics[tallyv1.OrderView_ORDER_COMMANDS]
		if after, err = parseToken(token, topic, id); err != nil {
			badRequest("after: "+err.Error(),
				"use the token that the command was answered with").write(out)
			return
		}
		select {
		case s.waiting <- struct{}{}:
			defer func() { <-s.waiting }()
		default:
			busy(in, http.StatusServiceUnavailable, "answers that wait").write(out)
			return
		}
	}
	in, ctx, free := s.untilEnd(in, wait)
	defer free()
	s.atOwner(ctx, out, in, id, func(ctx context.Context, rows Rows) error {
		row, err := s.await(ctx, rows, id, after)
		switch {
		case errors.Is(err, errElsewhere), errors.Is(err, errEnding):
			return err
		case errors.Is(err, errNotSeen):
			problem{
				status: http.StatusGatewayTimeout, name: "not-seen", detail: err.Error(), retry: 1,
				hint: "ask again with the same token; if that goes on, views is behind: " +
					"its lag is in /metrics",
			}.write(out)
		case err != nil:
			failed(err).write(out)
		case row == nil:
			problem{
				status: http.StatusNotFound, name: "order", detail: "nothing is known of order " + id,
				hint: "what was written a moment ago is found with ?after= and the token of the command",
			}.write(out)
		default:
			shown := show(id, row)
			if p, ok := shown.(problem); ok {
				p.write(out)
				return nil
			}
			answer(out, http.StatusOK, shown)
		}
		return nil
	})
}

// await reads the row of an order until it has taken in the command at the offset,
// if that is not below 0.
func (s *Server) await(ctx context.Context, rows Rows, id string, after int64) (*views.Row, error) {
	waiter, stop := s.cfg.Feed.wait(id)
	defer stop()
	p := partitionOf(id, s.cfg.Views.Partitions())
	tick := time.NewTicker(s.recheck)
	defer tick.Stop()
	for {
		b, err := rows.Get(id)
		if err != nil {
			if _, here := s.cfg.Views.Rows(p); !here {
				return nil, errElsewhere
			}
			return nil, err
		}
		var row *views.Row
		if b != nil {
			if row, err = schemas.OrderViews.Unmarshal(b); err != nil {
				return nil, err
			}
		}
		if after < 0 || views.Seen(row, tallyv1.OrderView_ORDER_COMMANDS, after) {
			return row, nil
		}
		select {
		case <-ctx.Done():
			if ends(ctx) {
				return nil, errEnding
			}
			return nil, errNotSeen
		case <-waiter.changed:
		case <-tick.C:
		}
		var here bool
		if rows, here = s.cfg.Views.Rows(p); !here {
			return nil, errElsewhere
		}
	}
}

// A placeJSON is where a record about the order is.
type placeJSON struct {
	Position
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

// errLeftOut means that a row does not know all places of its order.
var errLeftOut = errors.New("the row does not know where all records are")

// getPlaces answers with where the records about an order are.
func (s *Server) getPlaces(out http.ResponseWriter, in *http.Request) {
	s.viewOf(out, in, func(order string, row *views.Row) any {
		list, left := views.Places(row)
		if left > 0 {
			return problem{
				status: http.StatusConflict, name: "places",
				detail: fmt.Sprintf("%v: %d are beyond the first %d of their topic", errLeftOut, left,
					views.MaxPlaces),
				hint: "read the order's partition of each topic instead",
			}
		}
		p := partitionOf(order, s.cfg.Views.Partitions())
		places := make([]placeJSON, len(list))
		for i, at := range list {
			places[i] = placeJSON{
				Position{s.cfg.Topics[at.Topic], p, at.Offset}, at.Kind, timeOf(at.Time),
			}
		}
		return places
	})
}

// getStory answers with what happened to an order.
func (s *Server) getStory(out http.ResponseWriter, in *http.Request) {
	id, ok := idOf(out, in)
	if !ok {
		return
	}
	if s.cfg.Story == nil {
		problem{
			status: http.StatusNotImplemented, name: "story", detail: "this worker does not tell stories",
			hint: "tally explain does",
		}.write(out)
		return
	}
	select {
	case s.telling <- struct{}{}:
		defer func() { <-s.telling }()
	default:
		busy(in, http.StatusServiceUnavailable, "stories").write(out)
		return
	}
	ctx, cancel := context.WithTimeout(in.Context(), MaxWait)
	defer cancel()
	story, err := s.cfg.Story(ctx, id)
	switch {
	case errors.Is(err, history.ErrUnknown):
		problem{
			status: http.StatusNotFound, name: "order", detail: "nothing is known of order " + id,
			hint: "check the id",
		}.write(out)
	case errors.Is(err, history.ErrLong):
		problem{
			status: http.StatusConflict, name: "long", detail: err.Error(),
			hint: "tally table get prints the row of confirm as it is",
		}.write(out)
	case err != nil:
		problem{
			status: http.StatusServiceUnavailable, name: "story", detail: err.Error(), retry: 1,
			hint: "tally explain says more",
		}.write(out)
	default:
		answer(out, http.StatusOK, story)
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
