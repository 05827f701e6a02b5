package page_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tallystick/query/history"
	"tallystick/query/page"
)

// TestStory holds that a story is told as it is, and that an order of which nothing is
// known is said to be so, and that Kafka being away is not taken for that.
func TestStory(t *testing.T) {
	s := serve(t, func(c *page.Config) {
		c.Commands = []string{"order-commands"}
		c.Story = func(_ context.Context, order string) (*history.Story, error) {
			switch order {
			case "a/b":
				return &history.Story{Order: order, State: "placed", Events: []history.Event{}}, nil
			case "none":
				return nil, history.ErrUnknown
			case "long":
				return nil, history.ErrLong
			}
			return nil, errors.New("kafka is away")
		}
	})
	var got struct {
		history.Story
		Asking []string
		Error  string
	}
	s.get(t, http.StatusOK, "/live/orders/a%2Fb", &got)
	if got.Order != "a/b" || got.State != "placed" || len(got.Asking) != 1 {
		t.Errorf("got %+v", got)
	}
	s.get(t, http.StatusNotFound, "/live/orders/none", &got)
	s.get(t, http.StatusBadGateway, "/live/orders/other", &got)
	if got.Error != "kafka is away" {
		t.Errorf("got %q", got.Error)
	}
	s.get(t, http.StatusBadRequest, "/live/orders/"+strings.Repeat("x", 2000), &got)
	s.get(t, http.StatusConflict, "/live/orders/long", &got)
}

// TestStoriesAtOnce: a page tells few stories at the same time, since each is held as a
// whole, and says so to one more.
func TestStoriesAtOnce(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	s := serve(t, func(c *page.Config) {
		c.Story = func(_ context.Context, order string) (*history.Story, error) {
			begun <- struct{}{}
			<-end
			return &history.Story{Order: order, Events: []history.Event{}}, nil
		}
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { s.get(t, http.StatusOK, "/live/orders/o", &history.Story{}) })
		<-begun
	}
	s.get(t, http.StatusServiceUnavailable, "/live/orders/o", &struct{ Error string }{})
	close(end)
	all.Wait()
}
