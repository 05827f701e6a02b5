package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"tallystick/query/audit"
)

// A town is a cluster with the whole chain at work, and receivers of confirmations
// that hang up on some: nobody knows then whether they took them.
type town struct {
	t   *testing.T
	at  string
	run []string

	mu    sync.Mutex
	tried map[string]int // calls of the webhook, by order
}

// How the webhook treats an order, by its name.
const (
	hangsUp  = "hangup"
	comes    = "later" // refused for now at first, then hung up on
	busy     = "busy"  // always refused for now
	gone     = "gone"
	pleasant = "fine"
)

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{t: t, at: cluster(t), tried: map[string]int{}}
	hook := httptest.NewUnstartedServer(http.HandlerFunc(w.receive))
	hook.Config.ErrorLog = log.New(io.Discard, "", 0)
	hook.Start()
	t.Cleanup(hook.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	post := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &clerk{conn: c}, nil
	}))
	post.Domain, post.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	go func() { _ = post.Serve(listener) }()
	t.Cleanup(func() { _ = post.Close() })
	w.run = []string{
		"--interval=20ms", "--webhook", hook.URL, "--smtp", listener.Addr().String(),
		"--smtp-security=none", "--mail-from=shop@example.org", "--notify-backoff=50ms",
	}
	tally(t, ExitOK, "topics", "apply", w.at, "--chain", "--partitions", "3")
	return w
}

// receive is the webhook.
func (w *town) receive(out http.ResponseWriter, in *http.Request) {
	var e struct {
		Subject string `json:"subject"`
	}
	if err := json.NewDecoder(in.Body).Decode(&e); err != nil {
		return
	}
	w.mu.Lock()
	w.tried[e.Subject]++
	first := w.tried[e.Subject] == 1
	w.mu.Unlock()
	kind, _, _ := strings.Cut(e.Subject, "-")
	switch {
	case kind == busy, kind == comes && first:
		out.WriteHeader(http.StatusServiceUnavailable)
	case kind == gone:
		out.WriteHeader(http.StatusGone)
	case kind == pleasant:
		out.WriteHeader(http.StatusNoContent)
	default:
		if conn, _, err := http.NewResponseController(out).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

// A clerk is a conversation with the mail server, which hangs up on mails to ann when
// it has them.
type clerk struct {
	conn *smtp.Conn
	to   string
}

func (c *clerk) Reset()                                    {}
func (c *clerk) Logout() error                             { return nil }
func (c *clerk) Mail(string, *smtp.MailOptions) error      { return nil }
func (c *clerk) Rcpt(to string, _ *smtp.RcptOptions) error { c.to = to; return nil }
func (c *clerk) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if strings.HasPrefix(c.to, "ann@") {
		_ = c.conn.Conn().Close()
		return errors.New("gone")
	}
	return nil
}

// buy has each order placed and paid by a customer.
func (w *town) buy(customer string, orders ...string) {
	w.t.Helper()
	known := filepath.Join(w.t.TempDir(), "known.jsonl")
	lines := fmt.Sprintf(`{"customerUpdated":{"customerId":%q,"email":"%s@customers.example"}}
{"productUpdated":{"productId":"tea"}}
{"stockCounted":{"productId":"tea","quantity":"100"}}
`, customer, customer)
	for _, o := range orders {
		lines += fmt.Sprintf(`{"paymentReceived":{"paymentId":"p-%s","orderId":%q,`+
			`"amount":{"minor":"450","currency":"EUR"}}}`+"\n", o, o)
	}
	write(w.t, known, lines)
	tally(w.t, ExitOK, "load", w.at, "--chain", known)
	for _, o := range orders {
		tally(w.t, ExitOK, "order", "place", o, w.at, "--chain", "--customer="+customer,
			"--line=tea:1:450")
	}
}

// notices runs tally notices.
func (w *town) notices(code int, line string, more ...string) (out, said string) {
	w.t.Helper()
	args := append([]string{"notices"}, strings.Fields(line)...)
	return tally(w.t, code, append(append(args, w.at, "--chain"), more...)...)
}

// ls returns what tally notices ls prints, one word a notice, once there are n.
func (w *town) ls(n int, more ...string) map[string]shownNotice {
	w.t.Helper()
	var all map[string]shownNotice
	waitFor(w.t, func() bool {
		out, _ := w.notices(ExitOK, "ls -o json", more...)
		all = map[string]shownNotice{}
		for line := range strings.Lines(out) {
			var one shownNotice
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				w.t.Fatalf("%v in %s", err, line)
			}
			all[one.Order+" "+one.Channel] = one
		}
		return len(all) >= n
	})
	if len(all) != n {
		w.t.Errorf("%d notices, want %d: %v", len(all), n, all)
	}
	return all
}

