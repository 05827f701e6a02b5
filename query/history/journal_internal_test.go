package history

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
	"tallystick/query/replay"
)

// TestSeldomInput looks for records of an input that is in hardly any page of a long
// journal. What lies between is read once, whatever is asked for, and not kept.
func TestSeldomInput(t *testing.T) {
	const (
		pages  = 20_000
		topic  = "journal"
		often  = "orders"
		seldom = "corrections"
	)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.ProducerBatchMaxBytes(2<<10)) // a request gives whole batches
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	at := map[int64]int64{7000: 0, 7001: 1, 15_000: 2} // of the corrections
	records := make([]*kgo.Record, 0, pages)
	for i := range int64(pages) {
		s := &journal.Segment{
			Clock: &journal.Clock{}, Topics: []string{often}, Runs: []int64{0, i, i},
		}
		if offset, ok := at[i]; ok {
			s.Topics, s.Runs = append(s.Topics, seldom), append(s.Runs, 1, offset, offset)
		}
		value, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: topic, Value: value})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	log, err := replay.Open(t.Context(), cl, time.Minute, topic)
	if err != nil {
		t.Fatal(err)
	}
	j := journalReader{log: log, topic: topic}
	find := func(input string, offset int64) *transaction {
		t.Helper()
		found, err := j.with(t.Context(), input, offset, 0)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for page, offset := range at {
		if got := find(seldom, offset); got == nil || got.start() != page {
			t.Errorf("correction %d: got %v, want page %d", offset, got, page)
		}
	}
	if got := find(seldom, 3); got != nil {
		t.Errorf("a correction that nobody has processed is at %d", got.start())
	}
	if given := log.Given(); given > 2*pages {
		t.Errorf("%d pages were read of %d", given, pages)
	}
	kept := 0
	for _, b := range j.blocks {
		kept += len(b.pages)
	}
	if kept > pages/2 {
		t.Errorf("%d pages are kept", kept)
	}
	for offset := int64(0); offset < pages; offset += 97 {
		if got := find(often, offset); got == nil || got.start() != offset {
			t.Errorf("order %d: got %v", offset, got)
		}
	}
	if len(j.blocks) > keptBlocks {
		t.Errorf("%d blocks are kept", len(j.blocks))
	}
}
