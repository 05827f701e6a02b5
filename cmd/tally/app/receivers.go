package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"tallystick/cmd/tally/app/generate"
)

// receivers are the world outside of a demo: a mail server and a web server on
// this machine that take confirmations, and now and then do not.
type receivers struct {
	mail, web    net.Listener
	mailer       *smtp.Server
	webber       *http.Server
	mu           sync.Mutex
	mails, hooks map[string]int // taken, by receiver and by event id
	busy         map[string]bool
	bounced, put int // refused for good, and put off
	calls        int
	ended        sync.WaitGroup
}

// receive starts the receivers. The caller closes them.
func receive(ctx context.Context) (*receivers, error) {
	r := &receivers{mails: map[string]int{}, hooks: map[string]int{}, busy: map[string]bool{}}
	listen := new(net.ListenConfig)
	var err error
	if r.mail, err = listen.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("demo: mail server: %w", err)
	}
	if r.web, err = listen.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		r.mail.Close()
		return nil, fmt.Errorf("demo: web server: %w", err)
	}
	r.mailer = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailbox{r: r}, nil
	}))
	r.mailer.Domain, r.mailer.ReadTimeout = "localhost", time.Minute
	r.mailer.ErrorLog = log.New(io.Discard, "", 0)
	r.webber = &http.Server{Handler: http.HandlerFunc(r.hook), ReadHeaderTimeout: time.Minute}
	r.ended.Go(func() { r.mailer.Serve(r.mail) }) //nolint:errcheck // it ends when it is closed
	r.ended.Go(func() { r.webber.Serve(r.web) })  //nolint:errcheck // it ends when it is closed
	return r, nil
}

func (r *receivers) close() {
	r.mailer.Close()
	r.webber.Close()
	r.ended.Wait()
}

// smtp and webhook are where they listen.
func (r *receivers) smtp() string    { return r.mail.Addr().String() }
func (r *receivers) webhook() string { return "http://" + r.web.Addr().String() + "/confirmations" }

// received is what the receivers have seen.
type received struct {
	Mails    int `json:"mails"`    // taken
	Webhooks int `json:"webhooks"` // taken
	Bounced  int `json:"bounced"`  // mails refused for good
	Deferred int `json:"deferred"` // attempts that were asked to come again
	Twice    int `json:"twice"`    // what was taken more than once; never
}

func (r *receivers) seen() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := received{Bounced: r.bounced, Deferred: r.put}
	for _, n := range r.mails {
		s.Mails += n
		s.Twice += n - 1
	}
	for _, n := range r.hooks {
		s.Webhooks += n
		s.Twice += n - 1
	}
	return s
}

// puts says that this attempt is to come again later: the first of every
// twentieth that is new.
func (r *receivers) puts(what string) bool {
	if r.busy[what] {
		return false
	}
	r.busy[what] = true
	r.calls++
	if r.calls%20 == 0 {
		r.put++
		return true
	}
	return false
}

// hook is the web server.
func (r *receivers) hook(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(io.LimitReader(in.Body, 1<<20))
	if err != nil || len(body) == 0 {
		http.Error(out, "no body", http.StatusBadRequest)
		return
	}
	var event struct{ ID string }
	if err := json.Unmarshal(body, &event); err != nil || event.ID == "" {
		http.Error(out, "no CloudEvent", http.StatusBadRequest)
		return
	}
	id := event.ID
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.puts("hook " + id) {
		out.Header().Set("Retry-After", "0")
		http.Error(out, "busy", http.StatusServiceUnavailable)
		return
	}
	r.hooks[id]++
	out.WriteHeader(http.StatusNoContent)
}

// A mailbox is one conversation with the mail server.
type mailbox struct {
	r  *receivers
	to string
}

// Mail takes any sender.
func (m *mailbox) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt refuses those who cannot be reached for good, and some for now.
func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.to = to
	if strings.HasSuffix(to, "@"+generate.UnreachableDomain) {
		m.r.bounced++
		return &smtp.SMTPError{
			Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox",
		}
	}
	if m.r.puts("mail " + to) {
		return &smtp.SMTPError{
			Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "come again",
		}
	}
	return nil
}

// Data takes the mail. Its Message-ID tells it from all others.
func (m *mailbox) Data(in io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return err
	}
	id := m.to
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Message-ID") {
			id = strings.TrimSpace(value)
		}
	}
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.r.mails[id]++
	return nil
}

// Reset forgets the mail that was begun.
func (m *mailbox) Reset() { m.to = "" }

// Logout ends the conversation.
func (m *mailbox) Logout() error { return nil }
