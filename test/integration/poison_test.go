package integration_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"
)

// A poison is a record that no worker can process.
type poison struct {
	name  string
	class string // that the dead letters give it
	// value is made for the order id that is the record's key.
	value func(id string) []byte
	// key and headers make the record another one; order puts it into the topic
	// of orders instead of payments.
	key     func(id string) []byte
	headers []kgo.RecordHeader
	order   bool
}

// Bodies of events in JSON.
func payment(id, minor, currency string) []byte {
	return fmt.Appendf(nil, `{"paymentReceived":{"paymentId":"bad","orderId":%q,"amount":`+
		`{"minor":%s,"currency":%q}}}`, id, minor, currency)
}

func placed(id, minor, currency string) []byte {
	return fmt.Appendf(nil, `{"orderPlaced":{"orderId":%q,"total":{"minor":%s,"currency":%q}}}`,
		id, minor, currency)
}

func amount(minor string) func(string) []byte {
	return func(id string) []byte { return payment(id, minor, "EUR") }
}

func in(currency string) func(string) []byte {
	return func(id string) []byte { return payment(id, "100", currency) }
}

// text is a value that names its order, for %s.
func text(format string) func(string) []byte {
	return func(id string) []byte { return []byte(strings.ReplaceAll(format, "%s", id)) }
}

func raw(value []byte) func(string) []byte { return func(string) []byte { return value } }

// around puts a good payment between two texts.
func around(before, after string) func(string) []byte {
	return func(id string) []byte { return []byte(before + string(payment(id, "1", "EUR")) + after) }
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(0xf0 | random.IntN(16))
	}
	return value
}

// binary forms of a payment that are broken.
func wire(id string, edit func([]byte) []byte) []byte {
	money := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 100)
	money = protowire.AppendString(protowire.AppendTag(money, 2, protowire.BytesType), "EUR")
	body := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "bad")
	body = protowire.AppendString(protowire.AppendTag(body, 2, protowire.BytesType), id)
	body = protowire.AppendBytes(protowire.AppendTag(body, 3, protowire.BytesType), money)
	return edit(protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), body))
}

func poisons() []poison {
	many := make([]kgo.RecordHeader, 10_000)
	for i := range many {
		many[i] = kgo.RecordHeader{Key: "h" + strconv.Itoa(i), Value: []byte("v")}
	}
	long := strings.Repeat("x", 300)
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	const bad = "malformed"
	return []poison{
		{name: "bad JSON", class: bad, value: text(`{"paymentReceived":{"paymentId":`)},
		{name: "empty value", class: bad, value: raw([]byte{})},
		{name: "blank value", class: bad, value: raw([]byte(" \n\t "))},
		{name: "no value", class: "tombstone", value: raw(nil)},
		{name: "no value for an order", class: "tombstone", value: raw(nil), order: true},
		{name: "no key", class: "no-key", value: amount("1"), key: raw(nil)},
		{name: "empty key", class: "check", value: amount("1"), key: raw([]byte{})},
		{name: "key of another order", class: "check", value: func(string) []byte {
			return payment("somebody-else", "1", "EUR")
		}},
		{name: "key that is not UTF-8", class: "check", value: amount("1"), key: func(id string) []byte {
			return []byte(id + "\xff\xfe")
		}},
		{name: "negative amount", class: bad, value: amount(`"-1"`)},
		{name: "amount over the limit", class: bad, value: amount(`"1000000000000001"`)},
		{name: "amount over 64 bits", class: bad, value: amount(`"99999999999999999999"`)},
		{name: "amount with a fraction", class: bad, value: amount("10.5")},
		{name: "amount that is no number", class: bad, value: amount(`"NaN"`)},
		{name: "infinite amount", class: bad, value: amount("1e400")},
		{name: "amount missing", class: bad, value: text(
			`{"paymentReceived":{"paymentId":"bad","orderId":"%s","amount":{"currency":"EUR"}}}`)},
		{name: "negative total", class: bad, order: true, value: func(id string) []byte {
			return placed(id, `"-5"`, "EUR")
		}},
		{name: "unknown currency", class: bad, value: in("XXZ")},
		{name: "lower-case currency", class: bad, value: in("eur")},
		{name: "empty currency", class: bad, value: in("")},
		{name: "value of 2 MiB", class: bad, value: around("", strings.Repeat(" ", 2<<20))},
		{name: "deep nesting", class: bad, value: raw([]byte(deep))},
		{name: "deep nesting in a good payment", class: bad, value: text(
			`{"paymentReceived":{"paymentId":"bad","orderId":"%s","amount":{"minor":1,` +
				`"currency":"EUR"},"extra":` + deep + `}}`)},
		{name: "JSON that is not UTF-8", class: bad, value: text(
			`{"paymentReceived":{"paymentId":"` + "\xc3\x28" + `","orderId":"%s"}}`)},
		{name: "random bytes", class: bad, value: raw(noise(100))},
		{name: "one byte", class: bad, value: raw([]byte{0xff})},
		{name: "truncated Protobuf", class: bad, value: func(id string) []byte {
			return wire(id, func(b []byte) []byte { return b[:len(b)-4] })
		}},
		{name: "wrong wire type", class: bad, value: func(id string) []byte {
			return wire(id, func(b []byte) []byte { return append([]byte{3 << 3, 7}, b[2:]...) })
		}},
		{name: "duplicate JSON keys", class: bad, value: text(`{"paymentReceived":{"paymentId":"a",` +
			`"paymentId":"b","orderId":"%s","amount":{"minor":1,"currency":"EUR"}}}`)},
		{name: "unknown event", class: bad, value: text(`{"paymentDreamt":{"orderId":"%s"}}`)},
		{name: "unknown event in Protobuf", class: bad, value: func(id string) []byte {
			return wire(id, func(b []byte) []byte {
				return append(protowire.AppendTag(nil, 99, protowire.BytesType), b[1:]...)
			})
		}},
		{name: "two events in one", class: bad, order: true, value: text(
			`{"orderPlaced":{"orderId":"%s","total":{"minor":1,"currency":"EUR"}},` +
				`"orderCancelled":{"orderId":"%s"}}`)},
		{name: "empty order id", class: bad, value: func(string) []byte {
			return payment("", "1", "EUR")
		}},
		{name: "order id missing", class: bad, value: text(
			`{"paymentReceived":{"paymentId":"bad","amount":{"minor":1,"currency":"EUR"}}}`)},
		{
			name: "order id too long", class: bad, value: amount("1"),
			key: func(id string) []byte { return []byte(id + long) },
		},
		{
			name: "key of 1.5 MiB", class: bad, value: raw([]byte("{")),
			key: func(id string) []byte { return []byte(id + strings.Repeat("k", 3<<19)) },
		},
		{name: "control character in an id", class: bad, value: text(`{"paymentReceived":{"paymentId":` +
			`"a\u0000b","orderId":"%s","amount":{"minor":1,"currency":"EUR"}}}`)},
		{name: "trailing garbage", class: bad, value: around("", "}")},
		{name: "two JSON values", class: bad, value: around("{}", "")},
		{name: "JSON array", class: bad, value: around("[", "]")},
		{name: "JSON string", class: bad, value: raw([]byte(`"payment"`))},
		{name: "JSON null", class: bad, value: raw([]byte("null"))},
		{name: "number", class: bad, value: raw([]byte("42"))},
		{name: "an order among payments", class: bad, value: func(id string) []byte {
			return placed(id, "1", "EUR")
		}},
		{
			name: "huge header", class: bad, value: raw([]byte("{")),
			headers: []kgo.RecordHeader{{Key: "huge", Value: bytes.Repeat([]byte("h"), 1<<20)}},
		},
		{name: "10,000 headers", class: bad, value: raw([]byte("{")), headers: many},
	}
}

