package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// commandWithin is how long a command may take to be safe.
const commandWithin = 10 * time.Second

// commandJSON is the answer to a command that is safe.
type commandJSON struct {
	Order string `json:"order"`
	// Token is for ?after=: an answer that has taken the command in.
	Token   string   `json:"token"`
	Command Position `json:"command"`
}

// placeOrder takes a PlaceOrder in its JSON form. The same order again is the same
// command, and changes nothing.
func (s *Server) placeOrder(out http.ResponseWriter, in *http.Request) {
	body, ok := s.bodyOf(out, in, true)
	if !ok {
		return
	}
	s.command(out, in, `{"placeOrder":`+body+`}`)
}

// cancelOrder takes the wish to take an order back. The body may say why.
func (s *Server) cancelOrder(out http.ResponseWriter, in *http.Request) {
	id, ok := idOf(out, in)
	if !ok {
		return
	}
	body, ok := s.bodyOf(out, in, false)
	if !ok {
		return
	}
	var said struct {
		OrderID string `json:"orderId"`
		Reason  string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil ||
		said.OrderID != "" && said.OrderID != id {
		badRequest("the body is not a reason for this order",
			`for example {"reason": "changed my mind"}, or no body`).write(out)
		return
	}
	said.OrderID = id
	text, err := json.Marshal(map[string]any{"cancelOrder": said})
	if err != nil {
		badRequest(err.Error(), "check the body").write(out)
		return
	}
	s.command(out, in, string(text))
}

// bodyOf reads the JSON object that a request carries. If there is none that can
// be taken, the request is answered.
func (s *Server) bodyOf(out http.ResponseWriter, in *http.Request, needed bool) (string, bool) {
	if s.cfg.Commander == nil {
		problem{
			status: http.StatusNotImplemented, name: "commands",
			detail: "commands are for the chain of services only",
			hint:   "in the main job orders come from outside, on the topic of orders; run with --chain",
		}.write(out)
		return "", false
	}
	kind, _, err := mime.ParseMediaType(in.Header.Get("Content-Type"))
	if (needed || in.ContentLength != 0) && (err != nil || kind != "application/json") {
		problem{
			status: http.StatusUnsupportedMediaType, name: "media-type",
			detail: "the body is not said to be JSON", hint: "send Content-Type: application/json",
		}.write(out)
		return "", false
	}
	text, err := io.ReadAll(in.Body)
	if err == nil { // it has come; a writer without deadlines belongs to a test
		_ = http.NewResponseController(out).SetReadDeadline(time.Time{})
	}
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		problem{
			status: http.StatusRequestEntityTooLarge, name: "size",
			detail: "the body is larger than 1 MiB", hint: "an order has at most 100 lines",
		}.write(out)
		return "", false
	}
	body := strings.TrimSpace(string(text))
	if err == nil && body == "" && !needed {
		return "{}", true
	}
	if err != nil || !json.Valid(text) || !strings.HasPrefix(body, "{") {
		badRequest("the body is not one JSON object", "its form is in docs/events.md").write(out)
		return "", false
	}
	return body, true
}

// command writes the command of an envelope in its JSON form, and answers with
// where it is.
func (s *Server) command(out http.ResponseWriter, in *http.Request, envelope string) {
	c, err := schemas.OrderCommands.Unmarshal([]byte(envelope))
	if err != nil {
		badRequest(err.Error(), "its form is in docs/events.md, order-commands").write(out)
		return
	}
	// The same wish has the same id, however often it is sent.
	c.Meta = &tallyv1.Meta{Id: schemas.CommandContentID(c), At: timestamppb.New(s.cfg.Now())}
	select {
	case s.commands <- struct{}{}:
		defer func() { <-s.commands }()
	default:
		busy(in, http.StatusTooManyRequests, "commands").write(out)
		return
	}
	ctx, cancel := context.WithTimeout(in.Context(), commandWithin)
	defer cancel()
	at, err := s.cfg.Commander.Command(ctx, c)
	if err != nil {
		problem{
			status: http.StatusServiceUnavailable, name: "kafka", detail: err.Error(), retry: 1,
			hint: "whether it was taken is not known: send the same again, which changes nothing if it was",
		}.write(out)
		return
	}
	id := schemas.CommandOrderID(c)
	token := tokenOf(at, id)
	out.Header().Set("Location", "/orders/"+url.PathEscape(id)+"?after="+token)
	answer(out, http.StatusAccepted, commandJSON{id, token, at})
}
