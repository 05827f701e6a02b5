package page

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/replay"
)

// A Letter is one dead letter.
type Letter struct {
	// Place is where it is, and Record where the record was that it is about, both as
	// topic/partition/offset.
	Place  string    `json:"place"`
	Record string    `json:"record"`
	When   time.Time `json:"when"` // it was put there
	Group  string    `json:"group"`
	Class  string    `json:"class"`
	Reason string    `json:"reason"`
	Key    string    `json:"key"`
	// Value is what there is to see of the record's value: text, else bytes in hex.
	Value string `json:"value"`
	Hex   bool   `json:"hex"`
	// Bytes is how long the value was.
	Bytes int `json:"bytes"`
	// Attempt is how often it was tried, 0 if it only waits behind another.
	Attempt int `json:"attempt"`
}

const (
	// newest is how many dead letters are shown.
	newest = 50
	// mostLetters is how many of a partition are read before somebody has looked.
	mostLetters = 20_000
	// undecided is how long to wait for an open transaction on the dead letters.
	undecided = 2 * time.Second
)

// letters are the dead letters, as far as they were read.
type letters struct {
	Total int64 `json:"total"`
	// Partial says that there are older ones which were not counted.
	Partial bool             `json:"partial"`
	Classes map[string]int64 `json:"classes"`
	Groups  map[string]int64 `json:"groups"`
	// Newest are the last ones, the newest first.
	Newest []Letter `json:"newest"`
	// Unreadable is how many records of the topic are no dead letters.
	Unreadable int64 `json:"unreadable"`
}

// A letterBox reads the dead letters, each of them once.
type letterBox struct {
	cfg  Config
	kept remembered[json.RawMessage]
	next map[int32]int64
	all  letters
}

func newLetterBox(cfg Config) *letterBox {
	b := &letterBox{cfg: cfg, next: map[int32]int64{}, all: letters{
		Classes: map[string]int64{}, Groups: map[string]int64{}, Newest: []Letter{},
	}}
	b.kept = remembered[json.RawMessage]{ask: b.read, now: cfg.Now}
	return b
}

// read takes in what has come since the last time. The caller holds the lock of kept.
func (b *letterBox) read(ctx context.Context) (json.RawMessage, error) {
	topic := b.cfg.DeadLetters
	log, err := replay.Open(ctx, b.cfg.Client, undecided, topic)
	if err != nil {
		return nil, err
	}
	for p := range log.Partitions(topic) {
		span := log.Span(topic, p)
		from, known := b.next[p]
		if !known {
			if from = max(span.Start, span.End-mostLetters); from > span.Start {
				b.all.Partial = true
			}
		}
		for r, err := range log.Range(ctx, topic, p, max(from, span.Start), span.End) {
			if err != nil {
				return nil, err
			}
			b.take(r)
			b.next[p] = r.Offset + 1
		}
		b.next[p] = max(b.next[p], span.End)
	}
	return json.Marshal(b.all)
}

func (b *letterBox) take(r *kgo.Record) {
	l, err := b.cfg.Letter(r)
	if err != nil {
		b.all.Unreadable++
		return
	}
	b.all.Total++
	b.all.Classes[l.Class]++
	b.all.Groups[l.Group]++
	at, _ := slices.BinarySearchFunc(b.all.Newest, l, func(have, want Letter) int {
		return want.When.Compare(have.When)
	})
	b.all.Newest = slices.Insert(b.all.Newest, at, l)
	b.all.Newest = b.all.Newest[:min(newest, len(b.all.Newest))]
}

func (p *Page) serveLetters(out http.ResponseWriter, in *http.Request) {
	if p.cfg.Letter == nil {
		refuse(out, http.StatusNotFound, "this worker cannot read dead letters")
		return
	}
	text, _, err := p.letters.kept.get(in.Context())
	if err != nil {
		refuse(out, http.StatusBadGateway, err.Error())
		return
	}
	answer(out, http.StatusOK, text)
}