// TestPoison puts bad records between good ones.
func TestPoison(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		limit := strconv.Itoa(4 << 20)
		_, err := s.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
			{Name: "max.message.bytes", Value: &limit},
		}, s.topics.Orders, s.topics.Payments)
		if err != nil {
			t.Fatal(err)
		}
		w := s.spawn("worker", t.TempDir()).holds(partitions)
		bad := map[string]poison{} // by where it is
		all := poisons()
		for i, p := range all {
			id := fmt.Sprintf("poison-%02d", i)
			good, err := s.pair(id+"-good", 100)
			if err != nil {
				t.Fatal(err)
			}
			r := p.record(s, id)
			s.put(good[0], r, good[1])
			bad[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)] = p
		}
		s.until("no lag", s.caughtUp)

		result := s.check()
		if result.Orders != len(all) || result.Confirmed != len(all) {
			t.Errorf("%d good orders, %d confirmed, want %d", result.Orders, result.Confirmed, len(all))
		}
		for _, d := range result.Dead {
			p, ok := bad[d.Place()]
			if !ok {
				t.Errorf("%s, key %.50q is in the dead letters: %s", d.Place(), d.Key, d.Reason)
				continue
			}
			delete(bad, d.Place())
			t.Logf("%s: %s: %s", p.name, d.Class, d.Reason)
			if d.Class != p.class {
				t.Errorf("%s: is of class %s, want %s", p.name, d.Class, p.class)
			}
		}
		for at, p := range bad {
			t.Errorf("%s, at %s, is not in the dead letters", p.name, at)
		}
		s.audit(result)
		s.verify(w)
		w.end()
		ends := w.log.entries("worker ends")
		if len(ends) != 1 || ends[0].Restarts != 0 || len(w.log.entries("assigned")) != 1 {
			t.Errorf("the worker stopped in between: %s", w.log.tail(3))
		}
	})
}

func (p poison) record(s *stage, id string) *kgo.Record {
	r := &kgo.Record{
		Topic: s.topics.Payments, Key: []byte(id), Value: p.value(id), Headers: p.headers,
	}
	if p.order {
		r.Topic = s.topics.Orders
	}
	if p.key != nil {
		r.Key = p.key(id)
		if p.name == "order id too long" {
			r.Value = p.value(string(r.Key))
		}
	}
	return r
}
