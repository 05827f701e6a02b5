package notify_test

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// counts are how often each event was taken by a receiver.
type counts struct {
	mu    sync.Mutex
	taken map[string]int
	rng   *rand.Rand
}

func newCounts(seed uint64) *counts {
	return &counts{taken: map[string]int{}, rng: rand.New(rand.NewPCG(seed, seed))}
}

// roll throws a die.
func (c *counts) roll(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

func (c *counts) take(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[id]++
}

func (c *counts) of(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken[id]
}

func (c *counts) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 0
	for _, n := range c.taken {
		most = max(most, n)
	}
	return most
}

// webhook is a receiver that mostly takes what comes, and otherwise refuses it,
// or takes it and answers nothing.
func (c *counts) webhook(t *testing.T) string {
	t.Helper()
	web := httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			var e struct {
				ID string `json:"id"`
			}
			if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
				return
			}
			switch c.roll(12) {
			case 0, 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				w.WriteHeader(http.StatusGone)
			case 3:
				c.take(e.ID)
				if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
					_ = conn.Close()
				}
			default:
				c.take(e.ID)
			}
		}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.Start()
	t.Cleanup(web.Close)
	return web.URL
}

// mailbox is a mail server of the same kind.
func (c *counts) mailbox(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) {
		return &session{c, conn}, nil
	}))
	s.Domain, s.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	return listener.Addr().String()
}

type session struct {
	c    *counts
	conn *smtp.Conn
}

func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	if s.c.roll(8) == 0 {
		return &smtp.SMTPError{Code: 450, Message: "later"}
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return err
	}
	if s.c.roll(20) == 0 {
		return &smtp.SMTPError{Code: 554, Message: "no"}
	}
	id, _, _ := strings.Cut(strings.Trim(m.Header.Get("Message-ID"), "<>"), "@")
	s.c.take(id)
	if s.c.roll(12) == 0 {
		_ = s.conn.Conn().Close()
		return errors.New("gone")
	}
	return nil
}
