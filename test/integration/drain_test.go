package integration_test

import (
	"strings"
	"testing"
)

// TestDrain stops a worker under load as an operator does. It finishes what it
// began, keeps its place in the group, and has nothing to restore when it comes
// back. With --leave it gives its place up.
func TestDrain(t *testing.T) {
	const orders = 3_000
	each(t, func(t *testing.T, s *stage) {
		watch := s.watch()
		dir := t.TempDir()
		w := s.spawn("worker", dir).holds(partitions)
		s.send(load{name: "drain", orders: orders, seed: 1})
		s.until("the worker works", func() bool { return watch.Orders() > 0 })
		w.end()
		if members := s.members(); members != "worker" {
			t.Errorf("members after SIGTERM: %q, want the worker's place kept", members)
		}
		s.verify(w) // on its disk

		w = s.spawn("worker", dir, "--leave").holds(partitions)
		if records, _ := w.restored(); records != 0 {
			t.Errorf("restored %d records after an orderly end, want none", records)
		}
		s.until("all are confirmed", func() bool { return watch.Orders() == orders })
		s.until("no lag", s.caughtUp)
		s.audit(s.check())
		w.end()
		if members := s.members(); members != "" {
			t.Errorf("members after --leave: %q, want none", members)
		}
	})
}

// members are the instances in the group.
func (s *stage) members() string {
	s.t.Helper()
	groups, err := s.admin.DescribeGroups(s.t.Context(), s.app+"-confirm")
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, m := range groups[s.app+"-confirm"].Members {
		if m.InstanceID == nil {
			names = append(names, m.MemberID)
		} else {
			names = append(names, *m.InstanceID)
		}
	}
	return strings.Join(names, ",")
}
