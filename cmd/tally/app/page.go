package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/audit"
	"tallystick/query/history"
	"tallystick/query/page"
	"tallystick/topology"
)

// addPage gives the worker its page. The client must outlive the worker.
func (m *Main) addPage(w *worker, c workerConfig, cl *kgo.Client) error {
	n := c.names
	cfg := page.Config{
		Topology: c.topology, DeadLetters: n.DeadLetters, Instance: c.instance,
		Brokers: strings.Join(c.brokers, ", "), Client: cl, StreamTime: engine.StreamTime,
		Letter: pageLetter, Commands: []string{n.OrderCommands, n.InventoryRequests},
		Local: local, Hosts: hostsOf(c.door), Now: m.Now, Log: c.log, Fingerprints: w.fingerprints,
		Story: func(ctx context.Context, order string) (*history.Story, error) {
			return storyOf(ctx, cl, c, nil, order)
		},
		Audit: func(ctx context.Context, read func(int64)) (*audit.Report, error) {
			return audit.Cluster(ctx, cl, auditOptions(c.wiring, c.guarantee, c.rules, read))
		},
	}
	if w.api != nil {
		cfg.Buffers = &viewBuffers{c.door.address}
		cfg.Story = func(ctx context.Context, order string) (*history.Story, error) {
			return storyByViews(ctx, cl, c, order)
		}
	} else if u, ok := w.unit(n.Group(topology.Confirm)); ok {
		cfg.Buffers = &confirmBuffers{engine: u.engine, adm: kadm.NewClient(cl), table: u.table()}
	}
	var err error
	w.page, err = page.New(cfg)
	return err
}

// hostsOf are the names under which a worker is reached.
func hostsOf(d *door) []string {
	if d == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(d.advertise)
	if err != nil {
		return nil
	}
	return []string{host}
}

// storyOf reads the story of an order by what finds its records; nil looks through the
// topics.
func storyOf(
	ctx context.Context, cl *kgo.Client, c workerConfig, find history.Finder, order string,
) (*history.Story, error) {
	o := c.past(c.rules, c.guarantee, pagePatience)
	o.Finder = find
	r, err := history.Open(ctx, cl, o)
	if err != nil {
		return nil, err
	}
	return r.Story(ctx, order)
}

const (
	// pagePatience is how long somebody before a page waits for an open transaction.
	pagePatience = 5 * time.Second
	// pageValue is how much of a dead letter's value a page shows.
	pageValue = 2 << 10
)

// printable tells whether bytes are text.
func printable(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool {
		return !unicode.IsPrint(r) && !unicode.IsSpace(r)
	})
}

// pageLetter reads a dead letter as the page shows it.
func pageLetter(r *kgo.Record) (page.Letter, error) {
	l, err := engine.ReadLetter(r)
	if err != nil {
		return page.Letter{}, err
	}
	out := page.Letter{
		Place:  fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset),
		Record: fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset),
		When:   r.Timestamp.UTC(), Group: l.Group, Class: l.Class, Reason: l.Reason,
		Key: oneLine(string(l.Key)), Bytes: l.ValueBytes, Attempt: l.Attempt,
	}
	if printable(l.Value) {
		out.Value = cut(string(l.Value), pageValue)
		return out, nil
	}
	out.Hex = true
	out.Value = hex.Dump(l.Value[:min(len(l.Value), pageValue/4)])
	return out, nil
}
