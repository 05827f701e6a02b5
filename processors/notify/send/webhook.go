package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// maxAnswer bounds what is read of an answer, for the reason of a refusal.
const maxAnswer = 2 << 10

// Webhook is a receiver of CloudEvents.
type Webhook struct {
	// URL gets a POST per confirmation: a CloudEvent 1.0 in the structured JSON form,
	// with the confirmation's id, the same at every attempt.
	URL string
	// Source is the event's source; "tally-notify" if empty.
	Source string
	// TokenFile holds a bearer token, read anew for each request; none if empty.
	TokenFile string
	// TLS is for roots of one's own; nil is the system's.
	TLS *tls.Config
	// Timeout bounds a request from the connection to the status; 30 s.
	Timeout time.Duration

	client *http.Client
}

func (w *Webhook) validate() error {
	if w.Timeout == 0 {
		w.Timeout = 30 * time.Second
	}
	if w.Source == "" {
		w.Source = "tally-notify"
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return need(false, "webhook url: %q is not one", w.URL)
	}
	// Connections are not kept: on one that the receiver is about to close nobody
	// could tell whether it has read the request.
	var only http.Protocols
	only.SetHTTP1(true)
	w.client = &http.Client{
		Transport: &http.Transport{
			DialContext: (&net.Dialer{}).DialContext, TLSClientConfig: w.TLS.Clone(),
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, Protocols: &only,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return errors.Join(
		need(u.Scheme == "http" || u.Scheme == "https", "webhook url: %q is not http", w.URL),
		need(u.Host != "", "webhook url: %q names no host", w.URL),
		need(u.User == nil, "webhook url: a secret does not belong there (hint: a token file)"),
		need(w.Timeout > 0, "webhook timeout: %v is not above 0", w.Timeout),
	)
}

// A cloudEvent is the structured JSON form.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time,omitempty"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// send makes one request. Before there is a connection, its TLS included, the
// receiver can't have taken anything; from there on only its status tells.
func (w *Webhook) send(
	ctx context.Context, now func() time.Time, c *tallyv1.SendConfirmation,
) outcome {
	body, err := w.event(c)
	if err != nil {
		return refusedForGood("write the event: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return refusedForGood("make the request: %v", err)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "tallystick")
	if w.TokenFile != "" {
		token, err := os.ReadFile(w.TokenFile)
		if err != nil {
			return refused("%v", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := w.client.Do(req)
	switch {
	case err != nil && connected.Load():
		return unsettled("no answer: %v", err)
	case err != nil:
		return refused("%v", err)
	}
	defer resp.Body.Close()
	return judge(resp, now())
}

// judge turns a status into an outcome. A gateway that answers 502 or 504 says that
// it doesn't know; any other status is the receiver's word.
func judge(resp *http.Response, now time.Time) outcome {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	said := strings.TrimSpace("the receiver says " + resp.Status + " " + string(text))
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return accepted()
	case code == http.StatusBadGateway, code == http.StatusGatewayTimeout:
		return unsettled("%s", said)
	case code/100 == 5, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout,
		code == http.StatusTooEarly:
		o := refused("%s", said)
		o.retryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
		return o
	}
	return refusedForGood("%s", said)
}

// retryAfter reads seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	const day = 24 * 60 * 60
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(n, 0), day)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

func (w *Webhook) event(c *tallyv1.SendConfirmation) ([]byte, error) {
	data, err := schemas.Confirmations.JSON(c.GetConfirmation())
	if err != nil {
		return nil, err
	}
	e := cloudEvent{
		SpecVersion: "1.0", ID: c.GetEventId(), Source: w.Source, Type: "tally.v1.OrderConfirmed",
		Subject: c.GetOrderId(), ContentType: "application/json", Data: data,
	}
	if at := c.GetConfirmation().GetMeta().GetAt(); at != nil {
		e.Time = at.AsTime().Format(time.RFC3339Nano)
	}
	return json.Marshal(e)
}
