package integration_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestResolve has notices of which nobody knows, and says how they ended.
func TestResolve(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		w := s.notifier(func(out http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(out).Hijack(); err == nil {
				_ = conn.Close()
			}
		})
		s.confirmed(3)
		notices := func(args ...string) ran {
			return s.tally(append([]string{"notices", "--chain", "-o", "json"}, args...)...).ok(t)
		}
		listed := func() int { return strings.Count(notices("ls").out, `"state":"unresolved"`) }
		s.until("all are unresolved", func() bool { return listed() == 3 })
		for order, how := range map[string][]string{
			"o-0": {"--sent"}, "o-1": {"--bounced", "--reason", "it is not in the log"},
		} {
			args := append([]string{"resolve", order, "--by", "bea"}, how...)
			var first, again struct {
				State, Notice string
				Known         bool
			}
			if err := json.Unmarshal([]byte(notices(args...).out), &first); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(notices(args...).out), &again); err != nil {
				t.Fatal(err)
			}
			if "--"+first.State != how[0] || first.Known || !again.Known || again.Notice != first.Notice {
				t.Errorf("%s: %+v, then %+v", order, first, again)
			}
		}
		if n := listed(); n != 1 {
			t.Errorf("%d are unresolved", n)
		}
		w.end()
	})
}
