package ways

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// patience is how long a worker may take to get to the end of its inputs.
const patience = 2 * time.Minute

// A run is one way in one scenario.
type run struct {
	c        *Config
	way      Way
	scenario Scenario
	number   int
	names    topology.Names
	dir      string
	facts    []fact
	settled  map[int]int // by order, the index of the fact that covers it
	client   *kgo.Client
	adm      *kadm.Client
	read     *reader
	service  string // the order service's URL

	appended []time.Time // when each fact was handed to Kafka
	sent     atomic.Int64
}

// play starts the order service and the worker, sends the records, lets happen
// what belongs to the scenario, and counts.
func (r *run) play(ctx context.Context) (Result, error) {
	asked := newService(r.c.Latency)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Result{}, err
	}
	server := &http.Server{Handler: asked.handler(), ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-served
	}()
	r.service = "http://" + listener.Addr().String()
	l, err := r.start(ctx)
	if err != nil {
		return Result{}, err
	}
	result := Result{
		Way: r.way, Scenario: r.scenario, Records: len(r.facts), Expected: len(r.settled),
	}
	last, err := r.act(ctx, l, asked, &result)
	if last != nil {
		err = errors.Join(err, last.finish())
	}
	if err != nil {
		return Result{}, err
	}
	if err := r.readAll(ctx); err != nil {
		return Result{}, err
	}
	result.Lookups = asked.asked.Load()
	r.judge(&result)
	return result, nil
}

// act sends the records. It returns the worker that lives at the end, if one does.
func (r *run) act(
	ctx context.Context, l *life, asked *service, result *Result,
) (*life, error) {
	n := len(r.facts)
	if err := r.ready(ctx, l); err != nil {
		return l, err
	}
	switch r.scenario {
	case Plain:
		err := r.flood(ctx, l, asked, result)
		return l, err
	case Outage:
		if err := r.send(ctx, asked, 0, n/3, true); err != nil {
			return l, err
		}
		asked.down.Store(true)
		up := time.AfterFunc(r.c.Outage, func() { asked.down.Store(false) })
		defer up.Stop()
		if err := r.send(ctx, asked, n/3, n, true); err != nil {
			return l, err
		}
	case Late:
		if err := r.send(ctx, asked, 0, n, true); err != nil {
			return l, err
		}
	case Restart:
		if err := r.send(ctx, asked, 0, n/2, true); err != nil {
			return l, err
		}
		next, err := r.restart(ctx, l, asked)
		if err != nil {
			return next, err
		}
		l = next
	}
	return l, r.caughtUp(ctx, l)
}

// flood sends the first half at the pace, waits, and measures how long the second
// takes when it comes at once.
func (r *run) flood(ctx context.Context, l *life, asked *service, result *Result) error {
	n := len(r.facts)
	if err := r.send(ctx, asked, 0, n/2, true); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, l); err != nil {
		return err
	}
	began, worked := time.Now(), processorTime()
	if err := r.send(ctx, asked, n/2, n, false); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, l); err != nil {
		return err
	}
	records := float64(n - n/2)
	result.Rate = records / time.Since(began).Seconds()
	result.CPU = (processorTime() - worked).Seconds() / records * 1e6
	return nil
}

// restart kills the worker while records come, and starts another one on its disk.
func (r *run) restart(ctx context.Context, l *life, asked *service) (*life, error) {
	n := len(r.facts)
	sent := make(chan error, 1)
	go func() { sent <- r.send(ctx, asked, n/2, n, true) }()
	if err := l.kill(ctx); err != nil {
		return nil, errors.Join(err, <-sent)
	}
	pause := time.NewTimer(r.c.Away)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), <-sent)
	}
	next, err := r.start(ctx)
	return next, errors.Join(err, <-sent)
}

