package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
	"tallystick/topology/keyhash"
)

// transact runs one transaction, from the first records to the commit on disk.
func (ep *epoch) transact(ctx context.Context, first kgo.Fetches) error {
	e := ep.e
	if ep.txn != nil {
		if err := ep.txn.Begin(); err != nil {
			return ep.classify(fmt.Errorf("begin: %w", err))
		}
	}
	ep.mu.Lock()
	s := ep.session
	ep.mu.Unlock()
	ep.began = time.Now()
	ep.rebalancing.Store(false)
	ep.buried.Store(0)
	ep.open.Store(true)
	t := &transaction{ep: ep, s: s, fired: map[int32]map[string]int64{}}
	s.lookUp(ctx)
	err := t.collect(ctx, first)
	if err == nil {
		err = t.drain(0)
	}
	t.pace()
	if err == nil {
		err = t.fire()
	}
	if err != nil {
		return err
	}
	ep.open.Store(false)
	made := ep.effects.take()
	t.writeRows()
	if err := t.writeJournal(); err != nil {
		return err
	}
	if f := e.cfg.Probe.Committing; f != nil {
		f()
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*e.cfg.TransactionTimeout)
	defer cancel()
	if err := t.commit(bounded); err != nil {
		e.stats.aborts.Add(1)
		e.dropped(made, err)
		return err
	}
	if f := e.cfg.Probe.Committed; f != nil {
		f()
	}
	if err := t.apply(); err != nil {
		return err
	}
	s.forgetBatch()
	e.poison.drop(append(t.poisoned, s.takePoisoned()...))
	e.stats.records.Add(int64(t.records))
	e.stats.deadLetters.Add(ep.buried.Load())
	e.stats.transactions.Add(1)
	e.handOver(ctx, made)
	return nil
}

// A transaction is what is in flight between a begin and its commit.
type transaction struct {
	ep       *epoch
	s        *session
	records  int
	bytes    int
	poisoned []spot
	tables   []*written
	fired    map[int32]map[string]int64 // deadlines that came, by partition and key
}

// written is a table with the rows that the transaction writes to its changelog.
type written struct {
	table  *state.Table
	rows   int
	offset atomic.Int64 // the highest acknowledged, -1 if none
}

// collect delivers first and what comes after it, until the transaction is old
// or large enough, or something else waits.
func (t *transaction) collect(ctx context.Context, first kgo.Fetches) error {
	c := &t.ep.e.cfg
	if err := t.feed(first); err != nil {
		return err
	}
	for ctx.Err() == nil && !t.ep.rebalancing.Load() &&
		t.records < c.MaxRecords && t.bytes < c.MaxBytes {
		left := c.Interval - time.Since(t.ep.began)
		if left <= 0 {
			break
		}
		fetches := t.ep.poll(ctx, left, c.MaxRecords-t.records)
		if err := t.ep.check(fetches); err != nil {
			return err
		}
		if err := t.feed(fetches); err != nil {
			return err
		}
		if err := t.drain(t.s.low.Load()); err != nil {
			return err
		}
	}
	return nil
}

// feed sorts out the records that can't be processed and delivers the others,
// those of a partition merged by timestamp over its inputs.
func (t *transaction) feed(fetches kgo.Fetches) error {
	inputs := map[int32][][]*kgo.Record{}
	var failed error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if failed != nil || len(f.Records) == 0 {
			return
		}
		at := place{f.Topic, f.Partition}
		t.ep.e.saw(at, f.HighWatermark-f.Records[len(f.Records)-1].Offset-1)
		t.s.remember(at, f.Records)
		if c := t.s.clocks[f.Partition]; c != nil {
			c.fetched(f.Topic, f.Records[len(f.Records)-1].Offset+1)
		}
		var good []*kgo.Record
		if good, failed = t.sift(f); len(good) > 0 {
			inputs[f.Partition] = append(inputs[f.Partition], good)
		}
	})
	if failed != nil {
		return failed
	}
	for partition, lists := range inputs {
		merged := merge(lists)
		t.s.journal.delivered(partition, t.s.clocks[partition], merged)
		if err := t.s.deliver(partition, merged, t.push); err != nil {
			return err
		}
	}
	return nil
}

