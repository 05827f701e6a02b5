package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/lovoo/goka"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/notify"
	"tallystick/processors/notify/send"
	"tallystick/schemas"
	"tallystick/topology"
)

// sending says where confirmations are sent to.
type sending struct {
	smtp, security, user, passwordFile, from string
	webhook, tokenFile                       string
	ahead                                    int
}

// register adds the flags of notify.
func (s *sending) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.smtp, "smtp", "", "mail server, `HOST:PORT`, by which notify tells customers")
	f.StringVar(&s.security, "smtp-security", string(send.StartTLS), "starttls, tls or none")
	f.StringVar(&s.user, "smtp-user", "", "user name for the mail server")
	f.StringVar(&s.passwordFile, "smtp-password-file", "", "file that holds the password for it")
	f.StringVar(&s.from, "mail-from", "", "sender's address of the mails")
	f.StringVar(&s.webhook, "webhook", "",
		"`URL` to which notify posts each confirmation, a CloudEvent")
	f.StringVar(&s.tokenFile, "webhook-token-file", "", "file that holds a bearer token for it")
	f.IntVar(&s.ahead, "notify-ahead", defaultAhead,
		"how many attempts may be on their way at one time, which is of how many nobody knows the "+
			"outcome, at most, when the worker is killed")
}

// validate names what is wrong with the settings of notify.
func (s *sending) validate() error {
	if s.smtp != "" && s.from == "" {
		return usageError("for example --mail-from shop@example.org", "--smtp needs --mail-from")
	}
	if (s.user == "") != (s.passwordFile == "") {
		return usageError("the password is the content of a file, never an argument",
			"--smtp-user and --smtp-password-file belong together")
	}
	if s.ahead < leastAhead || s.ahead > mostAhead {
		return usageError("its default is "+strconv.Itoa(defaultAhead),
			"--notify-ahead %d is not from %d to %d", s.ahead, leastAhead, mostAhead)
	}
	switch send.Security(s.security) {
	case send.StartTLS, send.TLS, send.Plain, "":
	default:
		return usageError("use starttls, tls or none", "--smtp-security has no %q", s.security)
	}
	if s.user != "" && s.security == string(send.Plain) {
		return usageError("use --smtp-security starttls or tls",
			"the password would travel in the clear")
	}
	if u, err := url.Parse(s.webhook); s.webhook != "" && (err != nil || u.Host == "" ||
		u.Scheme != "http" && u.Scheme != "https" || u.User != nil) {
		return usageError("for example --webhook https://shop.example.org/confirmations; "+
			"a secret goes into --webhook-token-file", "--webhook is no URL of a receiver")
	}
	return nil
}

// channels is in how many ways a confirmation is told.
func (s *sending) channels() int {
	n := 0
	for _, to := range []string{s.smtp, s.webhook} {
		if to != "" {
			n++
		}
	}
	return n
}

// shares divides ahead, which is what may be on its way at one time: what waits in the
// queue and is with the senders, and the gates that a transaction opens. It has its
// records and as many timers; each opens a gate for each channel.
func (s *sending) shares() (queue, records int) {
	const each = 2
	ahead := cmp.Or(s.ahead, defaultAhead)
	queue = ahead / 8
	return queue, (ahead - queue - senders) / (each * max(s.channels(), 1))
}

// rules are those of notify, as far as they follow from where to send.
func (s *sending) rules(r notify.Rules) notify.Rules {
	r.Mail, r.Webhook = s.smtp != "", s.webhook != ""
	return r
}

// A dispatch is the sender of a worker and the client by which it reports.
type dispatch struct {
	sender *send.Sender
	client *kgo.Client
}

