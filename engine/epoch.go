package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// An epoch is the life of one Kafka client in the group: from the fencing of
// its predecessor to the first error. The callbacks of the client only note a
// new assignment and wake the loop; because polls block rebalances, none of
// them runs while a transaction is open.
type epoch struct {
	e      *Engine
	h      handler
	client *kgo.Client
	txn    *kgo.GroupTransactSession // nil with AtLeastOnce
	sever  context.CancelFunc        // ends what the client waits for

	open        atomic.Bool // a transaction takes outputs
	closing     atomic.Bool
	rebalancing atomic.Bool // a rebalance waits for the transaction to end
	began       time.Time   // of the open transaction
	buried      atomic.Int64
	large       int // bytes from which an output may be refused for its size
	effects     effects

	mu         sync.Mutex
	generation int32
	assigned   map[string][]int32
	interrupt  context.CancelFunc // ends the poll that is waiting
	session    *session
	fenced     error
}

// fetchWait is how long a broker may hold back the answer to a fetch that finds
// nothing. The client has one at a time per broker: partitions that are added
// meanwhile, as after a set-up, wait for it.
const fetchWait = 500 * time.Millisecond

// closePatience is how long a client may take to leave the group.
const closePatience = 2 * time.Second

// live runs one epoch. It returns nil when ctx is done, a restart if a new
// epoch may do better, and any other error to stop.
func (e *Engine) live(ctx context.Context, topics []string, h handler) (err error) {
	ep := &epoch{e: e, h: h}
	if err := ep.connect(ctx, topics); err != nil {
		return err
	}
	e.epoch.Store(ep)
	defer func() {
		err = ep.close(ctx, err)
		e.epoch.CompareAndSwap(ep, nil)
	}()
	if err := ep.fence(ctx); err != nil {
		return err
	}
	for {
		fetches := ep.poll(ctx, ep.nap(), e.cfg.MaxRecords)
		if ctx.Err() != nil {
			return nil // nothing of these was begun; they stay uncommitted
		}
		if err := ep.check(fetches); err != nil {
			return err
		}
		changed, err := ep.follow(ctx, fetches.NumRecords())
		if err != nil {
			return err
		}
		needed := fetches.NumRecords() > 0
		if !changed && !needed {
			if needed, err = ep.overdue(ctx); err != nil {
				return err
			}
		}
		if !changed && needed {
			if err := ep.transact(ctx, fetches); err != nil {
				return err
			}
		}
		ep.client.AllowRebalance()
	}
}