// sift returns the records of f that can be processed and buries the others.
func (t *transaction) sift(f kgo.FetchTopicPartition) ([]*kgo.Record, error) {
	e := t.ep.e
	n := e.partitionCount(f.Topic)
	good := f.Records
	for i, r := range f.Records {
		t.records++
		t.bytes += len(r.Key) + len(r.Value)
		v, bad := t.judge(r, n)
		if bad && v.class == classMisrouted && e.cfg.OnMisrouted == StopOnMisrouted {
			return nil, misrouted(r, f.Records, n)
		}
		if !bad {
			if len(good) < len(f.Records) {
				good = append(good, r)
			}
			continue
		}
		if len(good) == len(f.Records) { // the first bad one: copy the good before it
			good = append(make([]*kgo.Record, 0, len(f.Records)-1), f.Records[:i]...)
		}
		t.ep.bury(r, v)
	}
	return good, nil
}

// judge tells whether r can't be processed, and why. n is the number of
// partitions of its topic.
func (t *transaction) judge(r *kgo.Record, n int32) (verdict, bool) {
	e := t.ep.e
	at := spot{place{r.Topic, r.Partition}, r.Offset}
	inOrder := e.parking || r.Topic == e.retries // Wrap judges it when its turn has come
	if v, held := e.poison.find(at); held && !inOrder {
		t.poisoned = append(t.poisoned, at)
		return v, true
	}
	switch {
	case r.Topic == e.retries:
		return e.judgeRetry(r, n)
	case r.Key == nil:
		return verdict{classNoKey, "record has no key"}, true
	case r.Value == nil && !e.inputs[r.Topic] && !inOrder:
		return verdict{classTombstone, "record has no value, which this input doesn't allow"}, true
	case keyhash.Partition(r.Key, n) != r.Partition:
		return verdict{classMisrouted, fmt.Sprintf("key belongs to partition %d of %d",
			keyhash.Partition(r.Key, n), n)}, true
	}
	return verdict{}, false
}

// misrouted is ErrMisrouted with what helps to find the producer.
func misrouted(r *kgo.Record, all []*kgo.Record, n int32) error {
	var keys [][]byte
	for _, o := range all {
		if o.Key != nil {
			keys = append(keys, o.Key)
		}
	}
	hint := "no hash that we know puts the keys there; its producer may ignore keys"
	if fits := keyhash.Fits(keys, r.Partition, n); len(fits) > 0 {
		hint = fmt.Sprintf("of the hashes we know, %v fit", fits)
	}
	return fmt.Errorf("%w: %s/%d@%d, key %s: Kafka's murmur2 gives partition %d of %d (hint: %s; set "+
		"the producer's partitioner to murmur2, as Java clients have it)", ErrMisrouted, r.Topic,
		r.Partition, r.Offset, printable(r.Key), keyhash.Partition(r.Key, n), n, hint)
}

// merge puts lists, each in the order of its log, into one: lowest timestamp
// first, as far as that order allows.
func merge(lists [][]*kgo.Record) []*kgo.Record {
	if len(lists) == 1 {
		return lists[0]
	}
	slices.SortFunc(lists, func(a, b []*kgo.Record) int {
		if a[0].Topic < b[0].Topic {
			return -1
		}
		return 1
	})
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	out := make([]*kgo.Record, 0, n)
	for len(out) < n {
		first := -1
		for i, l := range lists {
			if len(l) > 0 && (first < 0 || l[0].Timestamp.Before(lists[first][0].Timestamp)) {
				first = i
			}
		}
		out = append(out, lists[first][0])
		lists[first] = lists[first][1:]
	}
	return out
}

// drain waits until at most n delivered records are not yet marked; n is 0 or
// the session's low. It gives up when none was marked for as long as a transaction may take.
func (t *transaction) drain(n int64) error {
	return t.wait(func() bool { return t.s.outstanding.Load() <= n }, nil, nil)
}

// push waits, with the same patience, until there is room for batch.
func (t *transaction) push(
	in chan<- []sarama.ConsumerMessage, batch []sarama.ConsumerMessage,
) error {
	return t.wait(func() bool { return false }, in, batch)
}

// wait waits until done, or until batch is sent if there is a channel for it.
func (t *transaction) wait(
	done func() bool, in chan<- []sarama.ConsumerMessage, batch []sarama.ConsumerMessage,
) error {
	patience := t.ep.e.cfg.TransactionTimeout
	look := time.NewTicker(patience / 10)
	defer look.Stop()
	last, moved := t.s.outstanding.Load(), time.Now()
	for !done() && !t.s.failed.Load() {
		select {
		case in <- batch:
			return nil
		case <-t.s.few:
		case <-t.s.lost:
		case <-look.C:
			if now := t.s.outstanding.Load(); now != last {
				last, moved = now, time.Now()
			} else if time.Since(moved) > patience {
				err := t.ep.e.stop(fmt.Errorf("%w: %d records, none finished for %v (hint: a callback "+
					"is stuck, or raise the transaction timeout)", ErrStalled, last, patience))
				close(t.ep.e.stalled)
				return err
			}
		}
	}
	if t.s.failed.Load() {
		return t.s.err
	}
	return nil
}

