package app

import (
	"cmp"
	"testing"

	"tallystick/engine"
)

// TestAhead holds that all that may be on its way adds up to no more than was allowed.
func TestAhead(t *testing.T) {
	for _, s := range []sending{
		{},
		{webhook: "w"},
		{webhook: "w", smtp: "m"},
		{ahead: leastAhead, webhook: "w", smtp: "m"},
		{ahead: 777, webhook: "w"},
		{ahead: mostAhead, smtp: "m"},
	} {
		queue, records := s.shares()
		gates := s.channels() * 2 * records // timers, too
		all := queue + senders + gates
		if queue < 1 || records < 1 || all > cmp.Or(s.ahead, defaultAhead) {
			t.Errorf("%+v: a queue of %d, %d records a transaction: %d in all", s, queue, records, all)
		}
		c := engine.Config{}
		notifyProcessor().engine(wiring{sending: s}, &c)
		if c.MaxRecords != records {
			t.Errorf("%+v: %d records a transaction, want %d", s, c.MaxRecords, records)
		}
	}
}
