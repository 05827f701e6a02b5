package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/api"
	"tallystick/query/history"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/state"
	"tallystick/topology"
)

// reaching says how others reach a worker over HTTP.
type reaching struct {
	advertise, tokenFile string
}

func (r *reaching) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.advertise, "advertise", "",
		"`HOST:PORT` under which other workers reach --http (default: the address itself)")
	f.StringVar(&r.tokenFile, "http-token-file", "",
		"file that holds the token of those who may write over HTTP from elsewhere")
}

// A door is the address of a worker, taken before there is a worker behind it, so
// that the worker can say where it is.
type door struct {
	listener  net.Listener
	address   string
	advertise string
	token     string
}

// door takes the address, if one is asked for. The caller closes it.
func (m *Main) door(ctx context.Context, address string, r reaching) (*door, error) {
	d := &door{}
	if r.tokenFile != "" {
		text, err := os.ReadFile(r.tokenFile)
		if err != nil {
			return nil, hinted("check --http-token-file", "http: %w", err)
		}
		if d.token = strings.TrimSpace(string(text)); len(d.token) < minToken {
			return nil, usageError("for example the output of openssl rand -hex 16",
				"the token in %s has less than %d characters", r.tokenFile, minToken)
		}
	}
	if address == off || address == "" {
		return d, nil
	}
	if r.advertise != "" {
		if _, _, err := net.SplitHostPort(r.advertise); err != nil {
			return nil, usageError("for example --advertise worker-1:8070",
				"--advertise is no HOST:PORT: %q", r.advertise)
		}
	}
	var err error
	d.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, hinted("choose another --http, or --http off", "http: %w", err)
	}
	d.address = d.listener.Addr().String()
	if d.advertise = r.advertise; d.advertise == "" {
		d.advertise = reachable(d.address)
	}
	return d, nil
}

// minToken is the least length of a token.
const minToken = 16

// reachable is the address under which others may reach one that is open to all.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return address
	}
	name, err := os.Hostname()
	if err != nil {
		return address
	}
	return net.JoinHostPort(name, port)
}

// loopback tells whether only this machine gets in.
func (d *door) loopback() bool {
	host, _, err := net.SplitHostPort(d.address)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// close gives the address up, unless a server has done so.
func (d *door) close() {
	if d.listener != nil {
		d.listener.Close()
	}
}

// served is the HTTP interface of a worker and what it needs.
type served struct {
	feed   *api.Feed
	server *api.Server
	client *kgo.Client // nil where commands are not taken
}

// viewing prepares the worker for its interface, if it runs views behind a door.
func (c *workerConfig) viewing(w *worker) {
	runs := false
	for _, p := range c.processors {
		runs = runs || p.name == topology.Views
	}
	if !runs || c.door == nil || c.door.listener == nil {
		return
	}
	w.api = &served{feed: api.NewFeed()}
	c.advertise = c.door.advertise
	c.changes = func(_ context.Context, list []engine.Effect) {
		for _, one := range list {
			w.api.feed.Changed(one.Key, one.Value)
		}
	}
}

// addAPI gives the worker its interface, if it runs views. The client must outlive
// the worker.
func (m *Main) addAPI(w *worker, c workerConfig, cl *kgo.Client) error {
	if w.api == nil {
		return nil
	}
	u, ok := w.unit(c.names.Group(topology.Views))
	if !ok {
		return errors.New("http: there are no views")
	}
	cfg := api.Config{
		Views: viewTable{u.engine}, Peers: u.engine, Feed: w.api.feed,
		Topics: c.viewTopics().Names(), Address: c.door.advertise, Loopback: c.door.loopback(),
		Token: c.door.token, Now: m.Now, Log: c.log,
		Story: func(ctx context.Context, order string) (*history.Story, error) {
			return storyByViews(ctx, cl, c, order)
		},
	}
	if c.chain {
		opts := append([]kgo.Opt{kgo.SeedBrokers(c.brokers...)}, c.client...)
		opts = append(append(opts, producerOptions()...), kgo.ProducerLinger(0))
		client, err := kgo.NewClient(opts...)
		if err != nil {
			return fmt.Errorf("http: %w", err)
		}
		w.api.client = client
		cfg.Commander = commander{client, c.names.OrderCommands}
	}
	w.api.server = api.New(cfg)
	if !cfg.Loopback && cfg.Token == "" {
		c.log.Warn("commands are refused: others reach this worker, and there is no --http-token-file",
			"address", c.door.address)
	}
	return nil
}

// close ends what the interface writes with.
func (a *served) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// storyByViews reads a story by the places that the views know. Where these are not
// all, it looks through the topics.
func storyByViews(
	ctx context.Context, cl *kgo.Client, c workerConfig, order string,
) (*history.Story, error) {
	views := &history.Views{Address: c.door.address, Client: direct()}
	told, err := storyOf(ctx, cl, c, views, order)
	if errors.Is(err, history.ErrViews) {
		return storyOf(ctx, cl, c, nil, order)
	}
	return told, err
}

// viewTable is the table of the views as far as an engine has it.
type viewTable struct{ e *engine.Engine }

// Partitions is how many the table has.
func (t viewTable) Partitions() int32 { return t.e.Width() }

// Rows returns the rows of a partition.
func (t viewTable) Rows(partition int32) (api.Rows, bool) {
	view, ok := t.e.Table(partition)
	return viewRows{view}, ok
}

type viewRows struct{ state.View }

// Index returns the entries of the index.
func (r viewRows) Index(from, prefix []byte) iter.Seq2[api.Entry, error] {
	return func(yield func(api.Entry, error) bool) {
		for row, err := range r.View.Index(from, prefix) {
			if !yield(api.Entry{Entry: row.Entry, Order: row.Key}, err) {
				return
			}
		}
	}
}

// A commander writes commands, each of them once.
type commander struct {
	client *kgo.Client
	topic  string
}

// Command writes c. When ctx is done before it is safe, it may still be written.
func (w commander) Command(ctx context.Context, c *tallyv1.OrderCommand) (api.Position, error) {
	value, err := schemas.OrderCommands.Marshal(c)
	if err != nil {
		return api.Position{}, err
	}
	type outcome struct {
		r   *kgo.Record
		err error
	}
	done := make(chan outcome, 1)
	w.client.TryProduce(context.WithoutCancel(ctx), &kgo.Record{
		Topic: w.topic, Key: []byte(schemas.CommandOrderID(c)), Value: value,
		Timestamp: c.GetMeta().GetAt().AsTime(),
	}, func(r *kgo.Record, err error) { done <- outcome{r, err} })
	select {
	case <-ctx.Done():
		return api.Position{}, fmt.Errorf("%s: no answer yet: %w", w.topic, ctx.Err())
	case o := <-done:
		if o.err != nil {
			return api.Position{}, fmt.Errorf("%s: %w", w.topic, o.err)
		}
		return api.Position{Topic: o.r.Topic, Partition: o.r.Partition, Offset: o.r.Offset}, nil
	}
}
