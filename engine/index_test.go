package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"tallystick/engine"
)

// bySides finds the rows of [joinSides] by what they are, in version v of the index.
func bySides(v uint8) setting {
	return func(c *engine.Config) {
		c.Index = &engine.Index{Version: v, Entries: func(_ string, row []byte, entry func([]byte)) {
			entry(fmt.Appendf(nil, "%s in %d", row, v))
		}}
	}
}

// found are the rows that the index of a worker has, with their entries.
func (wk *worker) found() []string {
	wk.w.t.Helper()
	var all []string
	for p := range int32(testParts) {
		v, ok := wk.e.Table(p)
		if !ok {
			continue
		}
		for row, err := range v.Index(nil, nil) {
			if err != nil {
				wk.w.t.Fatal(err)
			}
			all = append(all, row.Key+" "+string(row.Entry))
		}
	}
	slices.Sort(all)
	return all
}

// TestIndexFollowsTheRows: through commits, a restart, another version of the index
// and the loss of the disk.
func TestIndexFollowsTheRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	for i, life := range []struct {
		what    string
		version uint8
		fs      *vfs.MemFS
		rebuilt bool
	}{
		{"new", 0, fs, true},
		{"restarted", 0, fs, false},
		{"of another version", 14, fs, true},
		{"on another disk", 14, vfs.NewMem(), true},
	} {
		wk := w.start(life.fs, nil, bySides(life.version))
		w.sendMany(100*i, 100*(i+1))
		w.send(leftTopic, fmt.Sprintf("half%d=l", i))
		w.eventually("all rows", func() bool { return len(wk.local()) == 101*(i+1) })
		w.eventually("all pairs", func() bool {
			return strings.Count(fmt.Sprint(wk.local()), "l1r1") == 100*(i+1)
		})
		var want []string
		for k, v := range wk.local() {
			want = append(want, fmt.Sprintf("%s %s in %d", k, v, life.version))
		}
		slices.Sort(want)
		if got := wk.found(); !slices.Equal(got, want) {
			t.Errorf("%s: the index has %v, want %v", life.what, got, want)
		}
		if n := wk.e.Stats().Restored; n == 0 == (life.rebuilt && i > 0) {
			t.Errorf("%s: %d records were restored", life.what, n)
		}
		wk.end()
	}
}

func TestIndexNeedsATable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: testGroup, Instance: "one",
		State: w.open(vfs.NewMem()),
	}
	bySides(15)(&cfg)
	if _, err := engine.New(cfg); err == nil || !strings.Contains(err.Error(), "index: version") {
		t.Errorf("got %v, want a word about the version", err)
	}
	bySides(0)(&cfg)
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := goka.DefineGroup(testGroup,
		goka.Input(leftTopic, new(codec.String), e.Wrap(func(goka.Context, any) {})))
	if err := e.Run(t.Context(), g); err == nil || !strings.Contains(err.Error(), "no table") {
		t.Errorf("got %v, want a word about the table", err)
	}
}

// TestTimersVersion: the deadlines' version has a byte in a table's format, in which 0 is
// for none: the highest there is would be taken for no deadlines at all.
func TestTimersVersion(t *testing.T) {
	t.Parallel()
	cfg := engine.Config{
		Brokers: []string{"localhost:1"}, Group: testGroup, Instance: "one",
		State:  newWorld(t).open(vfs.NewMem()),
		Timers: &engine.Timers{Deadline: rowDeadline, Version: 254},
	}
	if err := cfg.Validate(); err != nil {
		t.Errorf("version 254: %v", err)
	}
	cfg.Timers.Version = 255
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "timers: version") {
		t.Errorf("got %v, want a word about the version", err)
	}
}
