package topology_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology"
	"tallystick/topology/keyhash"
)

// hashed fills a topic with keys, each in the partition that place chooses.
func hashed(
	t *testing.T, c *kfake.Cluster, topic string, keys int, place func([]byte) int32,
) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for i := range keys {
		key := fmt.Appendf(nil, "order-%d", i)
		records = append(records, &kgo.Record{
			Topic: topic, Key: key, Partition: place(key), Value: []byte("x"),
		})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func by(hash keyhash.Hash, n int32) func([]byte) int32 {
	return func(key []byte) int32 { return hash.Partition(key, n) }
}

// checked is a cluster with the topics of the main job and a client to check it.
func checked(t *testing.T) (*kfake.Cluster, *kgo.Client, topology.Topology) {
	t.Helper()
	c, adm := cluster(t)
	m := topology.Default(topology.Options{Partitions: 6})
	apply(t, m, adm)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return c, client, m
}

// TestCheckKeys: a topic that was filled with another hash is named with it, and
// the others are not.
func TestCheckKeys(t *testing.T) {
	for i, hash := range keyhash.Known() {
		t.Run(hash.Name, func(t *testing.T) {
			c, client, m := checked(t)
			hashed(t, c, "orders", 900, func(key []byte) int32 { return keyhash.Partition(key, 6) })
			if err := topology.CheckKeys(t.Context(), client, m); err != nil {
				t.Fatalf("CheckKeys of right keys = %v", err)
			}
			hashed(t, c, "payments", 900, by(hash, 6))
			err := topology.CheckKeys(t.Context(), client, m)
			if i == 0 {
				if err != nil {
					t.Errorf("CheckKeys of Kafka's own hash = %v", err)
				}
				return
			}
			var problem *topology.Problem
			if !errors.As(err, &problem) || problem.Where != "topic payments" ||
				!strings.HasSuffix(problem.What, "as by "+hash.Name) || problem.Hint() == "" {
				t.Errorf("CheckKeys = %v, want payments by %s", err, hash.Name)
			}
			if strings.Contains(err.Error(), "orders:") {
				t.Errorf("orders are blamed too: %v", err)
			}
		})
	}
}

// TestCheckKeysByHand: keys in partitions that somebody chose fit no hash.
func TestCheckKeysByHand(t *testing.T) {
	c, client, m := checked(t)
	next := int32(0)
	hashed(t, c, "orders", 60, func([]byte) int32 { next++; return next % 6 })
	err := topology.CheckKeys(t.Context(), client, m)
	if err == nil || !strings.Contains(err.Error(), "by no hash that is known here") {
		t.Errorf("CheckKeys = %v", err)
	}
}

// TestCheckKeysLooksAtTheLast: what was written wrongly long ago and is behind
// enough right keys is not looked at; one partition holds every key.
func TestCheckKeysLooksAtTheLast(t *testing.T) {
	c, client, m := checked(t)
	hashed(t, c, "orders", 30, by(keyhash.Known()[2], 6))
	hashed(t, c, "orders", 3000, func(key []byte) int32 { return keyhash.Partition(key, 6) })
	if err := topology.CheckKeys(t.Context(), client, m); err != nil {
		t.Errorf("CheckKeys = %v", err)
	}
	other := topology.Default(topology.Options{App: "one", Prefix: "one.", Partitions: 1})
	apply(t, other, kadm.NewClient(client))
	hashed(t, c, "one.orders", 30, func([]byte) int32 { return 0 })
	if err := topology.CheckKeys(t.Context(), client, other); err != nil {
		t.Errorf("CheckKeys of one partition = %v", err)
	}
}

// TestCheckKeysStops: without topics there is nothing to say, and without a
// cluster or with a context that ends there is an error.
func TestCheckKeysStops(t *testing.T) {
	c, client, m := checked(t)
	away := topology.Default(topology.Options{Chain: true, Prefix: "away."})
	if err := topology.CheckKeys(t.Context(), client, away); err != nil {
		t.Errorf("CheckKeys without topics = %v", err)
	}
	hashed(t, c, "orders", 30, by(keyhash.Known()[0], 6))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := topology.CheckKeys(ctx, client, m); !errors.Is(err, context.Canceled) {
		t.Errorf("CheckKeys = %v, want canceled", err)
	}
}

// TestCheckKeysSkipsMarkers: a transaction ends with a record that has no key of
// ours, and an aborted one is looked at all the same.
func TestCheckKeysSkipsMarkers(t *testing.T) {
	c, client, m := checked(t)
	writer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("t"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	wrong := (keyhash.Partition([]byte("k"), 6) + 1) % 6
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: "orders", Key: []byte("k"), Value: []byte("v"), Partition: wrong}
		if end == kgo.TryCommit {
			r.Partition = keyhash.Partition(r.Key, 6)
		}
		if err := writer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := writer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		err := topology.CheckKeys(t.Context(), client, m)
		if got := err != nil; got != (end == kgo.TryAbort) {
			t.Errorf("CheckKeys = %v", err)
		}
	}
}
