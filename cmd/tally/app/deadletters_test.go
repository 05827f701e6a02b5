package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
)

// A clinic is a cluster with a worker that parks keys.
type clinic struct {
	t  *testing.T
	at string
	cl *kgo.Client
}

const placedOrder = `{"orderPlaced": {"orderId": "o1", "customerId": "ann", ` +
	`"total": {"minor": 4200, "currency": "EUR"}}}`

func paid(payment string, minor int) string {
	return fmt.Sprintf(`{"paymentReceived": {"paymentId": %q, "orderId": "o1", `+
		`"amount": {"minor": %d, "currency": "EUR"}}}`, payment, minor)
}

func newClinic(t *testing.T, park bool) *clinic {
	t.Helper()
	c := &clinic{t: t, at: cluster(t)}
	tally(t, ExitOK, "topics", "apply", c.at, "--partitions", "2")
	brokers := strings.Split(strings.TrimPrefix(c.at, "--brokers="), ",")
	var err error
	c.cl, err = kgo.NewClient(kgo.SeedBrokers(brokers...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.cl.Close)
	m := newCommand()
	s := &settings{App: "tally", Brokers: brokers, LogFormat: outputText}
	p := confirmProcessor()
	also := p.engine
	p.engine = func(w wiring, cfg *engine.Config) {
		if also != nil {
			also(w, cfg)
		}
		cfg.Park = park
	}
	w, err := m.newWorker(t.Context(), workerConfig{
		wiring: s.wiring(), brokers: brokers, processors: []processor{p}, dir: t.TempDir(),
		instance: "one", interval: 20 * time.Millisecond, cacheBytes: 8 << 20, rowBytes: 1 << 20,
		log: m.logger(s),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := w.close(context.WithoutCancel(ctx), m.logger(s)); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *clinic) send(topic string, values ...string) {
	c.t.Helper()
	for _, v := range values {
		r := &kgo.Record{Topic: topic, Key: []byte("o1"), Value: []byte(v)}
		if err := c.cl.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// ls returns the letters, once there are n of them.
func (c *clinic) ls(n int, args ...string) []shownLetter {
	c.t.Helper()
	var list []shownLetter
	waitFor(c.t, func() bool {
		out, _ := tally(c.t, ExitOK, append([]string{"dead-letters", "ls", c.at, "-o", "json"},
			args...)...)
		list = nil
		for line := range strings.Lines(out) {
			var l shownLetter
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				c.t.Fatal(err)
			}
			list = append(list, l)
		}
		return len(list) >= n
	})
	return list
}

func states(list []shownLetter) string {
	var all []string
	for _, l := range list {
		all = append(all, fmt.Sprintf("%s %s %d", l.Class, l.State, l.Attempt))
	}
	return strings.Join(all, ", ")
}

func (c *clinic) want(n int, want string) []shownLetter {
	c.t.Helper()
	list := c.ls(n)
	if got := states(list); got != want {
		c.t.Errorf("dead letters are %s; want %s", got, want)
	}
	return list
}

func (c *clinic) confirmations() int64 {
	c.t.Helper()
	ends, err := kadm.NewClient(c.cl).ListCommittedOffsets(c.t.Context(), "confirmations")
	if err != nil {
		c.t.Fatal(err)
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// TestDeadLetters is the day of an operator: an order with broken JSON, payments
// that wait behind it, a first retry in vain, a second with the value mended.
func TestDeadLetters(t *testing.T) {
	c := newClinic(t, true)
	c.send("orders", strings.TrimSuffix(placedOrder, "}"))
	c.ls(1)
	c.send("payments", paid("p1", 4000), paid("p2", 200))
	list := c.want(3, "malformed waiting 1, parked parked 0, parked parked 0")
	out, _ := tally(t, ExitOK, "dead-letters", "ls", c.at)
	for _, want := range []string{"PLACE", "waiting (2 behind)", list[0].Place, "orders/"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out, _ = tally(t, ExitOK, "dead-letters", "show", list[0].Place, c.at)
	if !strings.Contains(out, "00000000  7b 22 6f 72") {
		t.Errorf("no hex in\n%s", out)
	}
	out, _ = tally(t, ExitOK, "dead-letters", "show", list[1].Place, c.at)
	if !strings.Contains(out, `"payment_id": "p1"`) || !strings.Contains(out, "waits behind orders/") {
		t.Errorf("the payment is not in\n%s", out)
	}
	_, said := tally(t, ExitError, "dead-letters", "retry", list[1].Place, c.at)
	if !strings.Contains(said, "retry or drop "+list[0].Place+" first") {
		t.Errorf("out of turn: %s", said)
	}
	_, said = tally(t, ExitError, "dead-letters", "retry", "o1", c.at)
	if !strings.Contains(said, "it failed again: ") {
		t.Errorf("retry in vain: %s", said)
	}
	c.want(3, "malformed waiting 2, parked parked 0, parked parked 0")
	file := filepath.Join(t.TempDir(), "mended.json")
	if err := os.WriteFile(file, []byte(placedOrder), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = tally(t, ExitOK, "dead-letters", "retry", "o1", c.at, "--value", file,
		"--reason", "a brace was missing", "-o", "json")
	if strings.TrimSpace(out) != `{"group":"tally-confirm","key":"o1","asked":3,"done":3,"left":0}` {
		t.Errorf("retry printed %s", out)
	}
	list = c.want(3, "malformed retried 2, parked retried 0, parked retried 0")
	if list[0].Said != "a brace was missing" {
		t.Errorf("the operator's reason is %q", list[0].Said)
	}
	waitFor(t, func() bool { return c.confirmations() > 0 })
	_, said = tally(t, ExitError, "dead-letters", "retry", "o1", c.at)
	if !strings.Contains(said, "no dead letter waits under") {
		t.Errorf("nothing left: %s", said)
	}
	_, said = tally(t, ExitError, "dead-letters", "retry", list[0].Place, c.at, "--again")
	if !strings.Contains(said, "can't be done a second time") {
		t.Errorf("again: %s", said)
	}
	if _, said = tally(t, ExitOK, "dead-letters", "ls", c.at, "--limit=1"); !strings.Contains(said,
		"the latest 1 of 3") {
		t.Errorf("no hint: %s", said)
	}
}

func TestDropDeadLetters(t *testing.T) {
	c := newClinic(t, true)
	c.send("orders", "{")
	c.ls(1)
	c.send("orders", placedOrder, "[")
	c.send("payments", paid("p1", 4200))
	c.ls(4)
	out, _ := tally(t, ExitOK, "dead-letters", "drop", "o1", c.at, "--reason", "noise")
	if strings.TrimSpace(out) != "o1: 1 dead letter dropped, 3 letters still waiting" {
		t.Errorf("drop printed %s", out)
	}
	c.want(4, "malformed dropped 1, parked waiting 0, parked parked 0, parked parked 0")
	_, said := tally(t, ExitError, "dead-letters", "retry", "o1", c.at)
	if !strings.Contains(said, "it failed again") {
		t.Errorf("retry: %s", said)
	}
	out, _ = tally(t, ExitOK, "dead-letters", "drop", "o1", c.at, "--all", "--reason", "noise")
	if strings.TrimSpace(out) != "o1: 2 dead letters dropped" {
		t.Errorf("drop printed %s", out)
	}
	if got := c.confirmations(); got != 0 {
		t.Errorf("%d confirmations of a payment that was dropped", got)
	}
}

// TestRetryOfCutValue has a value that the dead letter does not hold whole.
func TestRetryOfCutValue(t *testing.T) {
	c := newClinic(t, false)
	c.send("orders", "{"+strings.Repeat(" ", 100<<10)+"x")
	l := c.want(1, "malformed waiting 1")[0]
	if l.Bytes <= l.Kept {
		t.Fatalf("the value is whole: %+v", l)
	}
	_, said := tally(t, ExitError, "dead-letters", "retry", l.Place, c.at)
	if !strings.Contains(said, "it failed again") {
		t.Errorf("retry: %s", said)
	}
	l = c.want(1, "malformed waiting 2")[0]
	if l.Bytes != 100<<10+2 {
		t.Errorf("the second attempt had %d bytes", l.Bytes)
	}
	file := filepath.Join(t.TempDir(), "mended.json")
	if err := os.WriteFile(file, []byte(placedOrder), 0o600); err != nil {
		t.Fatal(err)
	}
	mend := []string{"dead-letters", "retry", l.Place, c.at, "--value", file, "--reason", "cut"}
	tally(t, ExitOK, mend...)
	_, said = tally(t, ExitError, mend...)
	if !strings.Contains(said, "add --again") {
		t.Errorf("a second time: %s", said)
	}
	tally(t, ExitOK, append(mend, "--again")...)
}

// TestRetryWithoutWorker ends when nobody does it.
func TestRetryWithoutWorker(t *testing.T) {
	c := newClinic(t, true)
	c.send("orders", "{")
	c.ls(1)
	letter := engine.Retry{Letter: engine.Letter{
		Group: "nobody", Topic: "orders", Key: []byte("o1"), Class: "check",
	}}
	if _, err := kadm.NewClient(c.cl).CreateTopic(t.Context(), 2, 1, nil,
		engine.RetryTopic("nobody")); err != nil {
		t.Fatal(err)
	}
	r := letter.Record()
	r.Topic = "tally-dead-letters"
	for name, value := range map[string]string{
		"group": "nobody", "class": "check", "value-bytes": "0",
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "tally." + name, Value: []byte(value)})
	}
	if err := c.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, said := tally(t, ExitUsage, "dead-letters", "retry", "o1", c.at)
	if !strings.Contains(said, "several groups") {
		t.Errorf("two groups: %s", said)
	}
	_, said = tally(t, ExitError, "dead-letters", "retry", "o1", c.at, "--group=nobody",
		"--wait=300ms")
	if !strings.Contains(said, "no worker of nobody has done it") {
		t.Errorf("no worker: %s", said)
	}
}

// TestDropMissingLetter gets past a dead letter that retention has taken.
func TestDropMissingLetter(t *testing.T) {
	c := newClinic(t, true)
	c.send("orders", "{")
	first := c.ls(1)[0]
	c.send("orders", placedOrder)
	c.send("payments", paid("p1", 4200))
	second := c.ls(3)[1]
	var partition int32
	if _, err := fmt.Sscanf(first.Place, "tally-dead-letters/%d/", &partition); err != nil {
		t.Fatal(err)
	}
	gone := kadm.Offsets{}
	var offset int64
	if _, err := fmt.Sscanf(second.Place, fmt.Sprintf("tally-dead-letters/%d/%%d", partition),
		&offset); err != nil {
		t.Fatal(err)
	}
	gone.AddOffset("tally-dead-letters", partition, offset, -1)
	deleted, err := kadm.NewClient(c.cl).DeleteRecords(t.Context(), gone)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, said := tally(t, ExitError, "dead-letters", "retry", "o1", c.at)
	if !strings.Contains(said, "is no longer in the topic (hint: tally dead-letters drop o1") {
		t.Errorf("retry: %s", said)
	}
	out, _ := tally(t, ExitOK, "dead-letters", "drop", "o1", c.at, "--reason", "lost")
	if strings.TrimSpace(out) != "o1: 1 dead letter dropped, 2 letters still waiting" {
		t.Errorf("drop printed %s", out)
	}
	tally(t, ExitOK, "dead-letters", "retry", "o1", c.at)
	waitFor(t, func() bool { return c.confirmations() > 0 })
}
