package page

import (
	"errors"
	"net/http"

	"tallystick/query/history"
)

// maxOrder bounds the id that is looked for, in bytes: no key of a record is longer.
const maxOrder = 1 << 10

// maxStories is how many stories are told at once: each is held in memory as a whole.
const maxStories = 4

func (p *Page) serveStory(out http.ResponseWriter, in *http.Request) {
	order := in.PathValue("order")
	switch {
	case p.cfg.Story == nil:
		refuse(out, http.StatusNotFound, "this worker cannot tell stories")
		return
	case len(order) > maxOrder:
		refuse(out, http.StatusBadRequest, "no order has an id as long as that")
		return
	}
	select {
	case p.stories <- struct{}{}:
		defer func() { <-p.stories }()
	default:
		refuse(out, http.StatusServiceUnavailable, "too many stories are being told: ask again")
		return
	}
	story, err := p.cfg.Story(in.Context(), order)
	switch {
	case in.Context().Err() != nil: // nobody waits for an answer
	case errors.Is(err, history.ErrUnknown):
		refuse(out, http.StatusNotFound, "no topic says anything of this order")
	case errors.Is(err, history.ErrLong):
		refuse(out, http.StatusConflict, err.Error()+": tally table get prints the row of confirm")
	case err != nil:
		refuse(out, http.StatusBadGateway, err.Error())
	default:
		answer(out, http.StatusOK, struct {
			*history.Story
			// Asking are the topics of commands, which may be refused.
			Asking []string `json:"asking"`
		}{story, p.cfg.Commands})
	}
}
