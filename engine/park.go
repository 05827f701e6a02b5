package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tallystick/state"
)

// ParkedTopic is the changelog of the keys that a group has parked, compacted:
// one [ParkedKey] as JSON under each of them.
func ParkedTopic(group string) string { return group + "-parked" }

// parkedFormat is the layout of the table of parked keys on disk.
const parkedFormat = 1

// A ParkedKey is a key of which a record went to the dead letters. Later records
// of the key wait behind it, in the dead letters too, each under a sequence. They
// are resolved in this order, by a retry that succeeds or by being dropped; when
// none is left the row goes and the key is free.
type ParkedKey struct {
	// By is the record that parked the key, as topic/partition@offset. It tells
	// this parking of the key from earlier ones.
	By string `json:"by"`
	// First is the lowest sequence that is not resolved, Next the one that the
	// next record will get.
	First int64 `json:"first"`
	Next  int64 `json:"next"`
	// Attempts is how often the record at First was tried in vain.
	Attempts int `json:"attempts"`
}

// A lot is where the keys of one partition are parked. Like the group's table it
// is written by the goroutine that runs the partition's callbacks.
type lot struct {
	*state.Table
	keys atomic.Int64 // in it, those of the open transaction included
}

// row returns what is known of a parked key, nil if it is not parked.
func (l *lot) row(key string) (*ParkedKey, error) {
	if l == nil || l.keys.Load() == 0 {
		return nil, nil
	}
	b, err := l.Get(key)
	if err != nil || b == nil {
		return nil, err
	}
	row := &ParkedKey{}
	if err := json.Unmarshal(b, row); err != nil {
		return nil, fmt.Errorf("%w: parked key %s: %w", ErrRow, printable([]byte(key)), err)
	}
	return row, nil
}

// put writes the row of a parked key; one that waits for nothing is deleted.
func (l *lot) put(key string, row *ParkedKey, added bool) error {
	if row.First == row.Next {
		l.keys.Add(-1)
		return l.Delete(key)
	}
	b, err := json.Marshal(row)
	if err != nil {
		return err
	}
	if added {
		l.keys.Add(1)
	}
	return l.Set(key, b)
}

