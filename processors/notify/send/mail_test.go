package send_test

import (
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"tallystick/processors/notify/send"
	"tallystick/schemas/tallyv1"
)

// A post is a real SMTP server that does what its fields say.
type post struct {
	mu       sync.Mutex
	mails    []string // that it has taken in whole
	rcpt     func(*smtp.Conn) error
	end      func(*smtp.Conn) error // after the final dot
	password string
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &letter{p: p, c: c}, nil }

func (p *post) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.mails...)
}

type letter struct {
	p      *post
	c      *smtp.Conn
	authed bool
}

func (l *letter) Reset()                               {}
func (l *letter) Logout() error                        { return nil }
func (l *letter) Mail(string, *smtp.MailOptions) error { return l.known() }
func (l *letter) AuthMechanisms() []string             { return []string{sasl.Plain} }
func (l *letter) known() error {
	if l.p.password != "" && !l.authed {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (l *letter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "tally" || password != l.p.password {
			return smtp.ErrAuthFailed
		}
		l.authed = true
		return nil
	}), nil
}

func (l *letter) Rcpt(string, *smtp.RcptOptions) error {
	if l.p.rcpt != nil {
		return l.p.rcpt(l.c)
	}
	return nil
}

func (l *letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l.p.mu.Lock()
	l.p.mails = append(l.p.mails, string(text))
	l.p.mu.Unlock()
	if l.p.end != nil {
		return l.p.end(l.c)
	}
	return nil
}

// open serves p on loopback.
func (p *post) open(t *testing.T, certificate *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(p)
	s.Domain, s.TLSConfig, s.AllowInsecureAuth = "127.0.0.1", certificate, certificate == nil
	s.ErrorLog = silence{}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	return listener.Addr().String()
}

type silence struct{}

func (silence) Printf(string, ...any) {}
func (silence) Println(...any)        {}

func says(code int) func(*smtp.Conn) error {
	return func(*smtp.Conn) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: "because"}
	}
}

func hangsUp(c *smtp.Conn) error {
	_ = c.Conn().Close()
	return errors.New("gone")
}

// TestMailOutcomes has a real server take and refuse mails and fail at all times.
// Only what it has certainly not taken is told as refused.
func TestMailOutcomes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	silent := func(*smtp.Conn) error { <-release; return nil }
	for name, tc := range map[string]struct {
		post  *post
		want  string
		taken int
	}{
		"taken":                         {&post{}, "accepted", 1},
		"unknown recipient":             {&post{rcpt: says(550)}, "refused for good", 0},
		"greylisted":                    {&post{rcpt: says(450)}, "refused", 0},
		"refused after the end":         {&post{end: says(554)}, "refused for good", 1},
		"deferred after the end":        {&post{end: says(451)}, "refused", 1},
		"connection lost before":        {&post{rcpt: hangsUp}, "refused", 0},
		"no answer before":              {&post{rcpt: silent}, "refused", 0},
		"connection lost after the end": {&post{end: hangsUp}, "unsettled", 1},
		"no answer after the end":       {&post{end: silent}, "unsettled", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, results := newSender(t, send.Config{Mail: &send.Mail{
				Address: tc.post.open(t, nil), Security: send.Plain, From: "shop@example.com",
				Command: 300 * time.Millisecond, Final: 300 * time.Millisecond,
			}})
			s.Take(t.Context(), effects(t, tallyv1.Channel_MAIL, "o1"))
			if got := brief(results.next(t)); got != tc.want {
				t.Errorf("the attempt is %s, want %s", got, tc.want)
			}
			if n := len(tc.post.taken()); n != tc.taken {
				t.Errorf("the server has %d mails, want %d", n, tc.taken)
			}
		})
	}
}

// TestMailServerIsGone: nobody listens, so that nothing can have been taken.
func TestMailServerIsGone(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	s, results := newSender(t, send.Config{Mail: &send.Mail{
		Address: address, Security: send.Plain, From: "shop@example.com",
	}})
	s.Take(t.Context(), effects(t, tallyv1.Channel_MAIL, "o1"))
	if got := brief(results.next(t)); got != "refused" {
		t.Errorf("the attempt is %s", got)
	}
}

// TestMailIsProtected logs in over STARTTLS; a wrong password and an unknown
// certificate are about us and not about the mail, and a server without STARTTLS
// gets none.
func TestMailIsProtected(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	t.Cleanup(web.Close)
	roots := web.Client().Transport
	trusted := clientTLS(t, roots)
	certificate := &tls.Config{Certificates: web.TLS.Certificates}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		server   *tls.Config
		trust    *tls.Config
		password string
		want     string
	}{
		"logged in":           {certificate, trusted, "right", "accepted"},
		"wrong password":      {certificate, trusted, "other", "refused"},
		"unknown certificate": {certificate, nil, "right", "refused"},
		"no STARTTLS":         {nil, trusted, "right", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &post{password: tc.password}
			s, results := newSender(t, send.Config{Mail: &send.Mail{
				Address: p.open(t, tc.server), TLS: tc.trust, From: "shop@example.com",
				User: "tally", PasswordFile: secret,
			}})
			s.Take(t.Context(), effects(t, tallyv1.Channel_MAIL, "o1"))
			if got := brief(results.next(t)); got != tc.want {
				t.Errorf("the attempt is %s, want %s", got, tc.want)
			}
			if got := len(p.taken()) == 1; got != (tc.want == "accepted") {
				t.Errorf("taken: %t", got)
			}
		})
	}
}

// TestMailText reads the mail as a receiver does. What the customer's name holds
// becomes no header and no second recipient.
func TestMailText(t *testing.T) {
	t.Parallel()
	p := &post{}
	s, results := newSender(t, send.Config{Mail: &send.Mail{
		Address: p.open(t, nil), Security: send.Plain, From: "Käse & Co <shop@example.com>",
	}})
	for _, name := range []string{"Ada", "Zoë\r\nBcc: eve@example.com\r\n\r\n.\r\nQUIT", `"<x@y>,`} {
		s.Take(t.Context(), []send.Effect{effect(t, tallyv1.Channel_MAIL, "o1", name)})
		if got := brief(results.next(t)); got != "accepted" {
			t.Fatalf("%q: the attempt is %s", name, got)
		}
	}
	for _, text := range p.taken() {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Header) != 9 || m.Header.Get("Bcc") != "" {
			t.Errorf("headers are %v", m.Header)
		}
		to, err := m.Header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != "o1@example.com" {
			t.Errorf("to %v, %v", to, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || subject != "Your order o1 is confirmed" {
			t.Errorf("subject %q, %v", subject, err)
		}
		if id := m.Header.Get("Message-ID"); id != "<c-o1@example.com>" {
			t.Errorf("message id %s", id)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || !strings.Contains(string(body), "we have received 12.34 EUR.") {
			t.Errorf("body %q, %v", body, err)
		}
	}
}

// TestMailTemplates are parsed and tried when the sender is made.
func TestMailTemplates(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"{{", "{{.Nobody}}"} {
		_, err := send.New(t.Context(), send.Config{
			Mail:   &send.Mail{Address: "127.0.0.1:25", From: "shop@example.com", Body: body},
			Report: (&reports{}).take, Now: time.Now,
		})
		if err == nil {
			t.Errorf("%q was accepted", body)
		}
	}
}
