package engine

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"tallystick/state"
)

type counters struct {
	records, transactions, aborts, restarts atomic.Int64
	restored, rebuilt, deadLetters          atomic.Int64
	rows, sessions, effects                 atomic.Int64
	lag, timers, ahead                      atomic.Int64
	ready                                   atomic.Bool
}

// Stats is what an engine has done since it was made.
type Stats struct {
	Records      int64 `json:"records"`      // inputs in committed transactions
	Transactions int64 `json:"transactions"` // committed
	Aborts       int64 `json:"aborts"`
	Restarts     int64 `json:"restarts"` // new clients after an error
	Sessions     int64 `json:"sessions"` // assignments followed
	Rows         int64 `json:"rows"`     // written to the changelog and committed
	Restored     int64 `json:"restored"` // changelog records read to bring tables up
	Rebuilt      int64 `json:"rebuilt"`  // tables set aside and rebuilt
	DeadLetters  int64 `json:"dead_letters"`
	Timers       int64 `json:"timers"` // deadlines that came
	// Ahead counts the records from the far future, which don't move stream time.
	Ahead   int64 `json:"ahead"`
	Parked  int64 `json:"parked"`  // keys that wait behind a dead letter
	Effects int64 `json:"effects"` // handed over after their transaction
	// Lag is how many records of the assigned inputs were still unread when
	// last looked, as the latest fetches told.
	Lag int64 `json:"lag"`
	// Ready means that an assignment was followed and its tables are restored.
	Ready bool `json:"ready"`
	// Partitions of the group's table that are assigned, in order.
	Partitions []int32 `json:"partitions"`
}

// Stats returns the engine's counters. It may be called at any time.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	partitions := make([]int32, 0, len(e.tables))
	for p := range e.tables {
		partitions = append(partitions, p)
	}
	parked := e.countParked()
	e.mu.Unlock()
	slices.Sort(partitions)
	c := &e.stats
	return Stats{
		Records: c.records.Load(), Transactions: c.transactions.Load(), Aborts: c.aborts.Load(),
		Restarts: c.restarts.Load(), Sessions: c.sessions.Load(), Rows: c.rows.Load(),
		Restored: c.restored.Load(), Rebuilt: c.rebuilt.Load(), DeadLetters: c.deadLetters.Load(),
		Timers: c.timers.Load(), Ahead: c.ahead.Load(), Parked: parked,
		Effects: c.effects.Load(), Lag: c.lag.Load(), Ready: c.ready.Load(), Partitions: partitions,
	}
}

// A PartitionStats is what an assigned partition of the group's table has come to.
type PartitionStats struct {
	Partition int32 `json:"partition"`
	// StreamTime is zero as long as nothing is known of an input.
	StreamTime time.Time `json:"stream_time,omitzero"`
	// Fingerprint is of the committed rows, Rows how many there are.
	Fingerprint state.Fingerprint `json:"fingerprint"`
	Rows        int64             `json:"rows"`
}

// PartitionStats returns the partitions of the group's table that are assigned to this
// worker, in order; none for a group without a table. It may be called at any time.
func (e *Engine) PartitionStats() []PartitionStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]PartitionStats, 0, len(e.tables))
	for p, t := range e.tables {
		sum := t.Fingerprint()
		all = append(all, PartitionStats{p, e.clocks[p].time(), sum, sum.Rows()})
	}
	slices.SortFunc(all, func(a, b PartitionStats) int {
		return cmp.Compare(a.Partition, b.Partition)
	})
	return all
}
