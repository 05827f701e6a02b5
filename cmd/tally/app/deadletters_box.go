package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/replay"
)

// A letterState is what became of a dead letter.
type letterState string

const (
	letterWaiting letterState = "waiting" // for somebody to do something about it
	letterParked  letterState = "parked"  // behind another one
	letterAsked   letterState = "asked"   // no worker has come to its retry yet
	letterFailed  letterState = "failed"  // its retry made a new dead letter
	letterRetried letterState = "retried"
	letterDropped letterState = "dropped"
)

// A deadLetter is a dead letter and what is known of it.
type deadLetter struct {
	engine.Letter
	place  string // topic/partition/offset
	state  letterState
	behind int64  // how many wait behind it
	said   string // what an operator said about it
}

func (l *deadLetter) open() bool {
	return l.state == letterWaiting || l.state == letterParked || l.state == letterAsked
}

// says is the state in words.
func (l *deadLetter) says() string {
	if l.state == letterWaiting && l.behind > 0 {
		return fmt.Sprintf("%s (%s behind)", l.state, thousands(l.behind))
	}
	return string(l.state)
}

// identity is the same for all attempts at one record.
func (l *deadLetter) identity() string {
	if l.ParkedBy != "" {
		return fmt.Sprintf("%s\x00%s\x00%s\x00%d", l.Group, l.Key, l.ParkedBy, l.Sequence)
	}
	return l.Group + "\x00" + l.Where()
}

// A letterBox is all dead letters, as they were at one moment.
type letterBox struct {
	topic   string
	letters []*deadLetter
	groups  map[string]*letterGroup
}

// A letterGroup is what the engine's topics say of one group's dead letters.
type letterGroup struct {
	parked map[string]engine.ParkedKey
	asked  map[string][]askedRetry // by the identity of the letter
	done   map[int32]int64         // how far the group has read its retries
	exists bool                    // the topic of retries does
}

// An askedRetry is one record of a topic of retries.
type askedRetry struct {
	engine.Retry
	place     string // topic/partition@offset
	partition int32
	offset    int64
}

// readLetters reads the dead letters and what has been done about them.
func (m *Main) readLetters(ctx context.Context, s *settings, cl *kgo.Client) (*letterBox, error) {
	box := &letterBox{topic: s.names().DeadLetters, groups: map[string]*letterGroup{}}
	log, err := replay.Open(ctx, cl, patience, box.topic)
	if err != nil {
		return nil, err
	}
	for p := range log.Partitions(box.topic) {
		for r, err := range log.Records(ctx, box.topic, p) {
			if err != nil {
				return nil, err
			}
			letter, err := engine.ReadLetter(r)
			if err != nil {
				m.logger(s).Warn("a record of the dead letters can't be read", "topic", r.Topic,
					"partition", r.Partition, "offset", r.Offset, "error", err)
				continue
			}
			box.letters = append(box.letters, &deadLetter{
				Letter: letter, place: fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset),
			})
			box.groups[letter.Group] = nil
		}
	}
	for name := range box.groups {
		if box.groups[name], err = readLetterGroup(ctx, cl, name); err != nil {
			return nil, err
		}
	}
	box.judge()
	return box, nil
}

func readLetterGroup(ctx context.Context, cl *kgo.Client, name string) (*letterGroup, error) {
	g := &letterGroup{
		parked: map[string]engine.ParkedKey{}, asked: map[string][]askedRetry{}, done: map[int32]int64{},
	}
	adm := kadm.NewClient(cl)
	parked, retries := engine.ParkedTopic(name), engine.RetryTopic(name)
	found, err := adm.ListTopics(ctx, parked, retries)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	g.exists = found.Has(retries)
	// First how far it has come, then what it has come to.
	offsets, err := adm.FetchOffsets(ctx, name)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("offsets of group %s: %w", name, err)
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == retries && o.Err == nil {
			g.done[o.Partition] = o.At
		}
	})
	for _, topic := range found.Names() {
		if !found.Has(topic) {
			continue
		}
		log, err := replay.Open(ctx, cl, patience, topic)
		if err != nil {
			return nil, err
		}
		take := g.takeRetry
		if topic == parked {
			take = g.takeParked
		}
		for p := range log.Partitions(topic) {
			for r, err := range log.Records(ctx, topic, p) {
				if err == nil {
					err = take(r)
				}
				if err != nil {
					return nil, err
				}
			}
		}
	}
	return g, nil
}

func (g *letterGroup) takeParked(r *kgo.Record) error {
	if r.Value == nil {
		delete(g.parked, string(r.Key))
		return nil
	}
	var row engine.ParkedKey
	if err := json.Unmarshal(r.Value, &row); err != nil {
		return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	g.parked[string(r.Key)] = row
	return nil
}

func (g *letterGroup) takeRetry(r *kgo.Record) error {
	retry, err := engine.ReadRetry(r)
	if err != nil {
		return nil //nolint:nilerr // the worker has put it into the dead letters
	}
	retry.Group, _ = strings.CutSuffix(r.Topic, engine.RetryTopic(""))
	l := &deadLetter{Letter: retry.Letter}
	g.asked[l.identity()] = append(g.asked[l.identity()], askedRetry{
		retry, fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset), r.Partition, r.Offset,
	})
	return nil
}

