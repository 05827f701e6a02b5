package engine_test

import (
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRestoreGoesOn stops a worker in the middle of a restore of two batches. The next
// one goes on behind the first, and has what the log has.
func TestRestoreGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 40)
	w.joined(40)
	wk.end()
	const rows, size, first, stop = 48, 900_000, 28, 36 // first is what makes a batch full
	producer := w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ends, err := w.admin.ListEndOffsets(t.Context(), testTable)
	if err != nil {
		t.Fatal(err)
	}
	begin, _ := ends.Lookup(testTable, 0)
	for n := range rows {
		r := &kgo.Record{
			Topic: testTable, Key: []byte(strconv.Itoa(n)), Value: []byte(noise(size)),
		}
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var far, free atomic.Bool
	w.cluster.ControlKey(keyFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if free.Load() || req.SessionEpoch != -1 || // only the restore asks outside of sessions
			req.Topics[0].Partitions[0].FetchOffset < begin.Offset+stop {
			return nil, nil, false
		}
		far.Store(true)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis = 5
		return resp, nil, true
	})
	wk = w.start(fs, nil)
	w.eventually("half of the log", far.Load)
	if err := wk.wait(true); err != nil || wk.e.Stats().Restored != 0 {
		t.Errorf("ended with %v and %d records restored", err, wk.e.Stats().Restored)
	}
	free.Store(true)
	wk = w.start(fs, nil)
	w.eventually("restored", func() bool { return wk.e.Stats().Ready })
	if n := wk.e.Stats().Restored; n < rows-stop || n > rows-first {
		t.Errorf("restored %d records of the rest, want %d to %d", n, rows-stop, rows-first)
	}
	if got, want := wk.local(), w.rows(); !maps.Equal(got, want) || len(got) != 40+rows {
		t.Errorf("%d local rows, %d in the changelog, want %d", len(got), len(want), 40+rows)
	}
	wk.end()
}

// TestRestoreTellsHowFarItIs: from a broker that is slow, also what makes no batch is told of.
func TestRestoreTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 40)
	w.joined(40)
	wk.end()
	producer := w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const rows, slow, last = 15, 1, 10
	ends, err := w.admin.ListEndOffsets(t.Context(), testTable)
	if err != nil {
		t.Fatal(err)
	}
	begin, _ := ends.Lookup(testTable, 0)
	for n := range rows {
		r := &kgo.Record{
			Topic: testTable, Key: []byte(strconv.Itoa(n)), Value: []byte(noise(900_000)),
		}
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var free atomic.Bool
	began := time.Now()
	w.cluster.ControlKey(keyFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if req.SessionEpoch != -1 || req.Topics[0].Partitions[0].Partition != 0 {
			return nil, nil, false
		}
		at := req.Topics[0].Partitions[0].FetchOffset - begin.Offset
		if at < slow || at < last && time.Since(began) > 3*time.Second || free.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis = 5
		return resp, nil, true
	})
	wk = w.start(fs, nil)
	w.eventually("a word", func() bool {
		return strings.Contains(wk.logs.String(), "msg=restoring ")
	})
	free.Store(true)
	w.eventually("restored", func() bool { return wk.e.Stats().Ready })
	if n := wk.e.Stats().Restored; n != rows {
		t.Errorf("restored %d records, want %d", n, rows)
	}
	wk.end()
}
