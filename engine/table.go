package engine

import (
	"context"
	"fmt"

	"github.com/lovoo/goka/storage"

	"tallystick/state"
)

// tableFormat is the layout of what the engine keeps in a table's range. A
// store with another one is set aside and rebuilt.
const tableFormat = 1

// storage is Goka's storage builder: the table restores itself when Goka opens
// it, so that Goka's own recovery, which waits for ever on a changelog that
// ends with a commit marker, finds nothing left to do.
func (e *Engine) storage(topic string, partition int32) (storage.Storage, error) {
	t := &table{e: e, at: place{topic, partition}}
	if topic == e.tableTopic() {
		return t, nil
	}
	return &replica{table: t}, nil
}

// A table is a partition of the group's table as Goka sees it. Its writes stay
// in the overlay until the transaction is committed.
type table struct {
	*state.Table
	e  *Engine
	at place
}

// Open brings the table up to the changelog.
func (t *table) Open() error {
	err := t.open()
	if err == nil {
		return nil
	}
	if s := t.e.session.Load(); s != nil && s.ctx.Err() != nil {
		return err // a newer assignment broke the restore
	}
	if s := t.e.session.Load(); s != nil {
		s.fail(err) // Goka's wrapping would hide it
	}
	return err
}

func (t *table) open() error {
	ctx := t.e.setupContext()
	detail, err := t.e.admin.topic(ctx, t.at.topic)
	if err != nil {
		return err
	}
	id := state.Identity{
		Cluster: t.e.cluster, Topic: t.at.topic, TopicID: detail.ID,
		Partition: t.at.partition, Group: t.e.cfg.Group, Format: t.format(),
	}
	if err := t.e.sameLog(ctx, id); err != nil {
		return err
	}
	if t.Table, err = t.e.cfg.State.Table(id); err != nil {
		return fmt.Errorf("%w: open %s/%d: %w", ErrRow, t.at.topic, t.at.partition, err)
	}
	t.track()
	if err := t.e.trust(ctx, t.Table, t.at); err != nil {
		return err
	}
	t.Rollback()
	end, err := t.e.restore(ctx, t.Table, t.at)
	if err != nil {
		return err
	}
	if !t.e.owns(t.at.topic) {
		t.e.restoredReplica(ctx, t.at)
	}
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.e.ends[t.at] = end
	if t.at.topic == t.e.tableTopic() {
		t.e.tables[t.at.partition] = t.Table
	}
	return nil
}

// trust holds a table against its fingerprint, if the machine may have crashed under it.
// One that is torn is set aside.
func (e *Engine) trust(ctx context.Context, t *state.Table, at place) error {
	sound, err := t.Check(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: check %s/%d: %w", ErrRow, at.topic, at.partition, err)
	case !sound:
		e.stats.rebuilt.Add(1)
	}
	return nil
}

// GetOffset tells Goka that nothing is left to load.
func (t *table) GetOffset(int64) (int64, error) {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	return t.e.ends[t.at] - 1, nil
}

// Close keeps the table open: a partition that stays with this worker must not
// pay for a rebalance. The database is closed by its owner.
func (t *table) Close() error { return nil }

// Iterator is what VisitAll walks over. Visits would change rows outside of any
// record, so that no offset could tell whether they were committed.
func (t *table) Iterator() (storage.Iterator, error) {
	return nil, fmt.Errorf("%w: VisitAll", ErrRefused)
}

// A replica is a partition of a table that another group writes, joined or
// looked up. It follows its topic outside of the transactions.
type replica struct{ *table }

// SetOffset makes the row that Goka has just set durable together with its offset.
func (r *replica) SetOffset(offset int64) error {
	if err := r.e.cfg.State.Commit(state.Commit{Table: r.Table, Offset: offset}); err != nil {
		return fmt.Errorf("%w: %s/%d: %w", ErrRow, r.at.topic, r.at.partition, err)
	}
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	r.e.ends[r.at] = offset + 1 // where Goka goes on after an error
	return nil
}

// Iterator walks over the replica; views do.
func (r *replica) Iterator() (storage.Iterator, error) { return r.Table.Iterator() }

// tableTopic is the changelog of the group's table.
func (e *Engine) tableTopic() string { return e.cfg.Group + "-table" }

// setupContext ends when a restore must be broken off.
func (e *Engine) setupContext() context.Context {
	if s := e.session.Load(); s != nil {
		return s.ctx
	}
	return e.running
}
