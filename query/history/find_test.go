package history_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"tallystick/processors/confirm"
	"tallystick/query/history"
)

// TestViews asks a worker where the records of an order are.
func TestViews(t *testing.T) {
	var status int
	var kind, body, asked string
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.EscapedPath()
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	defer worker.Close()
	find := func(answer int, contentType, text string) ([]history.Place, error) {
		status, kind, body = answer, contentType, text
		v := history.Views{Address: worker.URL}
		return v.Find(t.Context(), "a/b c")
	}
	got, err := find(200, "application/json",
		`[{"topic":"orders","partition":2,"offset":7,"kind":"x"}]`)
	if err != nil || !slices.Equal(got, []history.Place{{Topic: "orders", Partition: 2, Offset: 7}}) {
		t.Errorf("got %v, %v", got, err)
	}
	if asked != "/orders/a%2Fb%20c/places" {
		t.Errorf("it was asked for %s", asked)
	}
	if got, err := find(404, "application/problem+json",
		`{"type":"urn:tallystick:problem:order","title":"Not Found"}`); err != nil ||
		len(got) > 0 {
		t.Errorf("an order that is not known: %v, %v", got, err)
	}
	for _, answer := range []struct {
		status     int
		kind, body string
	}{
		{404, "text/plain", "404 page not found"},
		{404, "application/problem+json", `{"type":"urn:tallystick:problem:path"}`},
		{500, "application/problem+json", "{}"},
		{200, "application/json", "[{"},
	} {
		if _, err := find(answer.status, answer.kind, answer.body); !errors.Is(err, history.ErrViews) {
			t.Errorf("%+v: %v", answer, err)
		}
	}
	worker.Close()
	if _, err := find(200, "", ""); !errors.Is(err, history.ErrViews) {
		t.Errorf("a worker that is not there: %v", err)
	}
}

// TestViewsNeverAnswer: what takes the question and stays silent, as a broker does that
// was named by mistake, is not waited for for ever.
func TestViewsNeverAnswer(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	v := history.Views{Address: silent.Addr().String(), Patience: 10 * time.Millisecond}
	if _, err := v.Find(t.Context(), "o"); !errors.Is(err, history.ErrViews) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it said %v", err)
	}
}

// TestWithoutCorrections: topics that were made before there were corrections have
// a past all the same.
func TestWithoutCorrections(t *testing.T) {
	w := newWorld(t.Context(), t, newBroker(t), confirm.Rules{})
	_, err := kadm.NewClient(w.b.cl).DeleteTopics(t.Context(), w.names.Corrections)
	w.must(err)
	w.place("o1", noon, 500, time.Hour)
	if s := tell(w, w.open(), "o1"); s.State != "placed" || len(s.Events) != 1 {
		t.Errorf("got %+v", s)
	}
}
