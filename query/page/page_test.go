package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
	"tallystick/query/live"
	"tallystick/query/page"
	"tallystick/topology"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// A served is a page on a cluster of its own, at work.
type served struct {
	*httptest.Server
	cl *kgo.Client
}

// serve serves a page. With change a test makes it another one.
func serve(t *testing.T, change func(*page.Config)) *served {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(2, "orders", "payments", "confirmations", "tally-dead-letters"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	cfg := page.Config{
		Topology: topology.Default(topology.Options{Chain: true}), DeadLetters: "tally-dead-letters",
		Instance: "worker-<1>", Brokers: "kafka:9092", Client: cl, Now: time.Now,
		Local: func(h http.HandlerFunc) http.Handler { return h }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	p, err := page.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Register(mux)
	s := &served{httptest.NewServer(mux), cl}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { end(); <-done; s.Close() })
	return s
}

// do asks for a path and returns the answer with its body.
func (s *served) do(t *testing.T, method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	out, err := s.Client().Do(in)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return out, string(body)
}

// get asks for a path that must be answered with a status, and reads the answer.
func (s *served) get(t *testing.T, status int, path string, into any) {
	t.Helper()
	out, body := s.do(t, http.MethodGet, path)
	if out.StatusCode != status {
		t.Fatalf("%s: status %d, want %d: %s", path, out.StatusCode, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// TestOnlyItself holds that the page and its files name no other host, run nothing that
// is written into the page, and are sent with a policy that forbids both.
func TestOnlyItself(t *testing.T) {
	s := serve(t, nil)
	out, html := s.do(t, http.MethodGet, "/")
	policy := out.Header.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';",
		"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy allows what is unsafe: %s", policy)
	}
	if !strings.Contains(html, "worker-&lt;1&gt;") {
		t.Error("the name of the worker is not escaped")
	}
	files := regexp.MustCompile(`"(/page/[a-z.]+)"`).FindAllStringSubmatch(html, -1)
	texts := map[string]string{"/": html}
	for _, f := range files {
		_, texts[f[1]] = s.do(t, http.MethodGet, f[1])
	}
	for _, m := range regexp.MustCompile(`from "\.(/[a-z]+\.js)"`).FindAllStringSubmatch(
		texts["/page/main.js"], -1) {
		_, texts["/page"+m[1]] = s.do(t, http.MethodGet, "/page"+m[1])
	}
	if len(texts) < 10 {
		t.Errorf("only %d files", len(texts))
	}
	inline := regexp.MustCompile(`<script>| style=| on[a-z]+=|javascript:|innerHTML|eval\(`)
	for name, text := range texts {
		foreign := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
		if strings.Contains(foreign, "//"+"cdn") || strings.Contains(foreign, "http") &&
			strings.Contains(foreign, "://") {
			t.Errorf("%s names another host", name)
		}
		if m := inline.FindString(text); m != "" {
			t.Errorf("%s has %q in it", name, m)
		}
	}
}

// TestNames holds that the page answers under the worker's names only.
func TestNames(t *testing.T) {
	s := serve(t, func(c *page.Config) { c.Hosts = []string{"worker-1"} })
	for host, want := range map[string]int{
		"localhost:1": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:80": http.StatusOK,
		"worker-1:8070": http.StatusOK, "shop.example:8070": http.StatusForbidden,
		"shop.example": http.StatusForbidden,
	} {
		in := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		in.Host = host
		out := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(out, in)
		if out.Code != want {
			t.Errorf("under %s: status %d, want %d", host, out.Code, want)
		}
	}
}

// TestFilesAreSentWhenTheyChanged holds that a browser that has a file is not sent it
// again, and that the template is not served as it is.
func TestFilesAreSentWhenTheyChanged(t *testing.T) {
	s := serve(t, nil)
	out, _ := s.do(t, http.MethodGet, "/page/main.js")
	if kind := out.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/javascript") {
		t.Errorf("a module is %s", kind)
	}
	again, body := s.do(t, http.MethodGet, "/page/main.js", "If-None-Match", out.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("sent again: status %d", again.StatusCode)
	}
	for _, path := range []string{"/page/page.html", "/page/nothing.js", "/page/"} {
		if out, _ := s.do(t, http.MethodGet, path); out.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, out.StatusCode)
		}
	}
}

