package integration_test

import (
	"strings"
	"testing"

	"tallystick/cmd/tally/app"
	"tallystick/engine"
)

// TestTwin starts a second worker under the name of one that runs, under load.
func TestTwin(t *testing.T) {
	const orders = 3_000
	each(t, func(t *testing.T, s *stage) {
		watch := s.watch()
		first := s.spawn("same", t.TempDir()).holds(partitions)
		loaded := s.background(load{
			name: "twin", orders: orders, seed: 1, pace: s.ahead(watch, 500),
		})
		s.until("the first works", func() bool { return watch.Orders() > orders/10 })
		second := s.spawn("same", t.TempDir())
		s.until("one of them stops", func() bool { return first.ended() || second.ended() })
		stopped, stayed := first, second
		if second.ended() {
			stopped, stayed = second, first
		}
		said := stopped.log.complaint(t)
		if stopped.code != app.ExitError || !strings.Contains(said, engine.ErrFenced.Error()) ||
			!strings.Contains(said, "(hint: give each worker an --instance") {
			t.Errorf("exit code %d: %s", stopped.code, said)
		}
		s.until("the other confirms all", func() bool { return watch.Orders() == orders })
		loaded()
		s.until("no lag", s.caughtUp)
		if doubled := watch.Doubled(); len(doubled) > 0 {
			t.Errorf("confirmed more than once: %v", doubled)
		}
		s.audit(s.check())
		s.verify(stayed)
		stayed.end()
	})
}
