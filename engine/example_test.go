package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/state"
)

// A plain Goka processor counts words. What makes it exactly once is the engine
// that runs it, and Wrap around its callback.
func ExampleEngine_Run() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(2, "words", "totals", "count-dead-letters"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	db, err := state.Open(state.Options{ // a real program names a directory and leaves FS out
		Dir: "tables", FS: vfs.NewMem(), Now: time.Now,
		CacheBytes: 8 << 20, RowCacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	e, err := engine.New(engine.Config{
		Brokers: cluster.ListenAddrs(), Group: "count", Instance: "worker-0", State: db,
		Interval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	graph := goka.DefineGroup("count",
		goka.Input("words", engine.Total(new(codec.String)), e.Wrap(count)),
		goka.Output("totals", new(codec.Int64)),
		goka.Persist(new(codec.Int64)))

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, graph) }()
	for _, word := range []string{"tally", "stick", "tally"} {
		say(cluster, word)
	}
	fmt.Println(lastTotal(cluster, "tally", "2"))
	stop()
	fmt.Println("stopped:", <-ended)
	// Output:
	// tally=2
	// stopped: <nil>
}

// count is the processor's callback: Goka, and nothing of ours.
func count(ctx goka.Context, _ any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
	ctx.Emit("totals", ctx.Key(), n+1)
}

func say(cluster *kfake.Cluster, word string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "words", Key: []byte(word), Value: []byte("said")}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		panic(err)
	}
}

// lastTotal reads what is committed until key has the total that is waited for.
func lastTotal(cluster *kfake.Cluster, key, total string) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.ConsumeTopics("totals"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testWithin)
	defer cancel()
	for ctx.Err() == nil {
		for _, r := range client.PollFetches(ctx).Records() {
			if string(r.Key) == key && string(r.Value) == total {
				return key + "=" + total
			}
		}
	}
	return "no total in time"
}
