package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"tallystick/cmd/tally/app"
	"tallystick/engine"
	"tallystick/schemas/tallyv1"
	"tallystick/test/kafkatest"
)

// TestKcat feeds an order and its payment by kcat, as the documentation shows,
// and reads the confirmation by kcat and by tally.
func TestKcat(t *testing.T) {
	eachWithKcat(t, func(t *testing.T, s *stage) {
		order, err := os.ReadFile("../../deploy/example/order.json")
		if err != nil {
			t.Fatal(err)
		}
		payment, err := os.ReadFile("../../deploy/example/payment.json")
		if err != nil {
			t.Fatal(err)
		}
		w := s.run("worker", t.TempDir(), nil, "--format", "json")
		w.holds(partitions)
		const murmur2 = "topic.partitioner=murmur2_random"
		line := func(value []byte) string { return "order-1|" + string(bytes.TrimSpace(value)) + "\n" }
		s.kcat(line(order), "-P", "-t", s.topics.Orders, "-K", "|", "-X", murmur2)
		s.kcat(line(payment), "-P", "-t", s.topics.Payments, "-K", "|", "-X", murmur2)
		s.until("no lag", s.caughtUp)
		s.audit(s.check())

		read := s.kcat("", "-C", "-e", "-t", s.topics.Confirmations, "-o", "beginning",
			"-X", "isolation.level=read_committed", "-f", "%k|%s", "-D", "")
		key, value, _ := strings.Cut(read, "|")
		var e tallyv1.ConfirmationEvent
		if err := protojson.Unmarshal([]byte(value), &e); err != nil || key != "order-1" ||
			e.GetOrderConfirmed().GetTotal().GetMinor() != 4200 {
			t.Errorf("kcat reads %q: %v", read, err)
		}
		var shown struct {
			Key string
			Row struct{ State string }
		}
		w.end() // with its last transaction on disk
		out := s.tally("table", "get", "order-1", "--state-dir", w.dir, "-o", "json").ok(t).out
		if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.Row.State != "CONFIRMED" {
			t.Errorf("tally shows %s: %v", out, err)
		}
	})
}

// TestKcatAsItComes shows why the documentation names a partitioner: kcat's own
// is another hash, which stops the worker by name.
func TestKcatAsItComes(t *testing.T) {
	eachWithKcat(t, func(t *testing.T, s *stage) {
		var lines strings.Builder
		for i := range 50 {
			id := fmt.Sprintf("kcat-%02d", i)
			fmt.Fprintf(&lines, "%s|%s\n", id, placed(id, "1", "EUR"))
		}
		s.kcat(lines.String(), "-P", "-t", s.topics.Orders, "-K", "|")
		w := s.run("worker", t.TempDir(), nil)
		s.until("the worker stops", w.ended)
		said := w.log.complaint(t)
		if w.code != app.ExitError || !strings.Contains(said, engine.ErrMisrouted.Error()) ||
			!strings.Contains(said, "CRC32 (librdkafka") {
			t.Errorf("exit code %d: %s", w.code, said)
		}
	})
}

// eachWithKcat is for tests that need kcat. The fake will do for it under -short.
func eachWithKcat(
	t *testing.T, test func(*testing.T, *stage), options ...kafkatest.Option,
) {
	t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		if os.Getenv("KAFKA_TESTS") == "required" {
			t.Fatalf("kcat is required: %v", err)
		}
		t.Skipf("needs kcat, a package of Debian and others: %v", err)
	}
	each(t, test, options...)
}

// kcat runs kcat to its end and returns what it wrote.
func (s *stage) kcat(input string, args ...string) string {
	s.t.Helper()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), "kcat",
		append([]string{"-q", "-b", strings.Join(s.broker.Addrs(), ",")}, args...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &complaints
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("kcat %v: %v\n%s", args, err, &complaints)
	}
	return string(out)
}
