package page_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tallystick/cmd/tally/app"
	"tallystick/test/kafkatest"
)

// A shop is the chain on a real broker, in two processes: the desk, whose page is
// looked at, and the back, which alone runs confirm. Both have a part of the views.
type shop struct {
	*demo
	t      *testing.T
	binary string
	post   string
	desk   *crew
	back   *crew
}

// A crew is one process, in one of its lives.
type crew struct {
	address string
	kill    func()
	log     *lines
}

// waiting is how many orders nobody pays for, and how many more are placed while the
// back is away.
const waiting, more = 12, 4

const allWell = "document.querySelectorAll('#map .light:not(.good)').length === 0"

// TestTwoWorkers drives the page of one of two workers while the other one is killed,
// stays away and comes back. What the page cannot know it names, and what it can it
// shows.
func TestTwoWorkers(t *testing.T) {
	path := browser(t)
	s := openShop(t, kafkatest.Start(t, kafkatest.OfKind(kafkatest.Process)))
	b := open(t, path, s.demo)
	for _, step := range []struct {
		name string
		test func(*testing.T, *tab, *shop)
	}{
		{"both", seesBoth},
		{"killed", seesWhatIsMissing},
		{"away", seesWhoIsAway},
		{"back", seesAllAgain},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			step.test(t, b, s)
			b.quiet(t)
		}) {
			return
		}
	}
}

// seesBoth holds that the page of one worker shows what both do and have.
func seesBoth(t *testing.T, b *tab, s *shop) {
	b.load(t, "#/")
	b.sees(t, "nothing is unread", "document.querySelector('#tile-lag').textContent === '0'")
	b.sees(t, "every service is well", allWell)
	for processor, want := range map[string]string{
		"orders": "desk", "confirm": "back", "views": "back, desk",
	} {
		if got := b.text(t, "#grid tr[data-processor="+processor+"] .workers"); got != want {
			t.Errorf("%s is run by %q, want %q", processor, got, want)
		}
	}
	b.shot(t, "two-map")
	s.whole(t, b, waiting)
	b.shot(t, "two-buffers")
	for n := range waiting { // some are the desk's, some the back's
		s.story(t, b, n)
	}
	b.load(t, "#/dead-letters")
	b.sees(t, "the dead letters", "document.querySelectorAll('.letters > li').length > 0")
}

// seesWhatIsMissing kills the back. For a while the group still counts on it: its
// part of the views is missing, by name, and the rest is there.
func seesWhatIsMissing(t *testing.T, b *tab, s *shop) {
	b.load(t, "#/buffers")
	s.back.kill()
	const about = "document.querySelector('#buffers-about').textContent"
	b.sees(t, "what is missing",
		about+".includes('Without 2 partitions whose worker does not answer: ')")
	b.sees(t, "that there are more", `['#orders-count', '#payments-count', '#tile-orders'].every(
		(id) => document.querySelector(id).textContent.startsWith('≥ '))`)
	b.sees(t, "that it is told",
		"document.querySelector('#announce').textContent.includes('Without 2')")
	for selector, want := range map[string]string{
		"#orders-money td": "≥ ", "#longest caption": "The oldest ",
	} {
		if got := b.text(t, selector); !strings.HasPrefix(got, want) {
			t.Errorf("%s says %q, want %q and more", selector, got, want)
		}
	}
	b.shot(t, "two-missing")
	b.legible(t, "missing")
	for n := range more {
		s.place(t, waiting+n)
	}
	s.story(t, b, waiting+more-1)
	b.load(t, "#/dead-letters")
	b.sees(t, "the dead letters", "document.querySelectorAll('.letters > li').length > 0")
}

// seesWhoIsAway holds that the desk takes over what it can, and that the page says who
// is lacking.
func seesWhoIsAway(t *testing.T, b *tab, s *shop) {
	b.load(t, "#/")
	b.sees(t, "that nobody runs confirm", `document.querySelector(
		'#map g[data-service=confirm] .rate').textContent === 'no worker'`)
	b.sees(t, "that none does", `document.querySelector(
		'#grid tr[data-processor=confirm] .workers.bad').textContent === 'none'`)
	b.sees(t, "that it is bad", "document.querySelector('#map g[data-service=confirm] .light.bad')")
	b.sees(t, "that something is unread", "document.querySelector('#tile-lag').textContent !== '0'")
	b.sees(t, "who has the views", `document.querySelector(
		'#grid tr[data-processor=views] .workers').textContent === 'desk'`)
	b.shot(t, "two-away")
	b.legible(t, "away")
	s.whole(t, b, waiting+more)
	for n := range waiting + more {
		s.story(t, b, n)
	}
}

// seesAllAgain starts the back again: it does what was left, and all is well.
func seesAllAgain(t *testing.T, b *tab, s *shop) {
	b.load(t, "#/")
	s.back = s.hire("back", "confirm", "views")
	b.sees(t, "nothing is unread", "document.querySelector('#tile-lag').textContent === '0'")
	b.sees(t, "every service is well", allWell)
	b.sees(t, "who has the views", `document.querySelector(
		'#grid tr[data-processor=views] .workers').textContent === 'back, desk'`)
	s.whole(t, b, waiting+more)
	s.story(t, b, 0)
	b.shot(t, "two-again")
}

