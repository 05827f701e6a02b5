package api_test

import (
	"context"
	"net/http"
	"testing"

	"tallystick/query/api"
	"tallystick/query/history"
)

// TestWhoMayWrite: on loopback without a token everybody on this machine, elsewhere
// those who show it, and nobody if there is none; never a page of somebody else.
func TestWhoMayWrite(t *testing.T) {
	const right = "Bearer s3cret"
	for _, tc := range []struct {
		name     string
		loopback bool
		token    string
		status   int
		headers  []string
	}{
		{"loopback", true, "", 202, nil},
		{"loopback with a token, not shown", true, "s3cret", 401, nil},
		{"loopback with a token", true, "s3cret", 202, []string{"Authorization", right}},
		{"elsewhere", false, "", 403, nil},
		{"elsewhere, no token to show", false, "", 403, []string{"Authorization", "Bearer "}},
		{"elsewhere, not shown", false, "s3cret", 401, nil},
		{"elsewhere, wrong", false, "s3cret", 401, []string{"Authorization", "Bearer s3cre"}},
		{"elsewhere, not a bearer", false, "s3cret", 401, []string{"Authorization", "Basic s3cret"}},
		{"elsewhere, right", false, "s3cret", 202, []string{"Authorization", right}},
		{"another page", true, "", 403, []string{"Origin", "http://evil.example"}},
		{"another page, by its site", true, "", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"another page, with the token", false, "s3cret", 403, []string{
			"Authorization", right, "Sec-Fetch-Site", "cross-site",
		}},
		{"a name that points here", true, "", 403, []string{"Host", "evil.example"}},
		{"localhost", true, "", 202, []string{"Host", "localhost:80"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, 1, func(c *api.Config) { c.Loopback, c.Token = tc.loopback, tc.token })
			a := w.workers[0].ask("POST", "/orders", order("o"), tc.headers...)
			if a.is(t, tc.status); tc.status != 202 {
				a.is(t, tc.status, `"hint":"`)
			}
			w.workers[0].ask("POST", "/orders/o/cancel", "", tc.headers...).is(t, tc.status)
			if written := len(w.ids); tc.status == 202 != (written == 2) {
				t.Errorf("%d commands are written", written)
			}
		})
	}
}

// TestWhoMayRead: views are for whoever gets there under a name of the worker, and
// what is in records is for this machine or for those with the token.
func TestWhoMayRead(t *testing.T) {
	story := func(_ context.Context, order string) (*history.Story, error) {
		switch order {
		case "o":
		case "long":
			return nil, history.ErrLong
		default:
			return nil, history.ErrUnknown
		}
		return &history.Story{Order: order, State: "placed", Events: []history.Event{}}, nil
	}
	w := open(t, 1, func(c *api.Config) {
		c.Loopback, c.Token, c.Story, c.Address = false, "s3cret", story, "Worker-1:80"
	})
	w.placed("o", "ann", 1, "EUR")
	wk := w.workers[0]
	wk.get("/orders/o").is(t, 200)
	wk.get("/orders/o", "Host", "worker-1:80").is(t, 200)
	wk.get("/orders/o", "Host", "evil.example").is(t, http.StatusForbidden, "--advertise")
	wk.get("/orders/o", "Host", "evil.example", "Authorization", "Bearer s3cret").is(t, 200)
	wk.get("/orders/o/events").is(t, 200, `"state":"placed"`)
	wk.get("/orders/p/events").is(t, 404)
	wk.get("/orders/long/events").is(t, http.StatusConflict, "tally table get")
	wk.get("/orders/o/events", "Host", "worker-1").is(t, http.StatusForbidden, "token")
	wk.get("/orders/o/events", "Host", "worker-1", "Authorization", "bearer s3cret").is(t, 200)
}
