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

	"tallystick/engine"
	"tallystick/state"
)

// Something is to be done in the world outside, once per key and never for
// a transaction that was aborted. The row says that it was asked for; what is
// asked for is an output that Kafka never sees.
func ExampleConfig_effects() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(2, "words", "greet-dead-letters"))
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
	todo := make(chan engine.Effect, 10) // a real program bounds how long it waits for room
	e, err := engine.New(engine.Config{
		Brokers: cluster.ListenAddrs(), Group: "greet", Instance: "worker-0", State: db,
		Interval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Effects: map[string]func(context.Context, []engine.Effect){
			"greet-effects": func(_ context.Context, list []engine.Effect) {
				for _, one := range list {
					todo <- one
				}
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	graph := goka.DefineGroup("greet",
		goka.Input("words", engine.Total(new(codec.String)), e.Wrap(greet)),
		goka.Output("greet-effects", new(codec.String)),
		goka.Persist(new(codec.String)))

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, graph) }()
	for _, word := range []string{"tally", "tally", "stick"} {
		say(cluster, word)
	}
	done := map[string]int{}
	for len(done) < 2 {
		one := <-todo
		done[one.Key+": "+string(one.Value)]++
	}
	stop()
	fmt.Println("stopped:", <-ended)
	fmt.Println(done)
	// Output:
	// stopped: <nil>
	// map[stick: hello:1 tally: hello:1]
}

// greet asks for a greeting if the row doesn't say that it was asked for.
func greet(ctx goka.Context, _ any) {
	if ctx.Value() == nil {
		ctx.SetValue("asked")
		ctx.Emit("greet-effects", ctx.Key(), "hello")
	}
}
