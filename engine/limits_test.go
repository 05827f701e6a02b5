package engine_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"

	"tallystick/engine"
)

// remake deletes a topic and makes it again with a setting.
func (w *world) remake(topic, name, value string) {
	w.t.Helper()
	if _, err := w.admin.DeleteTopics(w.t.Context(), topic); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.admin.CreateTopics(w.t.Context(), testParts, 1,
		map[string]*string{name: &value}, topic)
	if err != nil {
		w.t.Fatal(err)
	}
}

// noise is n bytes of text that no compression makes smaller than half.
func noise(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func TestDeadLetterThatIsRefusedStopsTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remake(testDead, "max.message.bytes", "2000")
	wk := w.start(vfs.NewMem(), nil)
	w.send(leftTopic, "k1=bad"+noise(20_000))
	if err := wk.wait(false); !errors.Is(err, engine.ErrTopic) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTopic)
	}
}

// TestOutputsOfATopicWithALowLimit: outputs that the topic takes one by one must
// get there, and only the one that it would never take is a dead letter.
func TestOutputsOfATopicWithALowLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remake(joinedTopic, "max.message.bytes", "20000")
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		if msg == "blow up" {
			ctx.Emit(joinedTopic, ctx.Key(), noise(30_000))
			return
		}
		if strings.HasPrefix(ctx.Key(), "k") && ctx.Topic() == leftTopic {
			ctx.Emit(joinedTopic, ctx.Key(), noise(4000))
		}
	})
	w.sendMany(0, 100)
	w.send(leftTopic, "huge=blow up")
	w.sendMany(100, 200)
	w.eventually("outputs", func() bool { return len(w.committed(joinedTopic)) == 200 })
	w.eventually("dead letter", func() bool { return len(w.committed(testDead)) == 1 })
	if got := string(w.committed(testDead)[0].Key); got != "huge" {
		t.Errorf("dead letter is %q", got)
	}
	wk.end()
}
