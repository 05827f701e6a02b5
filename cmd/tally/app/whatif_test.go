package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
	"tallystick/query/replay"
	"tallystick/query/whatif"
	"tallystick/schemas"
)

// supposed is what whatif says.
func supposed(t *testing.T, want int, args ...string) *whatif.Report {
	t.Helper()
	out, _ := tally(t, want, append([]string{"whatif", "-o", "json"}, args...)...)
	r := &whatif.Report{}
	if err := json.Unmarshal([]byte(out), r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// everything is what a cluster has: groups with their offsets, topics with their
// settings, and where their partitions end.
func everything(t *testing.T, cl *kgo.Client) string {
	t.Helper()
	adm := kadm.NewClient(cl)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	groups, err := adm.ListGroups(t.Context())
	must(err)
	topics, err := adm.ListTopics(t.Context())
	must(err)
	ends, err := adm.ListEndOffsets(t.Context(), topics.Names()...)
	must(err)
	configs, err := adm.DescribeTopicConfigs(t.Context(), topics.Names()...)
	must(err)
	transactions, err := adm.ListTransactions(t.Context(), nil, nil)
	must(err)
	slices.SortFunc(configs, func(a, b kadm.ResourceConfig) int { return cmp.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, g := range groups.Sorted() {
		offsets, err := adm.FetchOffsets(t.Context(), g.Group)
		must(err)
		fmt.Fprintln(&b, g.Group)
		for _, o := range offsets.Sorted() {
			fmt.Fprintln(&b, o.Topic, o.Partition, o.At, o.Metadata)
		}
	}
	for _, topic := range topics.Sorted() {
		fmt.Fprintln(&b, topic.Topic, topic.ID, len(topic.Partitions))
	}
	for _, o := range ends.Offsets().Sorted() {
		fmt.Fprintln(&b, o.Topic, o.Partition, o.At)
	}
	for _, c := range transactions.Sorted() {
		fmt.Fprintln(&b, c.TxnID, c.State)
	}
	for _, c := range configs {
		slices.SortFunc(c.Configs, func(a, b kadm.Config) int { return cmp.Compare(a.Key, b.Key) })
		for _, o := range c.Configs {
			fmt.Fprintln(&b, c.Name, o.Key, o.MaybeValue())
		}
	}
	return b.String()
}

// unhurried sends orders that name no due time, one a minute, which are paid after up
// to two hours, or not at all.
func unhurried(t *testing.T, cl *kgo.Client) {
	t.Helper()
	start := time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)
	var all []*kgo.Record
	for i := range 300 {
		at, id := start.Add(time.Duration(i)*time.Minute), fmt.Sprintf("slow-%03d", i)
		all = append(all, &kgo.Record{
			Topic: "orders", Key: []byte(id), Timestamp: at, Value: fmt.Appendf(nil,
				`{"orderPlaced":{"orderId":%q,"total":{"minor":"500","currency":"EUR"}}}`, id),
		})
		if i%6 == 5 {
			continue
		}
		all = append(all, &kgo.Record{
			Topic: "payments", Key: []byte(id), Value: fmt.Appendf(nil, `{"paymentReceived":{"paymentId":`+
				`"pay-%s","orderId":%q,"amount":{"minor":"500","currency":"EUR"}}}`, id, id),
			Timestamp: at.Add(time.Duration(i%6) * 25 * time.Minute),
		})
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	if err := cl.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestWhatif asks what would have been otherwise about topics that a worker has
// made: under its own settings nothing, and nothing in the cluster is another one
// afterwards.
func TestWhatif(t *testing.T) {
	at, dir := cluster(t), filepath.Join(t.TempDir(), "state")
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "3")
	tally(t, ExitOK, "load", at, "--generate", "--orders=300", "--seed=3", "--every=1m", "--plain",
		"--unpaid=0.2",
		"--split=0.2", "--excess=0.1", "--duplicates=0.1", "--orphans=0.05", "--mismatched=0.05",
		"--cancelled=0.1", "--reversed=0.1", "--invalid=0.05")
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	unhurried(t, cl)
	run := []string{"run", at, "--state-dir", dir, "--until-idle=300ms"}
	rules := []string{"--pay-within=2h", "--order-within=2h", "--keep-settled=3h", "--keep-digest=5h"}
	tally(t, ExitOK, append(run, rules...)...)
	before := everything(t, cl)
	r := supposed(t, ExitOK, append(rules, at, "--expect=none")...)
	if r.Whatif != whatif.Same || r.OrderCount != 0 || r.Kinds["OrderConfirmed"].Came == 0 ||
		r.Kinds["OrderExpired"].Came == 0 || r.Refused == 0 || r.Fired == 0 {
		t.Errorf("under the same rules: %+v", r)
	}
	once := supposed(t, ExitOK, append(rules, at, "--partition=0")...)
	twice := supposed(t, ExitOK, append(rules, at, "--partition=0,0")...)
	if once.Records == 0 || twice.Records != once.Records {
		t.Errorf("a partition has %d records, named twice %d", once.Records, twice.Records)
	}
	tally(t, ExitUsage, append(rules, "whatif", at, "--partition=0,3")...)
	shorter := append([]string{at}, rules...)
	shorter[1] = "--pay-within=1s"
	r = supposed(t, ExitOK, shorter...)
	if r.Whatif != whatif.Differences || r.OrderCount == 0 || r.Extra == 0 ||
		r.Kinds["OrderExpired"].Would <= r.Kinds["OrderExpired"].Came {
		t.Errorf("with less time to pay: %+v", r)
	}
	if got := everything(t, cl); got != before {
		t.Errorf("the cluster was changed:\n%s\nit was\n%s", got, before)
	}
	if got := r.Kinds["OrderConfirmed"].Missing; got != 200 {
		t.Errorf("with less time to pay %d are not confirmed, want 200", got)
	}
	out, said := tally(t, ExitError, append(shorter, "whatif", "--expect=none", "--limit=3")...)
	if !strings.Contains(out, "missing OrderConfirmed of ") || !strings.Contains(out, " more\n") ||
		!strings.Contains(said, "none was expected to") {
		t.Errorf("printed\n%s%s", out, said)
	}
	out, _ = tally(t, ExitOK, append(shorter, "whatif", "--limit=0")...)
	if strings.Contains(out, " more\n") ||
		strings.Count(out, "  order ") != int(r.OrderCount) {
		t.Errorf("not all of %d orders are spelled out:\n%s", r.OrderCount, out)
	}
	none := supposed(t, ExitOK, append(shorter, "--from=2200-01-01T00:00:00Z")...)
	all := supposed(t, ExitOK, append(shorter, "--to=2200-01-01T00:00:00Z")...)
	if none.OrderCount != 0 || all.OrderCount != r.OrderCount {
		t.Errorf("%d of %d orders before a time that has not come, %d after it",
			all.OrderCount, r.OrderCount, none.OrderCount)
	}
	sum := int64(0)
	for _, p := range []string{"0", "1", "2"} {
		sum += supposed(t, ExitOK, append(shorter, "--partition="+p)...).OrderCount
	}
	if sum != r.OrderCount {
		t.Errorf("%d orders differ, %d by partitions", r.OrderCount, sum)
	}
	earlier(t, cl, rules)
	doctored(t, cl, rules)
}

// earlier looks at a copy without the topics that an earlier version did not have.
func earlier(t *testing.T, cl *kgo.Client, rules []string) {
	t.Helper()
	at := cluster(t)
	copyTopics(t, cl, at, func(r *kgo.Record) []*kgo.Record { return []*kgo.Record{r} })
	to, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for _, topic := range []string{"corrections", "tally-views-retry", "tally-views-table"} {
		if _, err := kadm.NewClient(to).DeleteTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	if r := supposed(t, ExitOK, append([]string{at}, rules...)...); r.Whatif != whatif.Same {
		t.Errorf("of an earlier version: %+v", r)
	}
	tally(t, ExitOK, append([]string{"audit", at}, rules...)...)
}

// doctored doubles, removes and changes a confirmation: whatif and the audit name
// all three, by the order, by the place, and by what was done. It takes a row out of
// the table too, which its fingerprint tells.
func doctored(t *testing.T, cl *kgo.Client, rules []string) {
	t.Helper()
	var twice, gone, other string
	n := 0
	copied := cluster(t)
	copyTopics(t, cl, copied, func(r *kgo.Record) []*kgo.Record {
		if r.Topic == "tally-confirm-table" && string(r.Key) == "slow-299" {
			return nil
		}
		if r.Topic != "confirmations" {
			return []*kgo.Record{r}
		}
		switch n++; n {
		case 3:
			twice = string(r.Key)
			again := *r
			return []*kgo.Record{r, &again}
		case 5:
			gone = string(r.Key)
			return nil
		case 7:
			other = string(r.Key)
			m, err := schemas.Confirmations.Unmarshal(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			m.GetOrderConfirmed().CustomerId = "somebody"
			if r.Value, err = schemas.Confirmations.JSON(m); err != nil {
				t.Fatal(err)
			}
		}
		return []*kgo.Record{r}
	})
	forged := append([]string{copied}, rules...)
	r := supposed(t, ExitOK, forged...)
	got := map[string]string{}
	for _, o := range r.Orders {
		for _, c := range o.Changes {
			got[o.Order] += c.What
		}
	}
	want := map[string]string{
		twice: whatif.Repeated, gone: whatif.Extra, other: whatif.Changed,
	}
	if !maps.Equal(got, want) {
		t.Errorf("whatif names %v, want %v", got, want)
	}
	out, said := tally(t, ExitError, append(forged, "audit", "-o", "json")...)
	var states []string
	for _, f := range report(t, out).Fingerprints {
		states = append(states, f.State)
	}
	slices.Sort(states)
	if want := []string{audit.Differences, audit.OK, audit.OK}; !slices.Equal(states, want) {
		t.Errorf("fingerprints of the partitions: %q%s", states, said)
	}
	out, said = tally(t, ExitError, append(forged, "audit")...)
	for key, text := range map[string]string{
		twice: " at offset %s: it is there once too often", gone: ": it is missing",
		other: " at offset %s: it says",
	} {
		place := ""
		for _, o := range r.Orders {
			if _, offset, ok := strings.Cut(o.Changes[0].Place, "@"); ok && o.Order == key {
				place = offset
			}
		}
		text = strings.ReplaceAll(text, "%s", place)
		if line := fmt.Sprintf("difference: confirmation %q%s", key, text); !strings.Contains(out, line) {
			t.Errorf("the audit does not say %s:\n%s%s", line, out, said)
		}
	}
}

// copyTopics copies all topics to another cluster, record by record, which change
// may change on the way. What was not written in transactions keeps its offsets.
func copyTopics(
	t *testing.T, from *kgo.Client, at string, change func(*kgo.Record) []*kgo.Record,
) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	to, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(at, "--brokers=")),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(err)
	defer to.Close()
	topics, err := kadm.NewClient(from).ListTopics(t.Context())
	must(err)
	log, err := replay.Open(t.Context(), from, patience, topics.Names()...)
	must(err)
	for _, name := range topics.Names() {
		_, err := kadm.NewClient(to).CreateTopic(t.Context(), log.Partitions(name), 1, nil, name)
		must(err)
		for p := range log.Partitions(name) {
			var all []*kgo.Record
			for r, err := range log.Records(t.Context(), name, p) {
				must(err)
				all = append(all, change(&kgo.Record{
					Topic: name, Partition: p, Key: r.Key, Value: r.Value, Headers: r.Headers,
					Timestamp: r.Timestamp,
				})...)
			}
			must(to.ProduceSync(t.Context(), all...).FirstErr())
		}
	}
}