// writeRows writes each dirty row to the changelog, in the table's own partition.
func (t *transaction) writeRows() {
	const slab, keySlab = 256, 8 << 10
	keys := make([]byte, 0, keySlab) // never nil: a row's key may be empty
	for _, table := range t.ep.e.writtenTables() {
		w := &written{table: table}
		w.offset.Store(-1)
		acked := func(r *kgo.Record, err error) {
			if err == nil {
				w.offset.Store(max(w.offset.Load(), r.Offset)) // promises come one at a time
				return
			}
			if errors.Is(err, kerr.MessageTooLarge) {
				err = fmt.Errorf("%w: key %s: row of %d bytes: %w", ErrRow, printable(r.Key),
					len(r.Value), err)
			}
			t.ep.wrote(r, err)
		}
		var records []kgo.Record
		topic, partition := table.Identity().Topic, table.Identity().Partition
		for key, value := range table.Dirty() {
			if len(records) == cap(records) {
				records = make([]kgo.Record, 0, slab)
			}
			if len(key) > cap(keys)-len(keys) {
				keys = make([]byte, 0, max(keySlab, len(key)))
			}
			keys = append(keys, key...)
			records = append(records, kgo.Record{
				Topic: topic, Partition: partition, Value: value,
				Key: keys[len(keys)-len(key) : len(keys) : len(keys)],
			})
			t.ep.produce(&records[len(records)-1], acked)
			w.rows++
		}
		if w.rows > 0 {
			t.tables = append(t.tables, w)
		}
	}
}

// commit commits on Kafka. Any error, and a commit that turned into an abort,
// ends the epoch: what really happened, the next one finds in the log.
func (t *transaction) commit(ctx context.Context) error {
	if err := t.ep.client.Flush(ctx); err != nil {
		return t.ep.classify(fmt.Errorf("flush: %w", err))
	}
	if t.s.failed.Load() {
		return t.s.err
	}
	if t.ep.txn == nil {
		ctx = kgo.PreCommitFnContext(ctx, t.annotatePlain)
		if err := t.ep.client.CommitUncommittedOffsets(ctx); err != nil {
			return t.ep.classify(fmt.Errorf("commit offsets: %w", err))
		}
		return nil
	}
	committed, err := t.ep.txn.End(kgo.PreTxnCommitFnContext(ctx, t.annotate), kgo.TryCommit)
	switch {
	case committed && err == nil:
		return nil
	case !guarded:
		return t.goOn(ctx, err)
	case err == nil:
		return again(errors.New("transaction was aborted"))
	}
	return t.ep.classify(fmt.Errorf("commit: %w", err))
}

// apply puts the committed rows on disk, in one batch.
func (t *transaction) apply() error {
	commits := make([]state.Commit, 0, len(t.tables))
	for _, w := range t.tables {
		commits = append(commits, state.Commit{Table: w.table, Offset: w.offset.Load()})
		t.ep.e.stats.rows.Add(int64(w.rows))
	}
	if len(commits) == 0 {
		return nil
	}
	if err := t.ep.e.cfg.State.Commit(commits...); err != nil {
		return fmt.Errorf("%w: commit: %w", ErrRow, err)
	}
	return nil
}

// goOn does what builds without the guard do after a failed commit: abort and
// go on with the same client.
func (t *transaction) goOn(ctx context.Context, err error) error {
	t.ep.e.log.Warn("going on after a failed commit, unguarded", "error", err)
	_, err = t.ep.txn.End(ctx, kgo.TryAbort)
	for _, table := range t.ep.e.writtenTables() {
		table.Rollback()
	}
	t.tables = nil
	return err
}

// classify is the package's, with this transaction's age.
func (ep *epoch) classify(err error) error {
	overdue := !ep.began.IsZero() && time.Since(ep.began) > ep.e.cfg.TransactionTimeout
	err = classify(err, overdue)
	var r restart
	if errors.As(err, &r) && stops(r.err) {
		return r.err
	}
	return err
}

// fail ends the session with err.
func (ep *epoch) fail(err error) {
	if s := ep.e.session.Load(); s != nil {
		s.fail(err)
	}
}
