package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/cmd/tally/app/generate"
	"tallystick/cmd/tally/app/source"
	"tallystick/engine"
	"tallystick/processors/notify/send"
	"tallystick/query/audit"
)

// demonstratedChain is what the demo of the chain prints as JSON.
type demonstratedChain struct {
	*audit.Report
	// Outcomes are the records by how they ended, over all services.
	Outcomes map[string]int64 `json:"outcomes"`
	// Ends are the orders by how they ended, Events the events by topic and kind.
	Ends     map[string]int64            `json:"ends"`
	Events   map[string]map[string]int64 `json:"events"`
	Received received                    `json:"received"`
	// Services are the input records that each processor has committed.
	Services map[string]int64     `json:"services"`
	Made     generate.ChainCounts `json:"made"`
	Seed     uint64               `json:"seed"`
	Loaded   int64                `json:"loaded"`
	Seconds  float64              `json:"seconds"`
	Rate     float64              `json:"records_per_second"`
}

// playChain runs all services on this machine: first what is known before the
// first order, then the orders and what happens to them, until each order has
// come to its end.
func (st *stage) playChain(ctx context.Context, cl *kgo.Client) (*audit.Report, error) {
	made, err := st.d.made.chain(st.m.Now(), true)
	if err != nil {
		return nil, err
	}
	outside, err := receive(ctx)
	if err != nil {
		return nil, err
	}
	defer outside.close()
	c := st.chainConfig(outside)
	if c.door, err = st.m.door(ctx, "127.0.0.1:0", reaching{}); err != nil {
		return nil, err
	}
	defer c.door.close()
	w, err := st.m.newWorker(ctx, c)
	if err != nil {
		return nil, err
	}
	defer w.close(ctx, c.log) //nolint:errcheck // its directory goes as well
	if err := st.m.addPage(w, c, cl); err != nil {
		return nil, err
	}
	if err := st.m.addAPI(w, c, cl); err != nil {
		return nil, err
	}
	server, err := st.m.listen(w, "demo", c.door, st.logger())
	if err != nil {
		return nil, err
	}
	defer server.close()
	st.point(server)
	follow := newFollower(c.wiring)
	listener, err := st.m.connect(ctx, st.s, follow.options()...)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	chain := &chainStage{stage: st, w: w, follow: follow, outside: outside, made: made, c: c}
	known, err := chain.begin(ctx, cl)
	if err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	g, working := errgroup.WithContext(working)
	g.Go(func() error { return w.run(working) })
	g.Go(func() error { return server.run(working) })
	g.Go(func() error { return follow.run(working, listener) })
	report, err := chain.act(working, cl, known)
	if err == nil && st.d.serve {
		st.hold(working, server)
	}
	stop()
	if failed := g.Wait(); failed != nil && ctx.Err() == nil {
		return nil, failed
	}
	return report, err
}

// chainConfig is the worker of all services, which sends to the receivers.
func (st *stage) chainConfig(outside *receivers) workerConfig {
	c := st.workerConfig()
	c.sending = sending{
		smtp: outside.smtp(), security: string(send.Plain), from: "shop@shop.example",
		webhook: outside.webhook(),
	}
	c.rules.notify = c.sending.rules(c.rules.notify)
	c.rules.notify.Backoff = 200 * time.Millisecond
	c.interval, c.idleAfter = 50*time.Millisecond, silence
	if st.d.made.orders < 400 { // too few for the tail to reach every partition
		c.idleAfter = 2 * time.Second
	}
	return c
}

// begin sends what is known before the first order.
func (st *chainStage) begin(ctx context.Context, cl *kgo.Client) (int64, error) {
	known := withoutErrors(slices.Values(st.made.Known()))
	sent, err := st.m.send(ctx, st.s, cl, formatProtobuf, known, noMore)
	made := st.made.Made()
	st.say("before the first order: %s, %s and their stock", count(made.Customers, "customer"),
		count(made.Products, "product"))
	return sent.Records, err
}

// noMore is for a progress line that has nothing to add.
func noMore() string { return "" }

