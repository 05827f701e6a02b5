package integration_test

import (
	"testing"

	"tallystick/test/kafkatest"
)

// TestBrokerDies kills the broker under load and starts it again. The worker
// goes on without being touched.
func TestBrokerDies(t *testing.T) {
	const orders = 10_000
	each(t, func(t *testing.T, s *stage) {
		watch := s.watch()
		w := s.spawn("worker", t.TempDir()).holds(partitions)
		loaded := s.background(load{
			name: "bounce", orders: orders, seed: 1, pace: s.ahead(watch, 1_000),
		})
		s.until("some are confirmed", func() bool { return watch.Orders() > orders/10 })
		s.broker.Kill(t)
		if n := watch.Orders(); n >= orders {
			t.Errorf("the broker was killed when all %d orders were confirmed", n)
		}
		s.broker.Start(t)
		s.until("all are confirmed", func() bool { return watch.Orders() == orders })
		loaded()
		s.until("no lag", s.caughtUp)
		if doubled := watch.Doubled(); len(doubled) > 0 {
			t.Errorf("confirmed more than once: %v", doubled)
		}
		s.audit(s.check())
		s.verify(w)
		w.end()
	}, kafkatest.Own())
}