// newDispatch makes the sender of the worker. The caller closes it.
func (c workerConfig) newDispatch(ctx context.Context, now func() time.Time) (*dispatch, error) {
	s := c.sending
	opts := append([]kgo.Opt{kgo.SeedBrokers(c.brokers...)}, c.client...)
	// Results come one by one, and each sender waits for its own.
	opts = append(append(opts, producerOptions()...), kgo.ProducerLinger(0))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	queue, _ := s.shares()
	cfg := send.Config{
		Now: now, Logger: c.log.With("group", c.names.Group(topology.Notify)),
		Workers: senders, Queue: queue, MaxBlock: sendersBlock,
		Report: func(ctx context.Context, key string, value []byte) error {
			return client.ProduceSync(ctx, &kgo.Record{
				Topic: c.names.NotifyResults, Key: []byte(key), Value: value,
			}).FirstErr()
		},
	}
	if s.smtp != "" {
		cfg.Mail = &send.Mail{
			Address: s.smtp, Security: send.Security(s.security), User: s.user,
			PasswordFile: s.passwordFile, From: s.from,
		}
	}
	if s.webhook != "" {
		cfg.Webhook = &send.Webhook{
			URL: s.webhook, TokenFile: s.tokenFile, Source: c.names.Group(topology.Notify),
		}
	}
	sender, err := send.New(ctx, cfg)
	if err != nil {
		client.Close()
		return nil, usageError(seeHelp, "%w", err)
	}
	if gate := c.rules.notify.Gate; gate <= sender.Longest() {
		err := usageError(fmt.Sprintf("an attempt can take %v", sender.Longest()),
			"--notify-gate %v lets nothing be sent", gate)
		client.Close()
		return nil, errors.Join(err, sender.Close(ctx))
	}
	if s.channels() == 0 {
		c.log.Warn("notify tells nobody: neither --smtp nor --webhook is set")
	}
	return &dispatch{sender, client}, nil
}

const (
	// senders is how many attempts are made at a time.
	senders = 32
	// defaultAhead is how many attempts may be on their way at one time. Receivers and
	// reports set the pace: more does not make it faster.
	defaultAhead = 1000
	leastAhead   = 100
	// mostAhead is because the queue is memory that is taken at once.
	mostAhead = 100_000
	// sendersBlock is how long transactions wait for room in the queue of attempts
	// before some are put off: receivers set the pace, not the records.
	sendersBlock = 10 * time.Second
)

// take hands effects of the engine to the sender.
func (d *dispatch) take(ctx context.Context, list []engine.Effect) {
	effects := make([]send.Effect, len(list))
	for i, one := range list {
		effects[i] = send.Effect(one)
	}
	d.sender.Take(ctx, effects)
}

// lastSends is how long a worker that ends waits for what is being sent.
const lastSends = 20 * time.Second

// close waits for what is being sent, and not for long.
func (d *dispatch) close(ctx context.Context, log *slog.Logger) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSends)
	defer cancel()
	if err := d.sender.Close(bounded); err != nil {
		log.Warn("some results of sending are lost; they end as unresolved", "error", err)
	}
	d.client.Close()
}

func notifyProcessor() processor {
	return processor{
		name: topology.Notify, row: rowsOf(schemas.NotifyRows),
		graph: func(w wiring, wrap wrapper) *goka.GroupGraph {
			rules := w.rules.notify
			rules.RepeatSpeech = w.repeats()
			return rules.Define(notifyTopics(w), wrap)
		},
		engine: func(w wiring, c *engine.Config) {
			c.Timers = &engine.Timers{Deadline: schemas.NotifyRowDeadline, Version: 1, Wall: true}
			_, c.MaxRecords = w.sending.shares()
			c.Effects = map[string]func(context.Context, []engine.Effect){
				notifyTopics(w).Effects(): w.effects,
			}
		},
		sends: true,
	}
}

func notifyTopics(w wiring) notify.Topics {
	return notify.Topics{
		Group: w.names.Group(topology.Notify), Confirmations: w.names.Confirmations,
		Results: w.names.NotifyResults, Notices: w.names.Notices, JSON: w.json,
	}
}