// A chainStage is a demo of the chain on its way.
type chainStage struct {
	*stage
	w       *worker
	follow  *follower
	outside *receivers
	made    *generate.Chain
	c       workerConfig
}

// act loads, waits and audits.
func (st *chainStage) act(
	ctx context.Context, cl *kgo.Client, known int64,
) (*audit.Report, error) {
	if err := st.until(ctx, "the services get ready", st.w.ready); err != nil {
		return nil, err
	}
	began := st.m.Now()
	sent, err := st.feed(ctx, cl)
	if err != nil {
		return nil, err
	}
	st.say("sent %s: %s, %s about payments; %s", count(sent.Records, "record"),
		count(sent.Orders, "command"), thousands(sent.Payments),
		count(len(st.w.units), "processor")+" at work")
	if err := st.finish(ctx); err != nil {
		st.tell(st.m.Stderr)
		return nil, err
	}
	if err := st.settle(ctx, cl); err != nil {
		return nil, err
	}
	took := st.m.Now().Sub(began)
	st.say("every order has come to its end%s, %.1f s after the first record\n",
		st.open(), took.Seconds())
	if st.s.Output != outputJSON {
		st.tell(st.m.Stdout)
	}
	auditing := st.m.Now()
	report, err := st.m.auditCluster(ctx, st.s, cl, engine.ExactlyOnce, st.c.rules)
	if err != nil {
		return nil, err
	}
	st.w.page.Audited(report, st.m.Now().Sub(auditing))
	c := st.follow.counts()
	result := demonstratedChain{
		Report: report, Outcomes: outcomes(report, c), Ends: c.Ends,
		Events: c.Topics, Received: st.outside.seen(),
		Services: st.services(), Made: st.made.Made(), Seed: st.d.made.seed,
		Loaded: known + sent.Records, Seconds: took.Seconds(),
		Rate: float64(sent.Records) / max(took.Seconds(), 0.001),
	}
	return report, st.m.show(st.s, result, func(out io.Writer) error {
		return writeReport(out, report)
	})
}

// open tells of the orders that are meant to have no end yet.
func (st *chainStage) open() string {
	if n := st.made.Made().Pending; n > 0 {
		return " but " + thousands(n) + " that can still be paid"
	}
	return ""
}

// feed sends what happens, a few minutes of it at a time, and the tail behind it.
func (st *chainStage) feed(ctx context.Context, cl *kgo.Client) (loaded, error) {
	var sent loaded
	some := func(records []source.Record) error {
		one, err := st.m.send(ctx, st.s, cl, formatProtobuf, withoutErrors(slices.Values(records)),
			func() string { return "; " + st.line() })
		if err == nil {
			sent.plus(one)
			err = st.settle(ctx, cl)
		}
		return err
	}
	step := max(2*time.Minute, time.Duration(st.d.made.orders)*st.d.made.every/8)
	var records []source.Record
	for r := range st.made.Events() {
		if len(records) > 0 && r.At.Sub(records[0].At) > step {
			if err := some(records); err != nil {
				return sent, err
			}
			records = nil
		}
		records = append(records, r)
	}
	if err := some(records); err != nil {
		return sent, err
	}
	return sent, some(slices.Collect(st.made.Late()))
}

// outcomes are the orders and payments by how they ended.
func outcomes(r *audit.Report, c counts) map[string]int64 {
	return map[string]int64{
		"confirmed": c.Ends[endConfirmed], "expired": c.Ends[endExpired],
		"cancelled": c.Ends[endCancelled], "rejected": c.Ends[endRejected],
		"refused": c.Ends[endRefused], "pending": r.Pending, "duplicate": r.Duplicates,
		"late": r.Late, "unmatched": r.Unmatched, "mismatched": r.Mismatched, "excess": r.Excess,
		"reversed": r.Reversed, "invalid": c.Refused,
	}
}

// services are the records that each processor has done.
func (st *chainStage) services() map[string]int64 {
	done := map[string]int64{}
	for _, u := range st.w.units {
		done[u.name] = u.engine.Stats().Records
	}
	return done
}

