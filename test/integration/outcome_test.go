package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/test/kafkatest"
)

const keyEndTxn = 26

// TestUnknownOutcome loses the answers to EndTxn for longer than the client
// asks again, while the broker executes it: the worker cannot know whether its
// transaction was committed.
func TestUnknownOutcome(t *testing.T) {
	const rounds, tries = 5, 3
	each(t, func(t *testing.T, s *stage) {
		cutter := &kafkatest.Cutter{}
		w := s.run("worker", t.TempDir(), []kgo.Opt{
			kgo.Dialer(cutter.Dial), kgo.RequestRetries(tries - 1), kgo.RetryTimeout(10 * time.Second),
		})
		w.holds(partitions)
		watch := s.watch()
		for round := range rounds {
			s.send(load{name: fmt.Sprintf("before-%d", round), orders: 20, seed: uint64(round)})
			s.until("the orders before", func() bool { return watch.Orders() >= 50*round+20 })
			cutter.Lose(kafkatest.Loss{Keys: []int16{keyEndTxn}, Count: tries})
			s.send(load{name: fmt.Sprintf("lost-%d", round), orders: 30, seed: uint64(round)})
			s.until("answers are lost", func() bool { return cutter.Lost() == tries })
			s.until("the orders whose commit is unknown", func() bool {
				return watch.Orders() >= 50*(round+1)
			})
		}
		s.until("no lag", s.caughtUp)
		result := s.check()
		if result.Confirmed != 50*rounds {
			t.Errorf("%d confirmations, want %d", result.Confirmed, 50*rounds)
		}
		if t.Failed() {
			return // a build without the guard has no more to say
		}
		s.until("the worker is back after the last one", func() bool {
			return len(w.log.entries("assigned")) > rounds
		})
		s.audit(result)
		s.verify(w)
		w.end()
		ends := w.log.entries("worker ends")
		if len(ends) != 1 || ends[0].Restarts < rounds {
			t.Errorf("%d unknown outcomes, want a new client after each: %+v", rounds, ends)
		}
	})
}

// TestUnknownOutcomeUnguarded is the negative control: a build without the
// guard must not pass the test above.
func TestUnknownOutcomeUnguarded(t *testing.T) {
	if testing.Short() {
		t.Skip("builds this test a second time")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-tags", "unguarded", "-count=1",
		"-run", "^TestUnknownOutcome$/^kfake$", ".")
	cmd.Env = append(os.Environ(), "TALLY_TEST_KINDS=kfake")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("without the guard the test passes:\n%s", out)
	}
	if !strings.Contains(string(out), "is confirmed 2 times, want 1") {
		t.Fatalf("without the guard the test fails for another reason: %v\n%s", err, out)
	}
}
