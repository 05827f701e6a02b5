package checker_test

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/checker"
	"tallystick/test/kafkatest"
)

// TestSharesNoCode keeps the checker independent of what it judges.
func TestSharesNoCode(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range tree.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if strings.HasPrefix(name, "tallystick/") && name != "tallystick/schemas/tallyv1" {
				t.Errorf("%s imports %s", f.Name(), name)
			}
		}
	}
}

const (
	order = `{"order_placed":{"order_id":"a","total":{"minor":"100","currency":"EUR"}}}`
	paid  = `{"payment_received":{"payment_id":"p","order_id":"a",` +
		`"amount":{"minor":"120","currency":"EUR"}}}`
	confirmed = `{"meta":{"id":"c"},"order_confirmed":{"order_id":"a",` +
		`"total":{"minor":"100","currency":"EUR"},"payments":[{"payment_id":"p","minor":"100"}]}}`
	excess = `{"meta":{"id":"x"},"payment_excess":{"payment_id":"p","order_id":"a",` +
		`"amount":{"minor":"120","currency":"EUR"},"excess":{"minor":"20","currency":"EUR"}}}`
	refund = `{"meta":{"id":"r"},"refund_owed":{"payment_id":"p","order_id":"a",` +
		`"amount":{"minor":"20","currency":"EUR"},"reason":"EXCESS"}}`
)

// TestCheck shows the checker a topic set that is right, and then each of them
// with one thing wrong.
func TestCheck(t *testing.T) {
	type log = map[string][]string
	for name, tc := range map[string]struct {
		log  log
		want string
	}{
		"right": {log: log{"o": {order, order}, "p": {paid}, "c": {confirmed}, "e": {excess, refund}}},
		"doubled": {
			log{"o": {order}, "p": {paid}, "c": {confirmed, confirmed}, "e": {excess, refund}},
			"order a is confirmed 2 times, want 1",
		},
		"missing": {
			log{"o": {order}, "p": {paid}, "e": {excess, refund}}, "order a is confirmed 0 times, want 1",
		},
		"unpaid": {
			log{"o": {order}, "c": {confirmed}}, "order a is confirmed 1 times, want 0",
		},
		"unplaced": {
			log{"p": {paid}, "c": {confirmed}}, "order a is confirmed 1 times, want 0",
		},
		"excess": {
			log{"o": {order}, "p": {paid}, "c": {confirmed}}, "order a has an excess of 0",
		},
		"refund": {
			log{"o": {order}, "p": {paid}, "c": {confirmed}, "e": {excess}},
			"order a has refunds of map[], want map[EUR:20]",
		},
		"amount": {
			log{
				"o": {order}, "p": {paid}, "e": {excess, refund},
				"c": {strings.Replace(confirmed, `"100"`, `"90"`, 1)},
			}, "its total is",
		},
		"lost": {
			log{"o": {order, "{}"}, "p": {paid}, "c": {confirmed}, "e": {excess, refund}},
			"not in the dead letters",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := kafkatest.Start(t)
			prefix := b.Prefix(t)
			for _, topic := range []string{"o", "p", "c", "e", "d"} {
				b.Topic(t, prefix+topic, 1)
				for _, value := range tc.log[topic] {
					r := &kgo.Record{Topic: prefix + topic, Key: []byte("a"), Value: []byte(value)}
					if err := b.Client(t).ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, err := checker.Check(t.Context(), b.Addrs(), checker.Topics{
				Orders: prefix + "o", Payments: prefix + "p", Confirmations: prefix + "c",
				Exceptions: prefix + "e", DeadLetters: prefix + "d",
			})
			if err != nil {
				t.Fatal(err)
			}
			wrong := strings.Join(got.Wrong, "\n")
			if (tc.want == "") != (wrong == "") || !strings.Contains(wrong, tc.want) {
				t.Errorf("found wrong: %q, want %q", wrong, tc.want)
			}
		})
	}
}

// TestSamples keeps the samples of this file what they are meant to be.
func TestSamples(t *testing.T) {
	for sample, err := range map[string]error{
		order:     protojson.Unmarshal([]byte(order), new(tallyv1.OrderEvent)),
		paid:      protojson.Unmarshal([]byte(paid), new(tallyv1.PaymentEvent)),
		confirmed: protojson.Unmarshal([]byte(confirmed), new(tallyv1.ConfirmationEvent)),
		excess:    protojson.Unmarshal([]byte(excess), new(tallyv1.ExceptionEvent)),
		refund:    protojson.Unmarshal([]byte(refund), new(tallyv1.ExceptionEvent)),
	} {
		if err != nil {
			t.Errorf("%s: %v", sample, err)
		}
	}
}
