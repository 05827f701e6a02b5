package app

import (
	"encoding/json"
	"os"
	"testing"

	"tallystick/cmd/tally/app/ways"
)

// TestBenchWays runs the verb on few orders: every way in every scenario, nothing
// lost or doubled by confirm, and nothing left behind. What the others lose is held
// in the tests of package ways.
func TestBenchWays(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out, _ := tally(t, ExitOK, "bench", "ways", "-o", "json", "--orders", "60",
		"--outage", "50ms", "--partitions", "2")
	var report waysReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if want := len(ways.Ways()) * len(ways.Scenarios()); len(report.Results) != want {
		t.Fatalf("%d results, want %d", len(report.Results), want)
	}
	for _, r := range report.Results {
		if r.Way == ways.Confirm && (r.Confirmed == 0 || r.Confirmed != r.Expected || r.Doubled > 0) {
			t.Errorf("%+v", r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
}
