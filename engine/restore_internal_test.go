package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFetchThatIsBrokenOff: who is told to stop must not take what it has for all.
func TestFetchThatIsBrokenOff(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &kgo.Record{Topic: "log", Key: []byte("k"), Value: []byte("v")}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		f := fetcher{admin: &admin{client: client, kadm: kadm.NewClient(client)}, at: place{"log", 0}}
		records, end := 0, error(nil)
		for got := range f.ahead(ctx, 2) {
			records, end = records+len(got.records), got.err
			cancel()
		}
		cancel()
		if records != 1 || !errors.Is(end, context.Canceled) {
			t.Fatalf("got %d records, then %v, want 1, then %v", records, end, context.Canceled)
		}
	}
}