// TestMap holds that the page tells the whole map, drawn and in tables.
func TestMap(t *testing.T) {
	s := serve(t, nil)
	_, html := s.do(t, http.MethodGet, "/")
	m := topology.Default(topology.Options{Chain: true})
	for _, p := range m.Processors {
		if !strings.Contains(html, `<tr data-processor="`+p.Name+`">`) {
			t.Errorf("processor %s is in no table", p.Name)
		}
		if !strings.Contains(html, `data-service="`+p.Service+`"`) {
			t.Errorf("service %s is not drawn", p.Service)
		}
	}
	for _, topic := range m.Topics {
		if !strings.Contains(html, `<tr data-topic="`+topic.Name+`">`) {
			t.Errorf("topic %s is in no table", topic.Name)
		}
	}
	for _, drawn := range []string{"orders", "payments-by-order", "customers", "notices"} {
		if !strings.Contains(html, `<g class="topic`) ||
			!strings.Contains(html, `data-topic="`+drawn+`" data-readers="`) &&
				!strings.Contains(html, `data-topic="`+drawn+`" transform`) {
			t.Errorf("topic %s is not drawn", drawn)
		}
	}
	if !strings.Contains(html, "confirm reads orders, payments-by-order") {
		t.Error("the drawing is not told in words")
	}
}

// TestEvents holds that who watches is sent the state of the system.
func TestEvents(t *testing.T) {
	s := serve(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/live/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Client().Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if kind := out.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the events are %s", kind)
	}
	lines := bufio.NewScanner(out.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var state live.State
		if err := json.Unmarshal([]byte(text), &state); err != nil {
			t.Fatal(err)
		}
		if state.Error != "" || len(state.Processors) == 0 || len(state.Topics) == 0 {
			t.Errorf("state %+v", state)
		}
		return
	}
	t.Fatalf("no event: %v", lines.Err())
}

// large is more than a browser can count in its own numbers.
const large = 9_007_199_254_740_993

// waiting is a [page.Buffers] that is asked at times.
type waiting struct {
	asked int
	err   error
}

func (w *waiting) Waiting(context.Context) (page.Waiting, error) {
	w.asked++
	since := time.Unix(7, 0).UTC()
	return page.Waiting{
		Source: "From a test",
		Orders: page.Half{Count: 2, Oldest: &since, Money: map[string]int64{"EUR": large}},
	}, w.err
}

// TestBuffers holds that what waits is told to the last cent, and that many who look do
// not make the tables be read each time.
func TestBuffers(t *testing.T) {
	w := &waiting{}
	s := serve(t, func(c *page.Config) { c.Buffers = w })
	for range 20 {
		var got page.Waiting
		s.get(t, http.StatusOK, "/live/buffers", &got)
		if got.Orders.Count != 2 || got.Orders.Money["EUR"] != large || got.Longest == nil {
			t.Fatalf("got %+v", got)
		}
	}
	if w.asked > 5 {
		t.Errorf("asked %d times", w.asked)
	}
	var said struct{ Error string }
	s = serve(t, func(c *page.Config) { c.Buffers = &waiting{err: errors.New("torn")} })
	s.get(t, http.StatusBadGateway, "/live/buffers", &said)
	if said.Error != "torn" {
		t.Errorf("got %q", said.Error)
	}
	s = serve(t, nil)
	s.get(t, http.StatusNotFound, "/live/buffers", &said)
	if said.Error == "" {
		t.Error("nobody says why there is nothing")
	}
}