// resolve returns what tally notices resolve prints.
func (w *town) resolve(line string, more ...string) resolved {
	w.t.Helper()
	out, _ := w.notices(ExitOK, "resolve -o json --by=bea "+line, more...)
	var done resolved
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		w.t.Fatalf("%v in %s", err, out)
	}
	return done
}

// contains fails the test unless text has every part.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, want := range parts {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestNotices is the day of who looks after what nobody knows: find it, look into the
// logs of the receivers, say what was there.
func TestNotices(t *testing.T) {
	w := newTown(t)
	aWorker(t, w.at, "one", append(w.run, "--chain")...)
	w.buy("ann", "hangup-1", "fine-1")
	w.buy("bob", "hangup-2", "later-1", "gone-1", "busy-1")
	list := w.ls(5)
	for key, state := range map[string]string{
		"hangup-1 mail": noticeUnresolved, "hangup-1 webhook": noticeUnresolved,
		"fine-1 mail": noticeUnresolved, "hangup-2 webhook": noticeUnresolved,
		"later-1 webhook": noticeUnresolved,
	} {
		if one := list[key]; one.State != state || one.Confirmation == "" ||
			!strings.HasSuffix(one.LookFor, " "+one.Confirmation) || one.ID == "" {
			t.Errorf("%s: %+v", key, one)
		}
	}
	w.ls(2, "--channel=mail", "--since=1h")
	w.ls(0, "--since=2999-01-01T00:00:00Z")
	all := w.ls(11, "--all")
	if all["gone-1 webhook"].State != noticeBounced || all["fine-1 webhook"].State != noticeSent {
		t.Errorf("all: %+v", all)
	}
	out, said := w.notices(ExitOK, "ls --limit 1")
	contains(t, out, "LOOK FOR", "unresolved", "notices/")
	contains(t, said, "the latest 1 of 5 are shown")
	id := list["hangup-1 mail"].Confirmation
	out, _ = w.notices(ExitOK, "show hangup-1")
	contains(t, out, "mail: unresolved, attempt 1", "look for Message-ID "+id, "look for id "+id,
		"AttemptUnsettled", "ConfirmationUnresolved", "tally-notify-results/", "--channel webhook --sent")
	w.answered(list)
	w.looked()
}

// answered resolves what is unresolved.
func (w *town) answered(list map[string]shownNotice) {
	t := w.t
	t.Helper()
	_, said := w.notices(ExitUsage, "resolve hangup-1 --sent")
	contains(t, said, "in several ways, of which 2 are unresolved", "--channel mail")
	sent := w.resolve("hangup-1 --channel=mail --sent", "--reason=queue id 4711")
	again := w.resolve("hangup-1 --channel=mail --sent")
	if sent.Known || !again.Known || sent.Notice != again.Notice || sent.Result == "" ||
		sent.State != noticeSent || again.Result != "" {
		t.Errorf("%+v, then %+v", sent, again)
	}
	_, said = w.notices(ExitError, "resolve hangup-1 --channel=mail --bounced --reason=r")
	contains(t, said, "mail was said to be sent, at "+sent.Notice)
	bounced := w.resolve("hangup-1 --bounced", "--reason=not in its log")
	if bounced.Channel != "webhook" || bounced.State != noticeBounced || bounced.Known {
		t.Errorf("%+v", bounced)
	}
	out, _ := w.notices(ExitOK, "show hangup-1")
	contains(t, out, "mail: sent, attempt 1", "webhook: bounced, attempt 1: not in its log",
		"attempt 1, by bea, queue id 4711", "attempt 1, not in its log, by bea",
		"webhook, 1 attempt, not in its log")
	if second := w.resolve("later-1 --sent"); second.Attempt != 2 {
		t.Errorf("the second attempt is %+v", second) // of webhook: the mail was sent
	}
	if one := w.resolve("gone-1 --channel=webhook --bounced", "--reason=r"); !one.Known {
		t.Errorf("what has bounced by itself: %+v", one)
	}
	_, said = w.notices(ExitError, "resolve busy-1 --channel=webhook --sent")
	contains(t, said, "webhook was refused for now, and is tried again")
	_, said = w.notices(ExitError, "resolve gone-1 --sent")
	contains(t, said, "nothing is unresolved, by mail or by webhook")
	_, said = w.notices(ExitError, "resolve nobody --sent")
	contains(t, said, "nothing is known of telling anybody about order")
	w.ls(2) // fine-1 by mail, hangup-2 by webhook
}

