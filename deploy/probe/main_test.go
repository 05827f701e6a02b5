package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProbe(t *testing.T) {
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	if err := probe(server.URL); err != nil {
		t.Errorf("a ready worker: %v", err)
	}
	ready = false
	if err := probe(server.URL); err == nil {
		t.Error("a worker that is not ready: no error")
	}
	server.Close()
	if err := probe(server.URL); err == nil {
		t.Error("no worker: no error")
	}
}
