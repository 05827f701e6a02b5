package send

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"

	"tallystick/schemas/tallyv1"
)

// Security says how a connection to the mail server is protected.
type Security string

// The kinds of protection. A server that doesn't offer the one that is set is not
// used.
const (
	StartTLS Security = "starttls"
	TLS      Security = "tls"
	Plain    Security = "none" // for a server on the same host
)

// Mail is a server that takes mail for delivery.
type Mail struct {
	// Address is host:port.
	Address  string
	Security Security
	// TLS is for roots of one's own; nil is the system's.
	TLS *tls.Config
	// User and PasswordFile are for AUTH PLAIN; none if User is empty. The file is
	// read anew for each mail.
	User         string
	PasswordFile string
	// From is the sender's address, with or without a name.
	From string
	// Hello is the name that we give to the server; "localhost" if empty.
	Hello string
	// Subject and Body are text/template texts with .OrderID, .Name and .Total; empty
	// is the built-in English one.
	Subject string
	Body    string
	// Connect bounds the way to the first answer, Command each command before the
	// message, Final the wait for the answer to its end; 10 s, 30 s, 2 min. The last
	// should be generous: after it nobody knows.
	Connect time.Duration
	Command time.Duration
	Final   time.Duration

	from     *mail.Address
	template *message
}

func (m *Mail) validate() error {
	for d, v := range map[*time.Duration]time.Duration{
		&m.Connect: 10 * time.Second, &m.Command: 30 * time.Second, &m.Final: 2 * time.Minute,
	} {
		if *d == 0 {
			*d = v
		}
	}
	if m.Hello == "" {
		m.Hello = "localhost"
	}
	if m.Security == "" {
		m.Security = StartTLS
	}
	_, _, addressErr := net.SplitHostPort(m.Address)
	var fromErr, templateErr error
	m.from, fromErr = mail.ParseAddress(m.From)
	m.template, templateErr = newMessage(m.Subject, m.Body)
	return errors.Join(
		need(addressErr == nil, "mail address: %q is not host:port", m.Address),
		need(fromErr == nil, "mail from: %q is not an address", m.From),
		need(m.Security == StartTLS || m.Security == TLS || m.Security == Plain,
			"mail security: %q is not starttls, tls or none", m.Security),
		need((m.User == "") == (m.PasswordFile == ""), "mail: a user needs a password file"),
		need(m.Connect > 0 && m.Command > 0 && m.Final > 0, "mail: a time limit is not above 0"),
		templateErr,
	)
}

// longest is how long an attempt can take.
func (m *Mail) longest() time.Duration {
	const commands = 8
	return m.Connect + commands*m.Command + m.Final
}

// A dialogue is one connection to the server.
type dialogue struct {
	m    *Mail
	conn net.Conn
	now  func() time.Time
	*smtp.Client
}

// within gives the next command its time.
func (d *dialogue) within(t time.Duration) error { return d.conn.SetDeadline(d.now().Add(t)) }

// send sends one mail. Up to the end of the message the server can't have taken it,
// whatever happens; from there on only its answer tells.
func (m *Mail) send(
	ctx context.Context, now func() time.Time, c *tallyv1.SendConfirmation,
) outcome {
	to, err := mail.ParseAddress(c.GetConfirmation().GetOrderConfirmed().GetContact().GetEmail())
	if err != nil {
		return refusedForGood("the customer's address is not one: %v", err)
	}
	text, err := m.template.build(m.from, to.Address, c, now())
	if err != nil {
		return refusedForGood("write the mail: %v", err)
	}
	d, err := m.dial(ctx, now)
	if err != nil { // about us, not about this mail: it may work later
		return refused("%v", err)
	}
	defer d.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = d.conn.Close() })()
	if err := d.introduce(); err != nil {
		return refused("%v", err)
	}
	end, err := d.transmit(to.Address, text)
	if err != nil {
		return answered(err, refused("connection lost before the end of the mail: %v", err))
	}
	return end()
}

// answered is the outcome that an answer of the server tells, or else otherwise.
func answered(err error, otherwise outcome) outcome {
	var said *textproto.Error
	switch {
	case !errors.As(err, &said):
		return otherwise
	case said.Code/100 == 2:
		return accepted()
	case said.Code/100 == 5:
		return refusedForGood("the mail server says %v", said)
	case said.Code/100 == 4:
		return refused("the mail server says %v", said)
	}
	return otherwise
}

func (m *Mail) dial(ctx context.Context, now func() time.Time) (*dialogue, error) {
	bounded, cancel := context.WithTimeout(ctx, m.Connect)
	defer cancel()
	var conn net.Conn
	var err error
	if m.Security == TLS {
		conn, err = (&tls.Dialer{Config: m.tls()}).DialContext(bounded, "tcp", m.Address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(bounded, "tcp", m.Address)
	}
	if err != nil {
		return nil, err
	}
	d := &dialogue{m: m, conn: conn, now: now}
	unhook := context.AfterFunc(bounded, func() { _ = conn.Close() })
	err = d.within(m.Connect)
	if err == nil {
		d.Client, err = smtp.NewClient(conn, m.host())
	}
	if !unhook() && err == nil {
		err = bounded.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return d, nil
}

func (m *Mail) host() string {
	host, _, _ := net.SplitHostPort(m.Address)
	return host
}

func (m *Mail) tls() *tls.Config {
	c := m.TLS.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.ServerName == "" {
		c.ServerName = m.host()
	}
	return c
}

// introduce says who we are.
func (d *dialogue) introduce() error {
	if err := errors.Join(d.within(d.m.Command), d.Hello(d.m.Hello)); err != nil {
		return err
	}
	if d.m.Security == StartTLS {
		if err := errors.Join(d.within(d.m.Command), d.StartTLS(d.m.tls())); err != nil {
			return err
		}
	}
	if d.m.User == "" {
		return nil
	}
	secret, err := os.ReadFile(d.m.PasswordFile)
	if err != nil {
		return err
	}
	auth := smtp.PlainAuth("", d.m.User, strings.TrimRight(string(secret), "\r\n"), d.m.host())
	return errors.Join(d.within(d.m.Command), d.Auth(auth))
}

// transmit hands the mail over up to its end, and returns what says that it was the
// end and hears the answer.
func (d *dialogue) transmit(to string, text []byte) (end func() outcome, err error) {
	limit := d.m.Command
	if err := errors.Join(d.within(limit), d.Mail(d.m.from.Address)); err != nil {
		return nil, err
	}
	if err := errors.Join(d.within(limit), d.Rcpt(to)); err != nil {
		return nil, err
	}
	if err := d.within(limit); err != nil {
		return nil, err
	}
	w, err := d.Data()
	if err != nil {
		return nil, err
	}
	if err := d.within(limit); err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := d.Text.W.Flush(); err != nil { // all but the final dot
		return nil, err
	}
	if err := d.within(d.m.Final); err != nil {
		return nil, err
	}
	return func() outcome {
		if err := w.Close(); err != nil {
			return answered(err, unsettled("no answer to the end of the mail: %v", err))
		}
		if d.within(d.m.Command) == nil {
			_ = d.Quit() // the mail is taken, whatever comes of this
		}
		return accepted()
	}, nil
}
