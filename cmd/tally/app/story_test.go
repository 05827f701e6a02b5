package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app/generate"
	"tallystick/query/audit"
	"tallystick/state"
)

// report reads what audit or demo printed as JSON: one object and nothing else.
func report(t *testing.T, out string) *audit.Report {
	t.Helper()
	r := &audit.Report{}
	in := json.NewDecoder(strings.NewReader(out))
	if err := in.Decode(r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if _, err := in.Token(); err != io.EOF {
		t.Errorf("there is more than one object:\n%s", out)
	}
	return r
}

// holds compares a report with what the generator meant.
func holds(t *testing.T, r *audit.Report, made generate.Counts) {
	t.Helper()
	got := fmt.Sprint(r.Audit, r.Records, r.Orders, r.Payments, r.Duplicates, r.Invalid)
	want := fmt.Sprint(audit.OK, made.Records, made.Orders, made.Payments, made.Duplicates,
		made.Invalid)
	if got != want {
		t.Errorf("got %s, want %s: %v", got, want, r.Differences)
	}
	for currency, minor := range made.Minor {
		if m := r.Money[currency]; m == nil || m.Received != minor {
			t.Errorf("%s: got %+v, want %d", currency, m, minor)
		}
	}
}

func made(t *testing.T, o generate.Options) generate.Counts {
	t.Helper()
	g, err := generate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for range g.Records() {
	}
	return g.Made()
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out, _ := tally(t, ExitOK, "demo", "--only", "confirm", "-o", "json", "--orders", "2000",
		"--seed", "5")
	r := report(t, out)
	counts := made(t, generate.Options{Orders: 2000, Seed: 5, Mix: generate.DefaultMix()})
	holds(t, r, counts)
	if r.Confirmed != int64(counts.Covered) || r.Pending != int64(counts.Orders-counts.Covered) ||
		r.Excess < int64(counts.Excess) {
		t.Errorf("got %+v, want %+v", r, counts)
	}
	out, _ = tally(t, ExitOK, "demo", "--only=confirm", "--orders", "100")
	for _, want := range []string{"a Kafka inside this process", "  confirmed   ", "audit: ok"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
}

// TestDemoServes points other verbs at a demo that stays up.
func TestDemoServes(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c := newCommand()
	serving := make(chan Serving, 1)
	c.Ready = func(s Serving) { serving <- s }
	ended := make(chan int, 1)
	args := []string{"demo", "--only=confirm", "--orders", "50", "--serve"}
	go func() { ended <- c.Run(ctx, args) }()
	s := await(t, serving, ended, c)
	at := []string{"--brokers", s.Brokers[0]}
	out, _ := tally(t, ExitOK, append(at, "audit", "-o", "json")...)
	if r := report(t, out); r.Audit != audit.OK || r.Orders != 50 {
		t.Errorf("audit: %+v", r)
	}
	// Of now, or the time of day would drop the rows within seconds.
	out, _ = tally(t, ExitOK, append(at, "table", "get", "o1-000001", "--changelog", "-o", "json")...)
	var of struct {
		Row struct {
			Order struct {
				At int64 `json:"at_us,string"`
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &of); err != nil ||
		time.Since(time.UnixMicro(of.Row.Order.At)) > time.Hour {
		t.Errorf("the first order is of %v, %v: %s", time.UnixMicro(of.Row.Order.At), err, out)
	}
	out, _ = tally(t, ExitOK, append(at, "table", "scan", "--worker", s.HTTP, "--limit", "3")...)
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, `"source":"worker `) {
		t.Errorf("scan printed\n%s", out)
	}
	stop()
	if code := <-ended; code != ExitOK {
		t.Errorf("exit %d\n%s", code, &c.err)
	}
}

// anHourAgo is the flag for orders whose rows stay: by the time of day they are not
// settled for long.
func anHourAgo() string {
	return "--start=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
}

// await waits until a verb serves, and fails the test if it ends instead.
func await(t *testing.T, serving <-chan Serving, ended <-chan int, c *command) Serving {
	t.Helper()
	select {
	case s := <-serving:
		return s
	case code := <-ended:
		t.Fatalf("exit %d before it served\n%s\n%s", code, &c.out, &c.err)
	case <-time.After(time.Minute):
		t.Fatal("it does not serve")
	}
	return Serving{}
}

// cluster starts an empty broker and returns the flag that names it.
func cluster(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return "--brokers=" + strings.Join(c.ListenAddrs(), ",")
}

// TestStory is what a team does with a cluster of its own: create the topics,
// load, run, audit, verify, lose a disk, run again.
func TestStory(t *testing.T) {
	at, dir := cluster(t), filepath.Join(t.TempDir(), "state")
	_, said := tally(t, ExitError, "run", at, "--state-dir", dir)
	if !strings.Contains(said, "tally topics apply creates them") {
		t.Errorf("missing topics: %s", said)
	}
	tally(t, ExitError, "topics", "check", at)
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "3")
	tally(t, ExitOK, "topics", "check", at)
	mix := generate.Mix{
		Unpaid: 0.1, Split: 0.2, Excess: 0.1, Duplicates: 0.1, Orphans: 0.05, Mismatched: 0.05,
		Cancelled: 0.1, Reversed: 0.1, Invalid: 0.05,
	}
	tally(t, ExitOK, "load", at, "--generate", "--orders=400", "--seed=2", "--plain", "--unpaid=0.1",
		"--split=0.2", "--excess=0.1", "--duplicates=0.1", "--orphans=0.05", "--mismatched=0.05",
		"--cancelled=0.1", "--reversed=0.1", "--invalid=0.05", anHourAgo())
	out, _ := tally(t, ExitOK, "audit", at, "-o", "json")
	if r := report(t, out); r.Unprocessed == 0 || r.Records != 0 {
		t.Errorf("before the first worker: %+v", r)
	}
	_, said = tally(t, ExitOK, "run", at, "--state-dir", dir, "--until-idle=300ms", "--park=false")
	if !strings.Contains(said, "worker ends") {
		t.Errorf("log: %s", said)
	}
	out, _ = tally(t, ExitOK, "audit", at, "-o", "json")
	r := report(t, out)
	holds(t, r, made(t, generate.Options{Orders: 400, Seed: 2, Mix: mix}))
	if r.Compared == 0 {
		t.Errorf("nothing was compared: %+v", r)
	}
	out, _ = tally(t, ExitOK, "table", "verify", at, "--state-dir", dir, "--all")
	if !strings.Contains(out, "disk "+dir) || !strings.Contains(out, "ok: ") {
		t.Errorf("verify printed\n%s", out)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	besideWorker(t, at, dir)
	tampered(t, at, dir)
}

// besideWorker runs a worker with an empty disk and looks at it from outside.
func besideWorker(t *testing.T, at, dir string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := newCommand()
	serving := make(chan Serving, 1)
	c.Ready = func(s Serving) { serving <- s }
	ended := make(chan int, 1)
	go func() { ended <- c.Run(ctx, []string{"run", at, "--state-dir", dir, "--park=false"}) }()
	s := await(t, serving, ended, c)
	waitFor(t, func() bool { return fetch(t, s.HTTP, "/readyz") == "200 ok" })
	out, _ := tally(t, ExitOK, "table", "verify", at, "--state-dir", dir, "--all")
	if !strings.Contains(out, "worker "+s.HTTP) {
		t.Errorf("verify printed\n%s", out)
	}
	ready := `tally_ready{group="tally-confirm"`
	if got := fetch(t, s.HTTP, "/metrics"); !strings.Contains(got, ready) {
		t.Errorf("metrics: %s", got)
	}
	for _, path := range []string{"/tables/tally-confirm/9/rows", "/tables/tally-confirm/9"} {
		if got := fetch(t, s.HTTP, path); !strings.HasPrefix(got, "404") {
			t.Errorf("%s of a partition that is not there: %s", path, got)
		}
	}
	one := fetch(t, s.HTTP, "/tables/tally-confirm/0")
	if all := fetch(t, s.HTTP, "/tables"); !strings.Contains(all,
		strings.Replace(strings.TrimPrefix(one, "200 "), "{", `{"partition":0,`, 1)) ||
		!strings.Contains(one, `"fingerprint":"`) {
		t.Errorf("a partition is %s, in all of them\n%s", one, all)
	}
	out, _ = tally(t, ExitOK, "table", "get", "o2-000001", at, "--state-dir", dir)
	if !strings.Contains(out, `"key": "o2-000001"`) || !strings.Contains(out, `"source": "worker `) {
		t.Errorf("get printed\n%s", out)
	}
	row, _ := tally(t, ExitOK, "table", "get", "o2-000001", at, "--changelog", "-o", "json")
	if !strings.Contains(row, `"source":"changelog `) {
		t.Errorf("get printed\n%s", row)
	}
	tally(t, ExitError, "table", "get", "nobody", at, "--state-dir", dir)
	_, said := tally(t, ExitError, "run", at, "--state-dir", dir, "--instance", "second")
	if !strings.Contains(said, "is in use by another worker") ||
		!strings.Contains(said, "--state-dir)") {
		t.Errorf("second worker: %s", said)
	}
	stop()
	if code := <-ended; code != ExitOK {
		t.Errorf("exit %d\n%s", code, &c.err)
	}
	if _, err := os.Stat(filepath.Join(dir, workerFile)); !os.IsNotExist(err) {
		t.Errorf("the note of the address is still there: %v", err)
	}
}

// fetch asks a worker, and returns the status and the body.
func fetch(t *testing.T, address, path string) string {
	t.Helper()
	in, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Body.Close()
	body, err := io.ReadAll(in.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(in.StatusCode, " ", strings.TrimSpace(string(body)))
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come about")
		}
	}
}

// tampered changes a row on disk and a record in a topic, behind the back of
// everybody, and holds that both are found.
func tampered(t *testing.T, at, dir string) {
	t.Helper()
	db, err := state.Open(state.Options{Dir: filepath.Join(dir, rowsDir), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := db.Tables()
	if err != nil || len(ids) == 0 {
		t.Fatalf("tables: %v, %v", ids, err)
	}
	i := slices.IndexFunc(ids, func(id state.Identity) bool {
		return id.Topic == "tally-confirm-table"
	})
	table, err := db.Table(ids[i])
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range table.Committed().All("") {
		if err == nil {
			err = table.Set(row.Key, append(row.Value, 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if err := db.Commit(state.Commit{Table: table, Offset: table.Offset()}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	out, said := tally(t, ExitError, "table", "verify", at, "--state-dir", dir)
	if !strings.Contains(out, "has other bytes than the changelog") ||
		!strings.Contains(out, "partition "+fmt.Sprint(ids[i].Partition)+": the fingerprint is ") ||
		!strings.Contains(out, "which the journal tally-confirm-journal does not have") ||
		!strings.Contains(said, "differs from its changelog") {
		t.Errorf("verify printed\n%s%s", out, said)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	bogus := &kgo.Record{Topic: "confirmations", Key: []byte("o2-000001"), Value: []byte("{}")}
	if err := cl.ProduceSync(t.Context(), bogus).FirstErr(); err != nil {
		t.Fatal(err)
	}
	out, said = tally(t, ExitError, "audit", at)
	if !strings.Contains(out, `difference: confirmation "o2-000001"`) ||
		!strings.Contains(said, "the audit found") {
		t.Errorf("audit printed\n%s%s", out, said)
	}
}

// TestDamagedTable holds that a damaged table is named, and that the next worker
// sets it aside.
func TestDamagedTable(t *testing.T) {
	at, dir := cluster(t), filepath.Join(t.TempDir(), "state")
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "1")
	if err := os.MkdirAll(filepath.Join(dir, rowsDir), 0o750); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(dir, rowsDir, "000001.sst") // and nothing that names it
	if err := os.WriteFile(lost, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said := tally(t, ExitError, "table", "ls", at, "--state-dir", dir)
	if !strings.Contains(said, "(hint: start the worker") {
		t.Errorf("a damaged table: %s", said)
	}
	_, said = tally(t, ExitOK, "run", at, "--state-dir", dir, "--until-idle=300ms")
	if !strings.Contains(said, "aside="+filepath.Join(dir, rowsDir+"-aside")) {
		t.Errorf("log: %s", said)
	}
	if _, said := tally(t, ExitOK, "table", "ls", at, "--state-dir", dir); said != "" {
		t.Errorf("a table of a worker that has stopped: %s", said)
	}
	t.Chdir(t.TempDir())
	_, said = tally(t, ExitOK, "table", "ls", at)
	if !strings.Contains(said, "--worker or --state-dir") {
		t.Errorf("no worker at all: %q", said)
	}
}

// TestLoadStops holds that a bad line ends a load with its place, and that
// nothing behind it is sent.
func TestLoadStops(t *testing.T) {
	at, file := cluster(t), filepath.Join(t.TempDir(), "events.jsonl")
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "1")
	good := `{"orderPlaced":{"orderId":"a","total":{"minor":5,"currency":"EUR"}}}` + "\n"
	for _, c := range []struct{ line, want string }{
		{
			`{"orderPlaced":{"orderId":"b","total":{"minor":5,"currency":"EU"}}}`,
			file + `:2:1: schemas: order event: order_placed.total.currency: `,
		},
		{`{"orderPlaced":{"orderId":"b",}}`, file + ":2:31: "},
	} {
		if err := os.WriteFile(file, []byte(good+c.line+"\n"+good), 0o600); err != nil {
			t.Fatal(err)
		}
		_, said := tally(t, ExitError, "load", at, file)
		if !strings.Contains(said, c.want) {
			t.Errorf("got %swant %s", said, c.want)
		}
	}
	out, _ := tally(t, ExitOK, "audit", at, "-o", "json")
	if r := report(t, out); r.Unprocessed != 2 {
		t.Errorf("sent %d records, want 2", r.Unprocessed)
	}
}

// TestJaffleShop loads the data set that docs/jaffle_shop.json is for, from the
// directory that TALLY_JAFFLE names.
func TestJaffleShop(t *testing.T) {
	data := os.Getenv("TALLY_JAFFLE")
	if data == "" {
		t.Skip("TALLY_JAFFLE names no directory with the data set")
	}
	files, err := filepath.Glob(filepath.Join(data, "*.csv"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at)
	load := []string{"load", at, "--mapping", "../../../docs/jaffle_shop.json"}
	tally(t, ExitOK, append(load, files...)...)
	tally(t, ExitOK, "run", at, "--state-dir", t.TempDir(), "--until-idle=300ms")
	out, _ := tally(t, ExitOK, "audit", at, "-o", "json")
	r := report(t, out)
	money := r.Money["USD"]
	if r.Orders != 99 || r.Payments != 113 || r.Confirmed != 99 || r.Invalid != 0 ||
		money.Received != 167_200 || money.Confirmed+money.Excess != 167_200 {
		t.Errorf("got %s", out)
	}
}

// TestAtLeastOnce runs without transactions, on values in JSON, and stops in
// between.
func TestAtLeastOnce(t *testing.T) {
	at, dir := cluster(t), t.TempDir()
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "2")
	for _, seed := range []string{"1", "2"} {
		tally(t, ExitOK, "load", at, "--generate", "--orders=100", "--seed", seed, "--format=json")
		tally(t, ExitOK, "run", at, "--state-dir", dir, "--until-idle=200ms", "--leave",
			"--guarantee=at-least-once", "--http=off")
		out, _ := tally(t, ExitOK, "audit", at, "-o", "json", "--guarantee=at-least-once")
		if r := report(t, out); r.Audit != audit.OK || r.Confirmed == 0 {
			t.Errorf("after seed %s: %s", seed, out)
		}
	}
}
