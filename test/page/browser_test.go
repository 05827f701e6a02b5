package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app"
)

const (
	// patience bounds every wait of these tests.
	patience = time.Minute
	// pause is how often a wait looks again.
	pause = 30 * time.Millisecond
)

// A demo is a running tally demo --serve.
type demo struct {
	brokers string
	page    string // the address of the page, without a slash at its end
	host    string
	stop    context.CancelFunc
	ended   chan struct{}
}

// show starts a demo and waits until it has played.
func show(t *testing.T) *demo {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var out, said bytes.Buffer
	m := app.New(&out, &said)
	m.LookupEnv = func(string) (string, bool) { return "", false }
	serving := make(chan app.Serving, 1)
	m.Ready = func(at app.Serving) { serving <- at }
	d := &demo{stop: stop, ended: make(chan struct{})}
	code := 0
	go func() {
		defer close(d.ended)
		code = m.Run(ctx, []string{"demo", "--serve", "--orders", "150", "--seed", "5"})
	}()
	t.Cleanup(func() { stop(); <-d.ended })
	select {
	case at := <-serving:
		d.brokers, d.host, d.page = strings.Join(at.Brokers, ","), at.HTTP, "http://"+at.HTTP
	case <-d.ended:
		t.Fatalf("the demo ended with %d\n%s%s", code, &out, &said)
	case <-time.After(2 * patience):
		t.Fatal("the demo does not come to its end")
	}
	return d
}

// tally runs a verb on the demo, which must succeed, and reads what it printed.
func (d *demo) tally(t *testing.T, into any, args ...string) {
	t.Helper()
	var out, said bytes.Buffer
	m := app.New(&out, &said)
	m.LookupEnv = func(string) (string, bool) { return "", false }
	args = append(args, "--brokers", d.brokers, "--chain", "-o", "json")
	if code := m.Run(t.Context(), args); code != app.ExitOK {
		t.Fatalf("tally %s: exit code %d\n%s", strings.Join(args, " "), code, &said)
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		t.Fatalf("tally %s: %v", strings.Join(args, " "), err)
	}
}

// get reads what the worker answers.
func (d *demo) get(t *testing.T, path string, into any) {
	t.Helper()
	in, err := http.Get(d.page + path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Body.Close()
	text, err := io.ReadAll(in.Body)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil || in.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, in.Status, err)
	}
}

// double writes the first record of a topic a second time, and returns its key.
func (d *demo) double(t *testing.T, topic string) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.brokers), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found []*kgo.Record
	for len(found) == 0 && ctx.Err() == nil {
		found = cl.PollFetches(ctx).Records()
	}
	if len(found) == 0 {
		t.Fatalf("nothing is in %s", topic)
	}
	r := found[0]
	again := &kgo.Record{
		Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers,
		Timestamp: r.Timestamp,
	}
	if err := cl.ProduceSync(ctx, again).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return string(r.Key)
}

// A tab is a page in a browser, with all that it complained of and asked for.
type tab struct {
	ctx  context.Context
	demo *demo
	end  func()

	mu         sync.Mutex
	complaints []string
	foreign    []string
	asked      int
}

// browser is the path of a Chromium.
func browser(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("PAGE_TESTS") == "required" {
		t.Fatal("no Chromium is on this machine, and PAGE_TESTS=required")
	}
	t.Skip("no Chromium is on this machine: install the package chromium")
	return ""
}

// open starts a browser with the page in it.
func open(t *testing.T, path string, d *demo) *tab {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 { // Chromium refuses root a sandbox
		opts = append(opts, chromedp.NoSandbox)
	}
	outer, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, leave := chromedp.NewContext(outer)
	b := &tab{ctx: ctx, demo: d}
	// The browser lives as long as the context of what is done first.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1600, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	var heard sync.WaitGroup
	heard.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			b.note(&b.complaints, fmt.Sprintf("%s: %s %s", m.Type, m.Text, m.URL))
		}
	})
	heard.Go(func() {
		for ev, err := range requests {
			if err != nil {
				return
			}
			b.request(ev.Request.URL)
		}
	})
	b.end = sync.OnceFunc(func() {
		chromedp.Cancel(ctx) //nolint:errcheck // the process is ended below in any case
		leave()
		stop()
		heard.Wait()
	})
	t.Cleanup(b.end)
	return b
}

func (b *tab) note(to *[]string, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*to = append(*to, what)
}

// request notes what is asked of other hosts.
func (b *tab) request(address string) {
	u, err := url.Parse(address)
	if err != nil || u.Host != b.demo.host || u.Scheme != "http" {
		b.note(&b.foreign, address)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
}

// quiet fails the test with what the browser complained of and what it asked for elsewhere.
func (b *tab) quiet(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Errorf("the console has %s", c)
	}
	for _, f := range b.foreign {
		t.Errorf("the page asked for %s", f)
	}
	if b.asked == 0 {
		t.Error("no request was seen")
	}
	b.complaints, b.foreign = nil, nil
}

func (b *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// run evaluates an expression in the page.
func run[T any](t *testing.T, b *tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%v of %s", err, expression)
	}
	return v
}

// sees waits until something holds in the page.
func (b *tab) sees(t *testing.T, what, expression string) {
	t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	deadline := time.After(patience)
	for !run[bool](t, b, "Boolean("+expression+")") {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s\n%s", patience, what,
				run[string](t, b, "document.querySelector('main section:not([hidden])').innerText"))
		}
	}
}

// text is that of an element.
func (b *tab) text(t *testing.T, selector string) string {
	t.Helper()
	return run[string](t, b, "document.querySelector("+strconv.Quote(selector)+").textContent")
}

// texts are those of all elements of a kind.
func (b *tab) texts(t *testing.T, selector string) []string {
	t.Helper()
	return run[[]string](t, b, "[...document.querySelectorAll("+strconv.Quote(selector)+
		")].map(e => e.textContent)")
}

// load loads a view anew and waits until the page is live.
func (b *tab) load(t *testing.T, hash string) {
	t.Helper()
	b.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate(b.demo.page+"/"+hash))
	b.sees(t, "the page is live", "document.querySelector('#connection').dataset.state === 'live'")
}

// prefers tells the page what its user prefers.
func (b *tab) prefers(t *testing.T, features ...string) {
	t.Helper()
	var list []*emulation.MediaFeature
	for i := 0; i+1 < len(features); i += 2 {
		list = append(list, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	params := emulation.SetEmulatedMediaParams{Features: list}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, params); err != nil {
		t.Fatal(err)
	}
}

// shot leaves a screenshot of the whole page where PAGE_SHOTS says.
func (b *tab) shot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("PAGE_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}