// openLots opens the tables of parked keys of an assignment and brings them up
// to their changelog.
func (e *Engine) openLots(s *session) error {
	if !e.parking {
		return nil
	}
	topic := ParkedTopic(e.cfg.Group)
	detail, err := e.admin.topic(s.ctx, topic)
	if err != nil {
		return err
	}
	partitions := map[int32]bool{}
	for _, ps := range s.assigned {
		for _, p := range ps {
			partitions[p] = true
		}
	}
	lots := make(map[int32]*lot, len(partitions))
	for p := range partitions {
		lots[p] = &lot{}
	}
	g := new(errgroup.Group)
	g.SetLimit(8)
	for p, l := range lots {
		g.Go(func() error {
			return e.openLot(s, l, state.Identity{
				Cluster: e.cluster, Topic: topic, TopicID: detail.ID, Partition: p,
				Group: e.cfg.Group, Format: parkedFormat,
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lots, s.lots = maps.Clone(lots), lots
	return nil
}

func (e *Engine) openLot(s *session, l *lot, id state.Identity) error {
	if err := e.sameLog(s.ctx, id); err != nil {
		return err
	}
	var err error
	if l.Table, err = e.cfg.State.Table(id); err != nil {
		return fmt.Errorf("%w: open %s/%d: %w", ErrRow, id.Topic, id.Partition, err)
	}
	at := place{id.Topic, id.Partition}
	if err := e.trust(s.ctx, l.Table, at); err != nil {
		return err
	}
	l.Rollback()
	if _, err := e.restore(s.ctx, l.Table, at); err != nil {
		return err
	}
	for _, err := range l.Committed().All("") {
		if err != nil {
			return fmt.Errorf("%w: %s/%d: %w", ErrRow, id.Topic, id.Partition, err)
		}
		l.keys.Add(1)
	}
	return nil
}

// owns tells whether a topic is the changelog of a table that this engine writes.
func (e *Engine) owns(topic string) bool {
	return topic == e.tableTopic() || e.parking && topic == ParkedTopic(e.cfg.Group)
}

// writtenTables are the tables that transactions write: those of the assigned
// partitions, and those of their parked keys.
func (e *Engine) writtenTables() []*state.Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	tables := slices.Collect(maps.Values(e.tables))
	for _, l := range e.lots {
		tables = append(tables, l.Table)
	}
	return tables
}

// ParkedKeys returns the committed [ParkedKey] rows of an assigned partition,
// and false if it is not assigned to this worker or nothing is ever parked.
func (e *Engine) ParkedKeys(partition int32) (state.View, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.lots[partition]
	if !ok {
		return state.View{}, false
	}
	return l.Committed(), true
}

// countParked is how many keys of the assigned partitions are parked; mu is held.
func (e *Engine) countParked() int64 {
	var n int64
	for _, l := range e.lots {
		n += l.keys.Load()
	}
	return n
}

// parked tells whether a key waits behind a dead letter, so that its deadline has
// to wait too. No callback of the partition runs meanwhile.
func (s *session) parked(partition int32, key string) (bool, error) {
	row, err := s.lots[partition].row(key)
	return row != nil, err
}

// admit tells whether the record may be processed now. One whose key is parked
// goes to the dead letters, behind what waits there; one that is retried may be
// processed if it is its turn.
func (c *callContext) admit() bool {
	s := c.session
	if len(s.lots) == 0 {
		return !c.dropped()
	}
	row, err := s.lots[c.spot().partition].row(c.Key())
	switch {
	case err != nil:
		s.fail(err)
		return false
	case c.retry != nil && c.retry.ParkedBy != "":
		return c.turn(row)
	case c.dropped():
		return false
	case row == nil:
		return true
	case c.timer(): // it stays due
		return false
	}
	row.Next++
	c.bury(verdict{classParked, "waits behind " + row.By}, row.notes(row.Next-1, 0)...)
	c.park(row, false)
	return false
}

// dropped tells that the record is a dead letter to be dropped.
func (c *callContext) dropped() bool {
	if c.retry == nil || !c.retry.Drop {
		return false
	}
	c.session.ep.refuse(c.spot())
	return true
}

// timer tells that the record is a deadline that has come.
func (c *callContext) timer() bool {
	return string(c.Topic()) == c.session.ep.e.cfg.Group+"-timers"
}

// turn tells whether the retried record is the first of those that wait under its
// key. Only such a one is processed, or dropped: so a retry that is asked for
// twice is done once, and none overtakes one that failed again.
func (c *callContext) turn(row *ParkedKey) bool {
	r, log := c.retry, c.session.ep.e.log
	done := row == nil || row.By != r.ParkedBy
	if done || r.Sequence != row.First || r.Drop {
		c.session.ep.refuse(r.at)
	}
	switch {
	case done || r.Sequence < row.First:
		log.Info("a dead letter that was resolved is not retried", "at", r.at.String(),
			"key", printable([]byte(c.Key())), "sequence", r.Sequence)
		return false
	case r.Sequence > row.First:
		log.Warn("a dead letter is not retried while an earlier one of its key waits",
			"at", r.at.String(), "key", printable([]byte(c.Key())), "sequence", r.Sequence,
			"first", row.First)
		return false
	}
	c.row = row
	if r.Drop {
		log.Info("dead letter dropped", "at", r.at.String(), "key", printable([]byte(c.Key())),
			"sequence", r.Sequence, "reason", r.Why)
		c.resolve()
		return false
	}
	return true
}

// resolve notes that the retried record is done with.
func (c *callContext) resolve() {
	if c.row == nil || c.session.failed.Load() {
		return
	}
	c.row.First++
	c.row.Attempts = 0
	c.park(c.row, false)
}

// refuse puts the record into the dead letters, which parks its key if that is
// asked for.
func (c *callContext) refuse(v verdict) {
	e := c.session.ep.e
	switch {
	case c.row != nil: // it was parked, and stays so
		c.row.Attempts++
		c.bury(v, c.row.notes(c.row.First, c.row.Attempts)...)
		c.park(c.row, false)
	case e.cfg.Park && !c.timer() && len(c.Key()) <= deadKeyBytes: // a longer one is no row's key
		row := &ParkedKey{By: c.spot().String(), Next: 1, Attempts: 1}
		c.bury(v, row.notes(0, row.Attempts+c.retry.attempts())...)
		c.park(row, true)
	default:
		c.bury(v, note{"attempt", strconv.Itoa(1 + c.retry.attempts())})
	}
}

// park writes the row of the record's key.
func (c *callContext) park(row *ParkedKey, added bool) {
	if err := c.session.lots[c.spot().partition].put(c.Key(), row, added); err != nil {
		c.session.fail(fmt.Errorf("%w: park key %s: %w", ErrRow, printable([]byte(c.Key())), err))
	}
}

// notes are what the dead letter of a parked key says beside the usual.
func (p *ParkedKey) notes(sequence int64, attempt int) []note {
	return []note{
		{"sequence", strconv.FormatInt(sequence, 10)},
		{"parked-by", p.By},
		{"attempt", strconv.Itoa(attempt)},
	}
}

// quarantined tells whether the record may not reach the callback even if it is its
// turn, and why: it made a transaction fail, or has no value.
func (c *callContext) quarantined(msg any) (verdict, bool) {
	s, at := c.session, c.spot()
	e := s.ep.e
	if v, held := e.poison.find(at); held {
		s.mu.Lock()
		s.poisoned = append(s.poisoned, at)
		s.mu.Unlock()
		return v, true
	}
	if msg != nil || c.timer() || e.inputs[string(c.Topic())] {
		return verdict{}, false
	}
	return verdict{classTombstone, "record has no value, which this input doesn't allow"}, true
}

// takePoisoned returns what was taken out of the quarantine.
func (s *session) takePoisoned() []spot {
	s.mu.Lock()
	defer s.mu.Unlock()
	spots := s.poisoned
	s.poisoned = nil
	return spots
}