// line is the live progress: how far each service is, and what became of orders.
func (st *chainStage) line() string {
	c := st.follow.counts()
	words := []string{fmt.Sprintf("%s of %s orders ended", thousands(c.ended()),
		thousands(st.d.made.orders))}
	for _, u := range st.w.units {
		stats := u.engine.Stats()
		word := u.name + " " + thousands(stats.Records)
		if stats.Lag > 0 {
			word += " (≤ " + thousands(stats.Lag) + " to go)" // with markers of transactions
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// settle waits until the services have said all that there is to say, before more
// time passes: what they say is younger than what is behind it.
func (st *chainStage) settle(ctx context.Context, cl *kgo.Client) error {
	const still = 300 * time.Millisecond
	shown := st.m.ticker(st.s, st.line)
	defer shown.stop()
	since, records := st.m.Now(), int64(-1)
	return st.until(ctx, "the services come to rest", func() bool {
		if n := st.w.records(); n != records {
			since, records = st.m.Now(), n
		}
		return st.m.Now().Sub(since) > still && st.w.caughtUp(ctx, cl)
	})
}

// silence is how long a demo may get nowhere.
const silence = 20 * time.Second

// finish waits until every order has ended that is meant to end, each confirmed
// one has been told of in both ways, and all that was said has been read.
func (st *chainStage) finish(ctx context.Context) error {
	shown := st.m.ticker(st.s, st.line)
	defer shown.stop()
	made := st.made.Made()
	open := int64(st.d.made.orders - made.Pending)
	return st.until(ctx, "the orders end", func() bool {
		c := st.follow.counts()
		return c.ended() >= open && c.Told >= int64(st.c.sending.channels())*c.Ends[endConfirmed]
	})
}

// until waits for something to come about, and gives up when nothing moves any
// more.
func (st *chainStage) until(ctx context.Context, what string, done func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	since, records := st.m.Now(), int64(-1)
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("demo: %w", context.Cause(ctx))
		case <-tick.C:
		}
		if n := st.w.records() + st.follow.counts().ended(); n != records {
			since, records = st.m.Now(), n
		} else if st.m.Now().Sub(since) > silence {
			return hinted("tell us about it, with the seed", "demo: nothing moves, but %s: %s", what,
				st.line())
		}
	}
	return nil
}

// tell writes what the services have said.
func (st *chainStage) tell(w io.Writer) {
	c := st.follow.counts()
	fmt.Fprintln(w, "what was said, by topic")
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, t := range st.follow.w.aboutOrders() {
		kinds := c.Topics[t.Name]
		name := t.Name
		for some := range slices.Chunk(slices.Sorted(maps.Keys(kinds)), 4) {
			words := make([]string, len(some))
			for i, kind := range some {
				words[i] = kind + " " + thousands(kinds[kind])
			}
			fmt.Fprintf(out, "  %s\t%s\n", name, strings.Join(words, ", "))
			name = ""
		}
	}
	out.Flush()
	words := []string{}
	for _, end := range []string{endConfirmed, endExpired, endCancelled, endRejected, endRefused} {
		words = append(words, thousands(c.Ends[end])+" "+end)
	}
	fmt.Fprintf(w, "orders: %s; %s in the dead letters\n", strings.Join(words, ", "),
		count(c.Refused, "record"))
	seen := st.outside.seen()
	fmt.Fprintf(w, "outside: %s and %s taken, %s refused for good, %s put off, %s twice\n\n",
		count(seen.Mails, "mail"), count(seen.Webhooks, "webhook"), count(seen.Bounced, "mail"),
		count(seen.Deferred, "attempt"), thousands(seen.Twice))
	fmt.Fprintln(w, "one of each kind (money in minor units)")
	for _, s := range st.follow.firsts() {
		fmt.Fprintf(out, "  %s\t%s\t%s\n", s.kind, s.key, cut(s.detail, 90))
	}
	out.Flush()
	fmt.Fprintln(w)
}

// cut shortens a text for people.
func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