// write puts a dead letter of a class into a partition.
func (s *served) write(t *testing.T, partition int32, class string) {
	t.Helper()
	r := &kgo.Record{Topic: "tally-dead-letters", Partition: partition, Value: []byte(class)}
	if err := s.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

type letters struct {
	Total, Unreadable int64
	Classes           map[string]int64
	Newest            []page.Letter
}

// TestLetters holds that dead letters are counted once each, that what comes later is
// seen, the newest first, and that what is no dead letter is told apart.
func TestLetters(t *testing.T) {
	now := time.Now()
	s := serve(t, func(c *page.Config) {
		c.Now = func() time.Time { now = now.Add(time.Minute); return now } // nothing stays fresh
		c.Letter = func(r *kgo.Record) (page.Letter, error) {
			if string(r.Value) == "nonsense" {
				return page.Letter{}, errors.New("no letter")
			}
			return page.Letter{Class: string(r.Value), Group: "g", When: r.Timestamp, Key: "k"}, nil
		}
	})
	var got letters
	s.get(t, http.StatusOK, "/live/dead-letters", &got)
	if got.Total != 0 || got.Newest == nil {
		t.Errorf("at first %+v", got)
	}
	for i := range 60 {
		s.write(t, int32(i%2), "malformed")
	}
	s.write(t, 1, "nonsense")
	for range 2 {
		got = letters{}
		s.get(t, http.StatusOK, "/live/dead-letters", &got)
		if got.Total != 60 || got.Classes["malformed"] != 60 || got.Unreadable != 1 ||
			len(got.Newest) != 50 {
			t.Fatalf("of 60: %d, %v, %d unreadable, %d shown", got.Total, got.Classes, got.Unreadable,
				len(got.Newest))
		}
	}
	s.write(t, 0, "panic")
	got = letters{}
	s.get(t, http.StatusOK, "/live/dead-letters", &got)
	if got.Total != 61 || got.Classes["panic"] != 1 || got.Newest[0].Class != "panic" {
		t.Errorf("one later: %+v of %d, %v", got.Newest[0], got.Total, got.Classes)
	}
}

// An auditing is an audit that ends when it is told to.
type auditing struct{ begun, end chan struct{} }

func (a auditing) audit(ctx context.Context, read func(int64)) (*audit.Report, error) {
	read(7)
	select {
	case a.begun <- struct{}{}:
	case <-ctx.Done():
	}
	select {
	case <-a.end:
		return audit.NewReport(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type audited struct {
	At      *time.Time
	Running bool
	Read    int64
	Report  *audit.Report
}

// TestAudit holds that the audit is begun by who has the page alone, once at a time, and
// that its result is kept.
func TestAudit(t *testing.T) {
	a := auditing{make(chan struct{}), make(chan struct{})}
	s := serve(t, func(c *page.Config) { c.Audit = a.audit })
	_, html := s.do(t, http.MethodGet, "/")
	token := regexp.MustCompile(`name="tally-token" content="([0-9a-f]{32})"`).FindStringSubmatch(html)
	if token == nil {
		t.Fatal("the page has no token")
	}
	for _, headers := range [][]string{
		nil,
		{"X-Tally-Token", strings.Repeat("0", 32)},
		{"X-Tally-Token", token[1], "Sec-Fetch-Site", "cross-site"},
		{"X-Tally-Token", token[1], "Origin", "http://shop.example"},
	} {
		out, body := s.do(t, http.MethodPost, "/live/audit", headers...)
		if out.StatusCode != http.StatusForbidden {
			t.Errorf("with %q: status %d, %s", headers, out.StatusCode, body)
		}
	}
	post := func(want int) {
		t.Helper()
		out, body := s.do(t, http.MethodPost, "/live/audit", "X-Tally-Token", token[1],
			"Sec-Fetch-Site", "same-origin", "Origin", s.URL)
		if out.StatusCode != want {
			t.Fatalf("status %d, want %d: %s", out.StatusCode, want, body)
		}
	}
	var got audited
	s.get(t, http.StatusOK, "/live/audit", &got)
	if got.At != nil || got.Running {
		t.Errorf("before the first one: %+v", got)
	}
	for range 2 {
		post(http.StatusAccepted)
		<-a.begun
		post(http.StatusConflict)
		s.get(t, http.StatusOK, "/live/audit", &got)
		if !got.Running || got.Read != 7 {
			t.Errorf("under way: %+v", got)
		}
		a.end <- struct{}{}
		deadline := time.Now().Add(patience)
		for got.Running {
			if time.Now().After(deadline) {
				t.Fatal("it does not end")
			}
			s.get(t, http.StatusOK, "/live/audit", &got)
		}
		if got.At == nil || got.Report == nil || got.Report.Audit != audit.OK {
			t.Errorf("done: %+v", got)
		}
	}
}

// TestContentIsLocal holds that all that shows the content of records, or starts
// something, is asked of this machine alone.
func TestContentIsLocal(t *testing.T) {
	s := serve(t, func(c *page.Config) {
		c.Local = func(http.HandlerFunc) http.Handler {
			return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
				out.WriteHeader(http.StatusTeapot)
			})
		}
	})
	for _, what := range []string{
		"GET /live/orders/o1", "GET /live/dead-letters", "GET /live/audit", "GET /live/fingerprints",
		"POST /live/audit",
	} {
		method, path, _ := strings.Cut(what, " ")
		if out, _ := s.do(t, method, path); out.StatusCode != http.StatusTeapot {
			t.Errorf("%s: status %d", what, out.StatusCode)
		}
	}
	if out, _ := s.do(t, http.MethodGet, "/"); out.StatusCode != http.StatusOK {
		t.Errorf("the page: status %d", out.StatusCode)
	}
}