// whole holds that the buffers are those of both workers.
func (s *shop) whole(t *testing.T, b *tab, orders int) {
	t.Helper()
	b.load(t, "#/buffers")
	b.sees(t, fmt.Sprintf("%d orders wait", orders), fmt.Sprintf(
		"document.querySelector('#orders-count').textContent === '%d'", orders))
	b.sees(t, "nothing is missing", `document.querySelector('#buffers-about').textContent ===
		'From the views of all workers.'`)
}

// story holds that the page tells what happened to an order.
func (s *shop) story(t *testing.T, b *tab, n int) {
	t.Helper()
	b.load(t, "#/order/"+orderID(n))
	b.sees(t, "the story of "+orderID(n), `[...document.querySelectorAll('.timeline > li h3')].some(
		(e) => e.textContent === 'PlaceOrder')`)
	if got := b.text(t, ".story-head .id"); got != orderID(n) {
		t.Errorf("the story is of %q, want %q", got, orderID(n))
	}
}

// legible holds that what is shown can be read in both schemes, and on a phone.
func (b *tab) legible(t *testing.T, name string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.prefers(t, "prefers-color-scheme", scheme)
		for _, faint := range run[[]string](t, b, contrasts) {
			t.Errorf("%s, %s: %s", name, scheme, faint)
		}
		b.shot(t, "two-"+name+"-"+scheme)
	}
	b.prefers(t)
	b.do(t, chromedp.EmulateViewport(360, 800))
	if got := run[int64](t, b, "document.documentElement.scrollWidth"); got > 360 {
		t.Errorf("%s is %d wide at 360", name, got)
	}
	b.shot(t, "two-"+name+"-narrow")
	b.do(t, chromedp.EmulateViewport(1600, 1000))
	for _, wrong := range run[[]string](t, b, faults) {
		t.Errorf("%s: %s", name, wrong)
	}
}

func orderID(n int) string { return fmt.Sprintf("wait-%02d", n) }

// openShop starts both workers, and waits until they have done what there was to do.
func openShop(t *testing.T, broker *kafkatest.Broker) *shop {
	t.Helper()
	post := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(post.Close)
	s := &shop{
		t: t, binary: filepath.Join(t.TempDir(), "tally"), post: post.URL,
		demo: &demo{brokers: strings.Join(broker.Addrs(), ",")},
	}
	build := exec.Command("go", "build", "-o", s.binary, "tallystick/cmd/tally")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tally: %v\n%s", err, out)
	}
	s.run("topics", "apply", "--partitions", "4")
	s.run("load", "--generate", "--orders", "100", "--seed", "5")
	s.back = s.hire("back", "confirm", "views")
	s.desk = s.hire("desk", "rekey", "orders", "inventory", "fraud", "details", "validate", "notify",
		"views")
	s.host, s.page = s.desk.address, "http://"+s.desk.address
	for n := range waiting {
		s.place(t, n)
	}
	return s
}

// run runs a verb, which must succeed.
func (s *shop) run(args ...string) {
	s.t.Helper()
	var out, said bytes.Buffer
	m := app.New(&out, &said)
	m.LookupEnv = func(string) (string, bool) { return "", false }
	if code := m.Run(s.t.Context(), append(args, "--brokers", s.brokers, "--chain")); code != 0 {
		s.t.Fatalf("tally %s: exit code %d\n%s%s", strings.Join(args, " "), code, &out, &said)
	}
}

// hire starts a process with some of the services, and waits for its address.
func (s *shop) hire(name string, services ...string) *crew {
	s.t.Helper()
	args := append([]string{
		"run", "--brokers", s.brokers, "--chain", "--instance", name, "--log-format", "json",
		"--state", "memory", "--interval", "100ms", "--session-timeout", "25s", "--webhook", s.post,
	}, services...)
	c := &crew{log: &lines{}}
	cmd := exec.Command(s.binary, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, c.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() //nolint:errcheck // how it ended is in its log
	}()
	c.kill = func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		<-ended
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended already
		<-ended
		if s.t.Failed() {
			s.t.Logf("the log of %s:\n%s", name, c.log)
		}
	})
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for deadline := time.After(patience); c.address == ""; {
		select {
		case <-tick.C:
			c.address = c.log.address()
		case <-ended:
			s.t.Fatalf("%s has ended:\n%s", name, c.log)
		case <-deadline:
			s.t.Fatalf("%s says no address:\n%s", name, c.log)
		}
	}
	return c
}

// place asks the desk for an order that nobody pays for, as often as it takes.
func (s *shop) place(t *testing.T, n int) {
	t.Helper()
	body := fmt.Sprintf(`{"orderId":%q,"customerId":"ann","total":{"minor":900,"currency":"EUR"}}`,
		orderID(n))
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for said, deadline := "", time.After(patience); ; {
		out, err := http.Post(s.page+"/orders", "application/json", strings.NewReader(body))
		if err != nil {
			said = err.Error()
		} else {
			text, _ := io.ReadAll(out.Body)
			out.Body.Close()
			if said = string(text); out.StatusCode == http.StatusAccepted {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is not taken: %s", orderID(n), said)
		}
	}
}

// lines take a worker's log while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// address is what the worker said about where it answers.
func (l *lines) address() string {
	for line := range strings.Lines(l.String()) {
		var e struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == "http" {
			return e.Address
		}
	}
	return ""
}