// connect makes the client.
func (ep *epoch) connect(ctx context.Context, topics []string) error {
	c := &ep.e.cfg
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ep.sever = cancel
	opts := append([]kgo.Opt{kgo.WithContext(own)}, ep.e.clientOptions()...)
	opts = append(opts,
		kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(append([]string{ep.e.retries}, topics...)...),
		kgo.Balancers(ep.e.balancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(ep.onAssigned),
		kgo.OnPartitionsRevoked(ep.onRevoked),
		kgo.OnPartitionsLost(ep.onRevoked),
		kgo.OnPartitionsCallbackBlocked(ep.onBlocked),
		kgo.AdjustFetchOffsetsFn(ep.trustOffsets),
		kgo.WithHooks(groupErrors{ep}),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(c.FetchBytes),
		kgo.FetchMaxBytes(int32(min(c.MaxBytes, 1<<30))),
		kgo.FetchMaxWait(fetchWait),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(min(c.SessionTimeout/6, 3*time.Second)),
		kgo.RebalanceTimeout(max(2*c.TransactionTimeout, c.SessionTimeout)),
		kgo.RecordPartitioner(ep.e.partitioner()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(4*c.MaxRecords+100_000),
		kgo.ProducerBatchMaxBytesFn(ep.batchLimits(ctx)),
	)
	if !c.DynamicMembership {
		opts = append(opts, kgo.InstanceID(c.Instance))
	}
	var err error
	if c.Guarantee == ExactlyOnce {
		opts = append(opts, kgo.TransactionalID(ep.e.TransactionalID()),
			kgo.TransactionTimeout(c.TransactionTimeout))
		if ep.txn, err = kgo.NewGroupTransactSession(opts...); err == nil {
			ep.client = ep.txn.Client()
		}
	} else {
		ep.client, err = kgo.NewClient(append(opts, kgo.DisableAutoCommit())...)
	}
	if err != nil {
		ep.sever()
		return fmt.Errorf("engine: make client: %w", err)
	}
	if f := c.Probe.Client; f != nil {
		f(ep.client)
	}
	return nil
}

// fence takes the transactional id over at once, which aborts what a
// predecessor of the same name left open. It also forgets that partitions were
// revoked, which would abort the next transaction without need.
func (ep *epoch) fence(ctx context.Context) error {
	if ep.txn == nil {
		return nil
	}
	if err := ep.txn.Begin(); err != nil {
		return ep.classify(fmt.Errorf("take over transactional id: %w", err))
	}
	_, err := ep.txn.End(ctx, kgo.TryAbort)
	if err != nil && ctx.Err() == nil {
		return ep.classify(fmt.Errorf("take over transactional id: %w", err))
	}
	return nil
}

// poll waits for at most so many records, for a change of the assignment, or for at
// most d if that is above 0.
func (ep *epoch) poll(ctx context.Context, d time.Duration, most int) kgo.Fetches {
	var stop context.CancelFunc
	if d > 0 {
		ctx, stop = context.WithTimeout(ctx, d)
	} else {
		ctx, stop = context.WithCancel(ctx)
	}
	defer stop()
	ep.mu.Lock()
	ep.interrupt = stop
	if s := ep.session; ep.fenced != nil || ep.behind() || s != nil && s.failed.Load() {
		stop()
	}
	ep.mu.Unlock()
	return ep.client.PollRecords(ctx, min(int(ep.e.inFlight.Load()), most))
}

// behind tells that the session is not of the latest assignment; mu is held.
func (ep *epoch) behind() bool {
	if ep.session == nil {
		return ep.assigned != nil
	}
	return ep.session.generation != ep.generation
}

func (ep *epoch) interruptPoll() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.interrupt != nil {
		ep.interrupt()
	}
}

// check returns what ends the epoch: an error of the fetches, of the group, or
// of the session.
func (ep *epoch) check(f kgo.Fetches) error {
	ep.mu.Lock()
	fenced, s := ep.fenced, ep.session
	ep.mu.Unlock()
	if fenced != nil {
		return fenced
	}
	if err := fetchError(f); err != nil {
		return err
	}
	if s != nil && s.failed.Load() {
		return s.err
	}
	return nil
}

// follow brings the session up to the latest assignment. It reports whether
// there was a newer one.
func (ep *epoch) follow(ctx context.Context, records int) (bool, error) {
	ep.mu.Lock()
	behind, generation, assigned, s := ep.behind(), ep.generation, ep.assigned, ep.session
	ep.mu.Unlock()
	if !behind {
		return false, nil
	}
	if records > 0 { // they would be committed without having been processed
		return true, again(errors.New("engine: got records between two assignments"))
	}
	ep.client.AllowRebalance()
	if s != nil {
		ep.setSession(nil)
		if err := s.stop(); err != nil {
			return true, fmt.Errorf("engine: end session: %w", err)
		}
	}
	if assigned == nil {
		return true, nil
	}
	if err := ep.e.grown(assigned); err != nil {
		return true, err
	}
	began := time.Now()
	s, err := ep.start(ctx, generation, assigned)
	if err != nil || s == nil {
		return true, err
	}
	if err := ep.fence(ctx); err != nil {
		return true, err
	}
	ep.e.stats.sessions.Add(1)
	ep.e.stats.ready.Store(true)
	ep.e.log.Info("assigned", "partitions", partitions(assigned),
		"ready_after", time.Since(began).Round(time.Millisecond))
	ep.client.ResumeFetchPartitions(ep.e.readable(assigned))
	return true, nil
}

func partitions(assigned map[string][]int32) []int32 {
	for _, topic := range slices.Sorted(maps.Keys(assigned)) {
		return slices.Sorted(slices.Values(assigned[topic]))
	}
	return nil
}

// start sets a session up, which restores its tables. It returns nil without an
// error if a newer assignment, or the end of ctx, broke that off.
func (ep *epoch) start(
	ctx context.Context, generation int32, assigned map[string][]int32,
) (*session, error) {
	s := newSession(ep, generation, ep.e.claimed(assigned), ep.h)
	ep.e.session.Store(s)
	ep.setSession(s)
	unhook := context.AfterFunc(ctx, s.cancel)
	err := ep.h.Setup(s)
	if err == nil && s.ctx.Err() == nil {
		err = ep.e.openLots(s)
	}
	if err == nil && s.ctx.Err() == nil {
		var committed map[place]committedOffset
		if committed, err = ep.e.offsetsKept(s.ctx, s.assigned); err == nil {
			s.clocks = ep.e.newClocks(s.assigned, committed)
			ep.e.mu.Lock()
			ep.e.clocks, s.tables = s.clocks, maps.Clone(ep.e.tables)
			ep.e.mu.Unlock()
		}
	}
	unhook()
	if err == nil && s.ctx.Err() == nil {
		s.run()
		return s, nil
	}
	broken := s.ctx.Err() != nil
	ep.setSession(nil)
	if e := s.stop(); err == nil {
		err = e
	}
	if broken {
		return nil, nil
	}
	if s.failed.Load() {
		err = s.err // as it was before Goka wrapped it
	}
	if stops(err) {
		return nil, err
	}
	return nil, again(fmt.Errorf("set up session: %w", err))
}

// stops tells whether err is one that a new client doesn't get over.
func stops(err error) bool {
	for _, s := range []error{
		ErrFenced, ErrMisrouted, ErrOffsetsLost, ErrInputTruncated, ErrHangingTransaction,
		ErrTopic, ErrRow, ErrRefused, ErrTimer, ErrStalled, kerr.TopicAuthorizationFailed,
		kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		kerr.InvalidTransactionTimeout,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// setSession makes s the session of the latest assignment, and cancels it if it
// is no longer that.
func (ep *epoch) setSession(s *session) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.session = s
	if s != nil && s.generation != ep.generation {
		s.cancel()
	}
}

func (ep *epoch) onAssigned(_ context.Context, client *kgo.Client, got map[string][]int32) {
	client.PauseFetchPartitions(got) // until their tables are restored
	ep.change(got)
}

func (ep *epoch) onRevoked(context.Context, *kgo.Client, map[string][]int32) { ep.change(nil) }

func (ep *epoch) onBlocked(context.Context, *kgo.Client) {
	ep.rebalancing.Store(true)
	ep.interruptPoll()
}

func (ep *epoch) change(assigned map[string][]int32) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.assigned = assigned
	ep.generation++
	if ep.session != nil {
		ep.session.ending.Store(true)
		ep.session.cancel() // no transaction is open: see the type's comment
	}
	if ep.interrupt != nil {
		ep.interrupt()
	}
}

// close ends the epoch. After an error the transaction, if one is open, is left
// to the successor, who aborts it by taking the id over; without a successor it
// is aborted here.
func (ep *epoch) close(ctx context.Context, err error) error {
	ep.open.Store(false)
	ep.closing.Store(true)
	ep.mu.Lock()
	s := ep.session
	ep.session = nil
	ep.mu.Unlock()
	if s != nil {
		if err != nil {
			s.fail(err)
		}
		if e := s.stop(); e != nil && err == nil {
			err = fmt.Errorf("engine: end session: %w", e)
		}
	}
	var r restart
	if err != nil && ep.txn != nil && !errors.As(err, &r) && !errors.Is(err, ErrFenced) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		_, e := ep.txn.End(bounded, kgo.TryAbort)
		cancel()
		ep.e.log.Debug("aborted before stopping", "error", e)
	}
	// A client that waits to be let into the group would finish that first.
	patience := time.AfterFunc(closePatience, ep.sever)
	ep.client.CloseAllowingRebalance()
	patience.Stop()
	ep.sever()
	return err
}

// forget drops the tables of an assignment that is over, with what was not committed.
func (e *Engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tables {
		t.Rollback()
	}
	for _, l := range e.lots {
		l.Rollback()
	}
	clear(e.tables)
	e.clocks = nil
	clear(e.lots)
	clear(e.unread)
	e.stats.lag.Store(0)
}

// groupErrors notes at once that another member took our place, before the
// client tries to take it back.
type groupErrors struct{ ep *epoch }

// OnGroupManageError is called by the client when it falls out of the group.
func (g groupErrors) OnGroupManageError(err error) {
	if !errors.Is(err, kerr.FencedInstanceID) {
		return
	}
	g.ep.mu.Lock()
	defer g.ep.mu.Unlock()
	g.ep.fenced = fmt.Errorf("%w: %w", ErrFenced, err)
	if g.ep.interrupt != nil {
		g.ep.interrupt()
	}
}
