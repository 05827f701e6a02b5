package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/state"
)

const (
	// Each restore takes memory for a batch, the batch of Pebble's that is made of it,
	// and two fetches. It keeps two processors busy: one fetches, one writes.
	restoresAtOnce    = 2
	restoreFetchBytes = 4 << 20
	restoreProgress   = 2 * time.Second
	hangingMargin     = 5 * time.Second
)

// restore brings a table up to its changelog and returns the high watermark it
// was brought to. It reads committed rows up to the high watermark that was
// read uncommitted: markers of one transaction reach their partitions at
// different times (KAFKA-10167), so that the last stable offset alone could
// miss the end of what the offsets already promise.
func (e *Engine) restore(ctx context.Context, t *state.Table, at place) (int64, error) {
	log, err := e.settled(ctx, at)
	if err != nil {
		return 0, err
	}
	if err := e.distrust(ctx, t, at, log); err != nil {
		return 0, err
	}
	from := max(t.Offset()+1, log.start)
	if from >= log.high {
		return log.high, nil
	}
	select {
	case e.restores <- struct{}{}:
		defer func() { <-e.restores }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	began, rows := time.Now(), 0
	said := began
	r := t.Restore()
	f := fetcher{admin: e.admin, at: at, next: from}
	for got := range f.ahead(ctx, log.high) {
		if got.err != nil {
			return 0, fmt.Errorf("engine: restore %s/%d: %w", at.topic, at.partition, got.err)
		}
		for _, rec := range got.records {
			if rec.Value == nil {
				r.Delete(rec.Key)
			} else {
				r.Set(rec.Key, rec.Value)
			}
		}
		rows += len(got.records)
		if now := time.Now(); now.Sub(said) >= restoreProgress {
			said = now
			e.log.Info("restoring", "topic", at.topic, "partition", at.partition, "offset", got.next,
				"of", log.high, "records", rows, "per_second", perSecond(rows, now.Sub(began)))
		}
		if r.Bytes() < state.RestoreBatchBytes && got.next < log.high {
			continue
		}
		if err := r.Commit(min(got.next, log.high) - 1); err != nil {
			return 0, fmt.Errorf("%w: restore %s/%d: %w", ErrRow, at.topic, at.partition, err)
		}
	}
	took := time.Since(began)
	e.stats.restored.Add(int64(rows))
	e.log.Info("restored", "topic", at.topic, "partition", at.partition, "from", from,
		"to", log.high, "records", rows, "took", took.Round(time.Millisecond),
		"per_second", perSecond(rows, took))
	return log.high, nil
}

func perSecond(n int, d time.Duration) int {
	return int(float64(n) / max(d.Seconds(), 1e-3))
}

// settled waits until everything below the high watermark is decided.
func (e *Engine) settled(ctx context.Context, at place) (ends, error) {
	log, err := e.admin.ends(ctx, at)
	if err != nil {
		return log, err
	}
	if !e.owns(at.topic) { // nothing of ours depends on what others have not decided
		log.high = log.stable
	}
	patience := 2*e.cfg.TransactionTimeout + hangingMargin
	began, wait := time.Now(), 2*time.Millisecond
	for high := log.high; log.stable < high; wait = min(2*wait, 100*time.Millisecond) {
		if waited := time.Since(began); waited > patience {
			return log, fmt.Errorf("%w: %s/%d: last stable offset %d is below %d since %v (hint: find "+
				"and abort it with kafka-transactions.sh find-hanging)", ErrHangingTransaction,
				at.topic, at.partition, log.stable, high, waited.Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return log, ctx.Err()
		case <-time.After(wait):
		}
		now, err := e.admin.ends(ctx, at)
		if err != nil {
			return log, err
		}
		log.start, log.stable = now.start, now.stable
	}
	return log, nil
}

// distrust sets a table aside that can't be a prefix of the log.
func (e *Engine) distrust(ctx context.Context, t *state.Table, at place, log ends) error {
	next := t.Offset() + 1
	var why string
	switch {
	case next == 0 || next == log.high:
		return nil // nothing there yet, or nothing behind it
	case next == log.high-1 && next >= log.start:
		return nil // the marker of our last transaction; the log's end is not compacted
	case next > log.high:
		why = fmt.Sprintf("table is at offset %d, the changelog ends at %d", next-1, log.high-1)
	case next < log.start:
		why = fmt.Sprintf("table is at offset %d, the changelog begins at %d", next-1, log.start)
	default:
		keep, err := e.admin.deleteRetention(ctx, at.topic)
		if err != nil {
			return err
		}
		if age := time.Since(t.CommittedAt()); age > keep {
			why = fmt.Sprintf("table is %v old, the changelog keeps tombstones for %v",
				age.Round(time.Second), keep)
		}
	}
	if why == "" {
		return nil
	}
	e.stats.rebuilt.Add(1)
	e.log.Warn("setting a table aside and rebuilding it", "topic", at.topic,
		"partition", at.partition, "why", why)
	if err := t.Reset(why); err != nil {
		return fmt.Errorf("%w: set %s/%d aside: %w", ErrRow, at.topic, at.partition, err)
	}
	return nil
}

// A fetcher reads one partition by raw fetch requests. That shows the position
// behind what no consumer delivers: commit markers, aborted records, batches
// that compaction emptied.
type fetcher struct {
	admin  *admin
	at     place
	next   int64 // offset to ask for
	most   int32 // bytes to ask for, restoreFetchBytes if 0
	leader int32
	topic  [16]byte
	known  bool
}

// A fetched is what one fetch has got, and the offset behind it.
type fetched struct {
	records []*kgo.Record
	next    int64
	err     error
}

// ahead fetches all that is below limit, the next while the caller is at work on the
// one before. An error is the last thing to be returned.
func (f *fetcher) ahead(ctx context.Context, limit int64) iter.Seq[fetched] {
	return func(yield func(fetched) bool) {
		ctx, cancel := context.WithCancel(ctx)
		left := make(chan struct{}) // not ctx.Done: that it has ended must be told
		all := make(chan fetched)
		go func() {
			defer close(all)
			for f.next < limit {
				records, err := f.fetch(ctx, limit)
				select {
				case all <- fetched{records, f.next, err}:
				case <-left:
					return
				}
				if err != nil {
					return
				}
			}
		}()
		defer func() { // the fetcher is the caller's again
			cancel()
			close(left)
			for range all {
				continue
			}
		}()
		for got := range all {
			if !yield(got) {
				return
			}
		}
	}
}

// fetch returns the next committed records below limit, perhaps none, and moves
// next behind them. The records are the caller's.
func (f *fetcher) fetch(ctx context.Context, limit int64) ([]*kgo.Record, error) {
	var out []*kgo.Record
	err := patiently(ctx, func() error {
		if !f.known {
			if err := f.find(ctx); err != nil {
				return err
			}
		}
		part, err := f.ask(ctx)
		if err != nil {
			f.known = false // the leader may have moved
			return err
		}
		out, err = f.parse(part, limit)
		return err
	})
	return out, err
}

func (f *fetcher) find(ctx context.Context) error {
	t, err := f.admin.topic(ctx, f.at.topic)
	if err != nil {
		return err
	}
	p, ok := t.Partitions[f.at.partition]
	if !ok {
		return kerr.UnknownTopicOrPartition
	}
	f.leader, f.topic, f.known = p.Leader, t.ID, true
	return p.Err
}

func (f *fetcher) ask(ctx context.Context) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	most := cmp.Or(f.most, restoreFetchBytes)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, most
	req.IsolationLevel, req.SessionEpoch = 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = f.at.topic, f.topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = f.at.partition, f.next, most
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got, err := f.admin.client.Broker(int(f.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := got.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) == 0 && resp.ThrottleMillis > 0 {
		return nil, kerr.ThrottlingQuotaExceeded // a quota: the client waits before it asks again
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("broker answered for another partition")
	}
	part := &resp.Topics[0].Partitions[0]
	return part, kerr.ErrorForCode(part.ErrorCode)
}

func (f *fetcher) parse(
	part *kmsg.FetchResponseTopicPartition, limit int64,
) ([]*kgo.Record, error) {
	o := kgo.ProcessFetchPartitionOpts{
		Offset: f.next, IsolationLevel: kgo.ReadCommitted(),
		Topic: f.at.topic, Partition: f.at.partition,
	}
	fetched, next := kgo.ProcessFetchPartition(o, part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		return nil, fetched.Err
	}
	switch {
	case next > f.next:
		f.next = next
	case len(part.RecordBatches) == 0 && part.LastStableOffset >= limit:
		f.next = limit // nothing is left below limit: compaction took it
	}
	records := fetched.Records
	for len(records) > 0 && records[len(records)-1].Offset >= limit {
		records = records[:len(records)-1]
	}
	return records, nil
}
