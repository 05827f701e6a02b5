package integration_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// address is where a worker answers.
func (w *worker) address() string {
	w.s.t.Helper()
	said := w.log.entries("http")
	if len(said) == 0 {
		w.s.t.Fatalf("%s has said no address", w.name)
	}
	return "http://" + said[len(said)-1].Address
}

// asked asks a worker over HTTP.
func asked(t *testing.T, method, where, body string) (int, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), method, where, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", "application/json")
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		return 0, err.Error()
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		return 0, err.Error()
	}
	return out.StatusCode, string(text)
}

// TestReadYourOwnWrite posts 1,000 orders to one worker and reads each from another
// with its token, all found and none as it was before; then the worker that has half
// of them is killed, and they are found again, as new as they were.
func TestReadYourOwnWrite(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.tally("topics", "apply", "--chain", "--partitions", fmt.Sprint(partitions)).ok(t)
		flags := []string{"--chain", "--interval", "50ms", "--session-timeout", "6s", "views"}
		one := s.spawn("one", t.TempDir(), append(flags, "orders")...)
		two := s.spawn("two", t.TempDir(), flags...)
		s.until("both have views", func() bool {
			return strings.Count(one.log.String()+two.log.String(), `"partitions":[0,1]`) > 0 &&
				strings.Count(one.log.String()+two.log.String(), `"partitions":[2,3]`) > 0
		})
		const n = 1000
		tokens, took := make([]string, n), make([]time.Duration, n)
		var g errgroup.Group
		g.SetLimit(16)
		for i := range n {
			g.Go(func() error {
				status, text := asked(t, "POST", one.address()+"/orders", fmt.Sprintf(
					`{"orderId":"o%d","customerId":"ann","total":{"minor":900,"currency":"EUR"}}`, i))
				var said struct{ Token string }
				if err := json.Unmarshal([]byte(text), &said); err != nil || status != 202 {
					return fmt.Errorf("post o%d: %d: %s", i, status, text)
				}
				began := time.Now()
				where := fmt.Sprintf("%s/orders/o%d?wait=30s&after=%s", two.address(), i, said.Token)
				status, text = asked(t, "GET", where, "")
				tokens[i], took[i] = said.Token, time.Since(began)
				if status != 200 || !strings.Contains(text, `"customer":"ann"`) {
					return fmt.Errorf("%s: %d: %s", where, status, text)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(took)
		t.Logf("waited p50 %v, p99 %v, at most %v", took[n/2], took[n*99/100], took[n-1])
		began := time.Now()
		two.kill()
		for i := range n {
			s.until(fmt.Sprintf("o%d is found again", i), func() bool {
				status, text := asked(t, "GET",
					fmt.Sprintf("%s/orders/o%d?after=%s", one.address(), i, tokens[i]), "")
				return status == 200 && strings.Contains(text, `"customer":"ann"`)
			})
		}
		t.Logf("all are found %v after the kill", time.Since(began).Round(time.Millisecond))
	})
}
