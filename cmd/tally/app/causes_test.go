package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
	"tallystick/query/audit/causes"
	"tallystick/query/reading"
	"tallystick/topology"
)

// TestCauses has the whole chain at work, and then takes one event at a time out of
// a copy of its topics, or puts one in: each is found, and named.
func TestCauses(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "2")
	tally(t, ExitOK, "load", at, "--chain", "--generate", "--orders=80", "--seed=4", "--refused=0.1")
	tally(t, ExitOK, "run", at, "--chain", "--state-dir", filepath.Join(t.TempDir(), "state"),
		"--until-idle=2s", "--interval=20ms")
	out, _ := tally(t, ExitOK, "audit", at, "--chain", "-o", "json")
	r := report(t, out)
	if r.Causes == nil || r.Causes.Events == 0 || r.Causes.Checked == 0 || r.Causes.Pending != 0 {
		t.Fatalf("causes of the chain: %+v", r.Causes)
	}
	from, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	if got := besidesOne(t, from, "", nil); got.Wrong() != 0 || got.Pending != 0 {
		t.Fatalf("of a copy: %+v", got)
	}
	// What no group has taken in, by its offsets, is still to come.
	if got := besidesOne(t, from, nobody, nil); got.Wrong() != 0 || got.Pending == 0 {
		t.Errorf("before the first worker: %+v", got)
	}
	gone := func(*kgo.Record) []*kgo.Record { return nil }
	twice := func(r *kgo.Record) []*kgo.Record {
		again := *r
		return []*kgo.Record{r, &again}
	}
	for _, c := range []struct {
		kind   string
		change func(*kgo.Record) []*kgo.Record
		want   string
	}{
		{"OrderRefused", gone, "nothing follows from PlaceOrder: the answer of orders is missing"},
		{"OrderPlaced", gone, "nothing follows from PlaceOrder: the answer of orders is missing"},
		{"ReserveStock", gone, "StockLineReserved names a cause that is not there"},
		{"StockLineReserved", gone, "nothing follows from ReserveStock: the answer of the stock is"},
		{"StockReserved", gone, "all products have answered, and neither StockReserved nor"},
		{"FraudCleared", gone, "nothing follows from OrderPlaced: FraudCleared or FraudSuspected is"},
		{"FraudCleared", twice, "FraudCleared is said once more"},
		{"OrderValidated", gone, "all checks are there, and neither OrderValidated nor OrderRejected"},
		{"PaymentReceived", gone, "rekey has copied it 0 times"},
		{"PaymentReceived", twice, "rekey has copied it 2 times"},
	} {
		got := besidesOne(t, from, c.kind, c.change)
		found := false
		for _, f := range got.Findings {
			found = found || strings.Contains(f.Detail, c.want) && f.Order != ""
		}
		if !found || got.Wrong() == 0 || got.Wrong() > 16 {
			t.Errorf("one %s changed: %d wrong, %v; want %q", c.kind, got.Wrong(), got.Findings, c.want)
		}
	}
}

// nobody is no kind of events: no group has read any then.
const nobody = "nobody"

// besidesOne copies the chain's topics to another cluster, where all groups have
// read everything, changes the first event of a kind on the way, and looks for
// causes there.
func besidesOne(
	t *testing.T, from *kgo.Client, kind string, change func(*kgo.Record) []*kgo.Record,
) *causes.Report {
	t.Helper()
	o := topology.Options{Chain: true}
	names, m := o.Names(), topology.Default(o)
	decoders, n, at := reading.Decoders(names, true), 0, cluster(t)
	copyTopics(t, from, at, func(r *kgo.Record) []*kgo.Record {
		decode := decoders[r.Topic]
		if decode == nil || r.Topic == names.Payments {
			return []*kgo.Record{r}
		}
		if e, err := decode(r.Value); err == nil && e.Kind == kind {
			if n++; n == 1 {
				return change(r)
			}
		}
		return []*kgo.Record{r}
	})
	to, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if n == 0 && kind != "" && kind != nobody {
		t.Errorf("there is no %s", kind)
	}
	adm := kadm.NewClient(to)
	ends, err := adm.ListEndOffsets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Processors {
		read := kadm.Offsets{}
		if kind == nobody {
			break
		}
		for _, in := range p.Inputs {
			for p, end := range ends[in] {
				read.Add(kadm.Offset{Topic: in, Partition: p, At: end.Offset, LeaderEpoch: -1})
			}
		}
		if err := adm.CommitAllOffsets(t.Context(), p.Group, read); err != nil {
			t.Fatal(err)
		}
	}
	got, err := causes.Cluster(t.Context(), to, causes.Options{
		Map: m, Names: names, Chain: true, Patience: patience,
	})
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", kind, err))
	}
	return got
}

// TestFingerprintsText holds that the worst of all partitions is told, an empty one's
// too; only that nothing was recorded of an empty one is nothing to tell.
func TestFingerprintsText(t *testing.T) {
	for _, c := range []struct {
		of   audit.Fingerprint
		want string
	}{
		{audit.Fingerprint{State: audit.Unrecorded}, audit.OK},
		{audit.Fingerprint{State: audit.Unrecorded, Rows: 1}, audit.Unrecorded},
		{audit.Fingerprint{State: audit.Moving, Rows: 1}, audit.Moving},
		{audit.Fingerprint{State: audit.Differences}, audit.Differences},
	} {
		all := []audit.Fingerprint{{State: audit.OK, Rows: 3}, c.of}
		if got := fingerprintsText(all); got != c.want {
			t.Errorf("%+v: %q, want %q", c.of, got, c.want)
		}
	}
}

// TestMendedPayment: a payment that could not be read, and was mended and processed
// again, even twice, has come as often as rekey has copied it.
func TestMendedPayment(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "2")
	aWorker(t, at, "one", "--chain", "--interval=20ms")
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	bad := &kgo.Record{Topic: "payments", Key: []byte("p1"), Value: []byte(`{"paymentRec`)}
	if err := cl.ProduceSync(t.Context(), bad).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var letter shownLetter
	waitFor(t, func() bool {
		out, _ := tally(t, ExitOK, "dead-letters", "ls", at, "--chain", "-o", "json")
		return json.Unmarshal([]byte(out), &letter) == nil
	})
	mended := filepath.Join(t.TempDir(), "mended.json")
	write(t, mended, paid("p1", 90))
	retry := []string{"dead-letters", "retry", at, "--chain", "--value", mended, "--reason=a test"}
	tally(t, ExitOK, append(retry, "p1")...)
	tally(t, ExitOK, "audit", at, "--chain")
	tally(t, ExitOK, append(retry, letter.Place, "--again")...)
	tally(t, ExitOK, "audit", at, "--chain")
}