// looked holds that what looks back knows of what was resolved.
func (w *town) looked() {
	t := w.t
	t.Helper()
	out, _ := tally(t, ExitOK, "explain", "hangup-1", w.at, "--chain", "-o", "json")
	contains(t, out, "AttemptAccepted", "ConfirmationSent", "not in its log")
	out, _ = tally(t, ExitOK, "audit", w.at, "--chain", "-o", "json")
	if r := report(t, out); r.Audit != audit.OK || r.Causes.Unresolved != 2 {
		t.Errorf("audit: %s", out)
	}
	out, _ = tally(t, ExitOK, "audit", w.at, "--chain")
	contains(t, out, "nobody knows how 2 notices ended, see tally notices ls")
}

// TestResolveWithoutWorker says what nobody takes in until a worker comes back: once,
// and nobody can say otherwise meanwhile.
func TestResolveWithoutWorker(t *testing.T) {
	w := newTown(t)
	_, end := aWorker(t, w.at, "one", append(w.run, "--chain")...)
	w.buy("bob", "hangup-1", "hangup-2")
	w.ls(2)
	end()
	resolve := "resolve hangup-1 --by=bea --wait=300ms "
	_, said := w.notices(ExitError, resolve+"--sent")
	contains(t, said, "no worker of tally-notify has done it within 300ms")
	place := said[strings.Index(said, "tally-notify-results/"):]
	place, _, _ = strings.Cut(place, ",")
	_, said = w.notices(ExitError, resolve+"--sent")
	contains(t, said, "it is asked for at "+place+",")
	_, said = w.notices(ExitError, resolve+"--bounced --reason=r")
	contains(t, said, "AttemptAccepted at "+place+" says otherwise")
	w.ls(2)
	aWorker(t, w.at, "one", append(w.run, "--chain")...)
	if done := w.resolve("hangup-1 --channel=webhook --sent"); done.State != noticeSent ||
		done.Notice == "" {
		t.Errorf("%+v", done)
	}
	w.ls(1)
	out, _ := w.notices(ExitOK, "show hangup-1")
	if n := strings.Count(out, "AttemptAccepted"); n != 2 { // of the mail, and bea's
		t.Errorf("%d results in\n%s", n, out)
	}
}

// TestResolveUnderWay refuses what may still end by itself.
func TestResolveUnderWay(t *testing.T) {
	w := newTown(t)
	hold := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer slow.Close()
	defer close(hold)
	w.run[2] = slow.URL
	aWorker(t, w.at, "one", append(w.run, "--chain")...)
	w.buy("bob", "slow-1")
	waitFor(t, func() bool {
		c := newCommand()
		code := c.Run(t.Context(), []string{"notices", "show", "slow-1", w.at, "--chain"})
		return code == ExitOK && strings.Contains(c.out.String(), "webhook: open, attempt 1, until ")
	})
	_, said := w.notices(ExitError, "resolve slow-1 --channel=webhook --sent")
	contains(t, said, "an attempt by webhook is under way", time.Now().UTC().Format(time.DateOnly))
}
