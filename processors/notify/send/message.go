package send

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strconv"
	"strings"
	"text/template"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

const (
	defaultSubject = "Your order {{.OrderID}} is confirmed"
	defaultBody    = `Dear {{if .Name}}{{.Name}}{{else}}customer{{end}},

your order {{.OrderID}} is confirmed: we have received {{.Total}}.

This mail was written by a machine.
`
)

// A message is how mails are written.
type message struct{ subject, body *template.Template }

// words are what templates can say.
type words struct{ OrderID, Name, Total string }

func newMessage(subject, body string) (*message, error) {
	if subject == "" {
		subject = defaultSubject
	}
	if body == "" {
		body = defaultBody
	}
	m := &message{}
	var err error
	if m.subject, err = template.New("subject").Parse(subject); err != nil {
		return nil, fmt.Errorf("send: mail subject: %w", err)
	}
	if m.body, err = template.New("body").Parse(body); err != nil {
		return nil, fmt.Errorf("send: mail body: %w", err)
	}
	if _, _, err := m.text(words{}); err != nil {
		return nil, fmt.Errorf("send: mail template: %w", err)
	}
	return m, nil
}

func (m *message) text(w words) (subject, body string, err error) {
	var s, b strings.Builder
	if err := m.subject.Execute(&s, w); err != nil {
		return "", "", err
	}
	if err := m.body.Execute(&b, w); err != nil {
		return "", "", err
	}
	return oneLine(s.String(), 500), b.String(), nil
}

// build writes the mail. What comes from elsewhere is encoded wherever it could be
// taken for a header or for the end of one.
func (m *message) build(
	from *mail.Address, to string, c *tallyv1.SendConfirmation, now time.Time,
) ([]byte, error) {
	o := c.GetConfirmation().GetOrderConfirmed()
	name := oneLine(o.GetContact().GetName(), 200)
	subject, body, err := m.text(words{
		OrderID: c.GetOrderId(), Name: name, Total: amount(o.GetTotal()),
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", (&mail.Address{Name: name, Address: to}).String()},
		{"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", now.UTC().Format(time.RFC1123Z)},
		{"Message-ID", messageID(c.GetEventId(), from.Address)},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// messageID is the same for every attempt, so that receivers can tell that they
// have had the mail.
func messageID(event, from string) string {
	return "<" + MailID(event) + from[strings.LastIndexByte(from, '@'):] + ">"
}

// MailID is what the Message-ID of a mail about an event has before its "@": the id
// of the event, or its hash if that could not stand in a header.
func MailID(event string) string {
	plain := event != "" && len(event) <= 100 && strings.IndexFunc(event, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && r != '-' && r != '_'
	}) < 0
	if !plain {
		return schemas.EventID("Message-ID", event)
	}
	return event
}

// amount writes money for people, with the decimals of its currency.
func amount(m *tallyv1.Money) string {
	decimals := 2
	switch m.GetCurrency() {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI",
		"VND", "VUV", "XAF", "XOF", "XPF":
		decimals = 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		decimals = 3
	case "CLF", "UYW":
		decimals = 4
	}
	digits := strconv.FormatInt(m.GetMinor(), 10)
	if missing := decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if decimals > 0 {
		digits = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
	}
	return digits + " " + m.GetCurrency()
}
