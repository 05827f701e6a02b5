package ways

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/processors/lookup"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A service is the order service that receivers of thin notifications ask. It has
// a store of its own, in memory, which its owner fills before a notice goes out.
// GET /orders/{id} answers with a [lookup.Answer], or 404.
type service struct {
	// latency is how long an answer takes beside the work on it.
	latency time.Duration
	down    atomic.Bool
	asked   atomic.Int64

	mu     sync.RWMutex
	orders map[string]lookup.Answer
}

func newService(latency time.Duration) *service {
	return &service{latency: latency, orders: map[string]lookup.Answer{}}
}

// take adds an event of the topic of orders or of payments.
func (s *service) take(m proto.Message) error {
	var id string
	var text []byte
	var err error
	switch m := m.(type) {
	case *tallyv1.OrderEvent:
		id = schemas.OrderID(m)
		text, err = schemas.Orders.JSON(m)
	case *tallyv1.PaymentEvent:
		id = schemas.PaymentOrderID(m)
		text, err = schemas.Payments.JSON(m)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.orders[id]
	if _, order := m.(*tallyv1.OrderEvent); order {
		a.Orders = append(a.Orders, text)
	} else {
		a.Payments = append(a.Payments, text)
	}
	s.orders[id] = a
	return nil
}

// ServeHTTP answers questions about orders. While the service is down it is what
// stands before it that answers: there is nobody.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if s.down.Load() {
		http.Error(w, "the order service is down", http.StatusServiceUnavailable)
		return
	}
	if s.latency > 0 {
		t := time.NewTimer(s.latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.RLock()
	answer, found := s.orders[r.PathValue("id")]
	s.mu.RUnlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // who asked may have gone
}

// handler routes to the service.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", s)
	return mux
}