// send hands facts to the order service and then to Kafka, at the pace of the
// settings or as fast as it goes.
func (r *run) send(ctx context.Context, asked *service, from, to int, paced bool) error {
	failed := make(chan error, 1)
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}
	began := time.Now()
	for i := from; i < to && ctx.Err() == nil; i++ {
		if paced {
			due := time.Duration(i-from) * time.Second / time.Duration(r.c.Rate)
			if early := due - time.Since(began); early > 2*time.Millisecond {
				time.Sleep(early)
			}
		}
		f := r.facts[i]
		m := f.message()
		record := &kgo.Record{Topic: r.names.Payments, Key: []byte(key(f.order)), Timestamp: f.at}
		var err error
		switch m := m.(type) {
		case *tallyv1.OrderEvent:
			record.Topic = r.names.Orders
			record.Value, err = schemas.Orders.Marshal(m)
		case *tallyv1.PaymentEvent:
			record.Value, err = schemas.Payments.Marshal(m)
		}
		if err != nil {
			return err
		}
		if err := asked.take(m); err != nil {
			return err
		}
		r.appended[i] = time.Now()
		r.client.Produce(ctx, record, done)
		r.sent.Add(1)
	}
	if err := r.client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// ready waits until the worker has its partitions.
func (r *run) ready(ctx context.Context, l *life) error {
	return r.poll(ctx, l, func(context.Context) (bool, error) { return l.engine.Stats().Ready, nil })
}

// caughtUp waits until the group has committed all of its inputs.
func (r *run) caughtUp(ctx context.Context, l *life) error {
	return r.poll(ctx, l, func(ctx context.Context) (bool, error) {
		ends, err := r.adm.ListEndOffsets(ctx, r.names.Orders, r.names.Payments)
		if err = errors.Join(err, ends.Error()); err != nil {
			return false, err
		}
		at, err := r.adm.FetchOffsets(kadm.RequireStable(ctx), r.group())
		if err == nil {
			err = at.Error()
		}
		if kerr.IsRetriable(err) { // a commit is under way
			return false, nil
		} else if err != nil {
			return false, err
		}
		behind := false
		ends.Each(func(o kadm.ListedOffset) {
			done, _ := at.Lookup(o.Topic, o.Partition)
			behind = behind || max(done.At, 0) < o.Offset
		})
		return !behind, nil
	})
}

// poll asks again and again, as long as the worker lives.
func (r *run) poll(
	ctx context.Context, l *life, done func(context.Context) (bool, error),
) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case err := <-l.ended:
			l.ended <- err
			return fmt.Errorf("the worker has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the worker: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// readAll waits until all confirmations that are there have been read.
func (r *run) readAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ends, err := r.adm.ListEndOffsets(ctx, r.names.Confirmations)
	if err = errors.Join(err, ends.Error()); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !r.read.reached(ends) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("reading confirmations: %w", errors.Join(ctx.Err(), r.read.failure()))
		case <-tick.C:
		}
	}
	return r.read.failure()
}

// judge holds what was read against what had to come.
func (r *run) judge(result *Result) {
	totals := map[string]int64{}
	for _, f := range r.facts {
		if f.payment == 0 {
			totals[key(f.order)] = f.minor
		}
	}
	var waits []time.Duration
	expected := map[string]bool{}
	for order, i := range r.settled {
		id := key(order)
		expected[id] = true
		got := r.read.of(id)
		switch {
		case len(got) == 0:
			result.Lost++
			continue
		case len(got) > 1:
			result.Doubled++
		}
		result.Confirmed++
		if r.scenario != Plain || i < len(r.facts)/2 {
			waits = append(waits, max(0, got[0].at.Sub(r.appended[i])))
		}
	}
	for id, got := range r.read.all() {
		for _, c := range got {
			if !expected[id] || c.minor != totals[id] {
				result.Wrong++
			}
		}
	}
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		result.P50 = float64(waits[n/2].Microseconds()) / 1000
		result.P99 = float64(waits[n*99/100].Microseconds()) / 1000
	}
}
