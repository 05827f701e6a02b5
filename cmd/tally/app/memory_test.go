package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMemory runs a worker without a disk, by the environment, and looks into it
// by its address, the only way there is. The next worker reads everything again.
func TestMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "2")
	tally(t, ExitOK, "load", at, "--generate", "--orders=200", "--seed=2", anHourAgo())
	var before string
	for life := range 2 {
		ctx, stop := context.WithCancel(t.Context())
		c := newCommand()
		c.env["TALLY_STATE"] = stateMemory
		serving := make(chan Serving, 1)
		c.Ready = func(s Serving) { serving <- s }
		ended := make(chan int, 1)
		go func() { ended <- c.Run(ctx, []string{"run", at, "--park=false", "--leave"}) }()
		s := await(t, serving, ended, c)
		waitFor(t, func() bool { return fetch(t, s.HTTP, "/readyz") == "200 ok" })
		waitFor(t, func() bool {
			out, _ := tally(t, ExitOK, "audit", at, "-o", "json")
			r := report(t, out)
			return r.Unprocessed == 0 && r.InFlight == 0
		})
		out, _ := tally(t, ExitOK, "table", "verify", at, "--worker", s.HTTP, "--all")
		if !strings.Contains(out, "worker "+s.HTTP) || !strings.Contains(out, "ok: ") ||
			strings.Count(out, "  rows, changelog, journal  ") != 2 {
			t.Errorf("verify printed\n%s", out)
		}
		list, _ := tally(t, ExitOK, "table", "ls", at, "--worker", s.HTTP, "-o", "json")
		if prints := fingerprintsIn(t, list); life == 0 {
			before = prints
		} else if prints != before {
			t.Errorf("fingerprints were %s and are %s", before, prints)
		}
		metrics := fetch(t, s.HTTP, "/metrics")
		for _, want := range []string{
			"\ntally_stream_time_seconds{group=\"tally-confirm\",instance=\"", "\",partition=\"1\"} 1.",
			"\ntally_table_rows{group=\"tally-confirm\",instance=\"",
		} {
			if !strings.Contains(metrics, want) {
				t.Errorf("%q is not among the metrics", want)
			}
		}
		_, said := tally(t, ExitError, "table", "verify", at)
		if !strings.Contains(said, "--state memory by --worker") {
			t.Errorf("verify without an address: %s", said)
		}
		stop()
		if code := <-ended; code != ExitOK {
			t.Errorf("exit %d\n%s", code, &c.err)
		}
		log := c.err.String()
		if !strings.Contains(log, "state=memory") {
			t.Errorf("log: %s", log)
		}
		all := strings.Contains(log, "msg=restored") && strings.Contains(log, " from=0 ")
		if all != (life > 0) {
			t.Errorf("life %d: it restored everything: %v\n%s", life, all, log)
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("made on disk: %v, %v", made, err)
	}
}

// fingerprintsIn are those that tally table ls prints, of partitions with rows.
func fingerprintsIn(t *testing.T, out string) string {
	t.Helper()
	var list []partitionInfo
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var prints []string
	for _, p := range list {
		for _, h := range p.Holders {
			if h.Rows == 0 || len(h.Fingerprint) != 32 {
				t.Errorf("partition %d has %+v", p.Partition, h)
			}
			prints = append(prints, fmt.Sprint(p.Partition, h.Rows, h.Fingerprint))
		}
	}
	if len(prints) != len(list) {
		t.Errorf("of %d partitions %d have a fingerprint: %s", len(list), len(prints), out)
	}
	return strings.Join(prints, " ")
}