// judge finds out what became of each letter.
func (b *letterBox) judge() {
	failed := map[string]bool{} // retries that made another dead letter
	for _, l := range b.letters {
		if l.Retry != "" {
			failed[l.Retry] = true
		}
	}
	latest := map[string]*deadLetter{}
	for _, l := range b.letters {
		if was := latest[l.identity()]; was == nil || l.Attempt >= was.Attempt {
			latest[l.identity()] = l
		}
	}
	for _, l := range b.letters {
		g := b.groups[l.Group]
		if latest[l.identity()] != l {
			l.state = letterFailed
			continue
		}
		row, parked := g.parked[string(l.Key)]
		waits := l.ParkedBy != "" && parked && row.By == l.ParkedBy && l.Sequence >= row.First
		switch {
		case waits && l.Sequence == row.First:
			l.state, l.behind = letterWaiting, row.Next-row.First-1
		case waits:
			l.state = letterParked
		default:
			l.state = letterWaiting
			l.resolved(g, failed)
		}
	}
}

// resolved finds the retry that settled a letter. If there are several that could
// have, a drop is taken for the one.
func (l *deadLetter) resolved(g *letterGroup, failed map[string]bool) {
	if l.ParkedBy != "" {
		l.state = letterRetried
	}
	for _, a := range g.asked[l.identity()] {
		switch {
		case failed[a.place] || l.state == letterDropped:
		case g.done[a.partition] <= a.offset:
			l.state, l.said = letterAsked, a.Why
		case a.Drop:
			l.state, l.said = letterDropped, a.Why
		default:
			l.state, l.said = letterRetried, a.Why
		}
	}
}

// latest returns the latest attempt at each record, in the order in which they
// failed.
func (b *letterBox) latest() []*deadLetter {
	list := slices.DeleteFunc(slices.Clone(b.letters), func(l *deadLetter) bool {
		return l.state == letterFailed
	})
	slices.SortStableFunc(list, func(x, y *deadLetter) int { return x.Timestamp.Compare(y.Timestamp) })
	return list
}

// at returns the letter at a place.
func (b *letterBox) at(place string) (*deadLetter, error) {
	i := slices.IndexFunc(b.letters, func(l *deadLetter) bool { return l.place == place })
	if i < 0 {
		return nil, hinted("tally dead-letters ls lists what is there",
			"there is no dead letter at %q", place)
	}
	return b.letters[i], nil
}

// find returns the letters that an operator means, those that wait, in order: one
// by its place, or all that wait under a key.
func (b *letterBox) find(what, group string) ([]*deadLetter, error) {
	var list []*deadLetter
	if strings.HasPrefix(what, b.topic+"/") {
		l, err := b.at(what)
		if err != nil {
			return nil, err
		}
		for _, o := range b.letters { // a later attempt stands for all
			if o.identity() == l.identity() && o.state != letterFailed {
				list = []*deadLetter{o}
			}
		}
	} else {
		for _, l := range b.letters {
			if string(l.Key) == what && l.open() && (group == "" || l.Group == group) {
				list = append(list, l)
			}
		}
	}
	if len(list) == 0 {
		return nil, hinted("tally dead-letters ls --key lists what became of them",
			"no dead letter waits under %q", what)
	}
	for _, l := range list {
		if l.Group != list[0].Group {
			return nil, usageError("add --group "+list[0].Group+" or --group "+l.Group,
				"dead letters of several groups wait under %q", what)
		}
	}
	slices.SortStableFunc(list, func(x, y *deadLetter) int {
		return cmp.Or(cmp.Compare(x.ParkedBy, y.ParkedBy), cmp.Compare(x.Sequence, y.Sequence),
			x.Timestamp.Compare(y.Timestamp))
	})
	return list, nil
}

// row returns what is parked under a letter's key, if the letter belongs to it.
func (b *letterBox) row(l *deadLetter) (engine.ParkedKey, bool) {
	row, ok := b.groups[l.Group].parked[string(l.Key)]
	return row, ok && row.By == l.ParkedBy
}

// missing tells that the first letter of a parked key is no longer in the topic.
func (b *letterBox) missing(l *deadLetter, row engine.ParkedKey) bool {
	return !slices.ContainsFunc(b.letters, func(o *deadLetter) bool {
		return o.Group == l.Group && o.ParkedBy == row.By && o.Sequence == row.First
	})
}

// errGone means that a record is no longer where a dead letter says it was.
var errGone = errors.New("it is no longer in its topic")
