package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
	"tallystick/query/replay"
)

// A journalReader finds transactions in one partition of a group's journal, which
// can be long: it reads a few pages here and there.
//
// What is looked for by bisection only grows from page to page: the offsets of an
// input, the stream time, the time of day. Where a transaction has several pages,
// the offsets of records that were skipped can be out of that order, but only
// within the transaction, so that the bisection still ends in it.
type journalReader struct {
	log       *replay.Log
	topic     string
	partition int32
	blocks    []block          // those that were read last
	gaps      map[string][]gap // by input
}

// keptBlocks is how many blocks are kept, more than one bisection looks at.
const keptBlocks = 64

// A block is some pages in a row: all that are in the log between two offsets.
type block struct {
	from, next int64
	pages      []page
}

type page struct {
	replay.Page
	written int64 // when, in microseconds since 1970
}

func (j *journalReader) span() replay.Span { return j.log.Span(j.topic, j.partition) }

// block returns a block with the page at an offset, or the first one behind it.
func (j *journalReader) block(ctx context.Context, at int64) (block, error) {
	for _, b := range j.blocks {
		if b.from <= at && at < b.next && len(b.pages) > 0 && b.pages[len(b.pages)-1].Offset >= at {
			return b, nil
		}
	}
	records, next, err := j.log.Peek(ctx, j.topic, j.partition, at)
	if err != nil {
		return block{}, err
	}
	b := block{from: at, next: next}
	for _, r := range records {
		s, err := segment(r)
		if err != nil {
			return block{}, err
		}
		p := replay.Page{Segment: s, Offset: r.Offset}
		b.pages = append(b.pages, page{p, r.Timestamp.UnixMicro()})
	}
	if len(j.blocks) == keptBlocks {
		j.blocks = slices.Delete(j.blocks, 0, 1)
	}
	j.blocks = append(j.blocks, b)
	return b, nil
}

func segment(r *kgo.Record) (*journal.Segment, error) {
	s, err := journal.Parse(r.Value)
	if err != nil {
		return nil, fmt.Errorf("history: %s: %w", placeOf(r), err)
	}
	return s, nil
}

// page returns the first page from an offset on for which is holds, nil if there is
// none.
func (j *journalReader) page(
	ctx context.Context, at int64, is func(page) bool,
) (*page, error) {
	for end := j.span().End; at < end; {
		b, err := j.block(ctx, at)
		if err != nil {
			return nil, err
		}
		for i := range b.pages {
			if b.pages[i].Offset >= at && is(b.pages[i]) {
				return &b.pages[i], nil
			}
		}
		at = b.next
	}
	return nil, nil
}

// A gap is a stretch of the journal, from an offset up to another one, in which no
// page has records of an input.
type gap struct{ from, to int64 }

// input returns the first page from an offset on that has records of an input, nil if
// there is none. Of an input that comes seldom, such as corrections, most of the journal
// can be before it: that is read once, and only remembered to be a gap.
func (j *journalReader) input(ctx context.Context, at int64, topic string) (*page, error) {
	from, skimmed := at, false
	for end := j.span().End; at < end; {
		if g := j.gap(topic, at); g.from <= at {
			at = g.to
			continue
		}
		b, err := j.block(ctx, at)
		if err != nil {
			return nil, err
		}
		for i := range b.pages {
			p := &b.pages[i]
			if _, has := firstOf(p.Segment, topic); has && p.Offset >= at {
				if skimmed {
					j.remember(topic, gap{from, p.Offset})
				}
				return p, nil
			}
		}
		skimmed = true
		to := max(b.next, j.gap(topic, b.next).from)
		if at, err = j.skim(ctx, b.next, to, topic); err != nil {
			return nil, err
		}
	}
	if skimmed {
		j.remember(topic, gap{from, at})
	}
	return nil, nil
}

// skim returns the offset of the first page between two offsets that has records of
// an input, or the second offset.
func (j *journalReader) skim(
	ctx context.Context, from, to int64, topic string,
) (int64, error) {
	needle, err := json.Marshal(topic)
	if err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	for n := int64(256); from < to; n *= 2 { // it may be near
		next := min(from+n, to)
		for r, err := range j.log.Range(ctx, j.topic, j.partition, from, next) {
			if err != nil {
				return 0, err
			}
			if !bytes.Contains(r.Value, needle) {
				continue
			}
			s, err := segment(r)
			if err != nil {
				return 0, err
			}
			if _, has := firstOf(s, topic); has {
				return r.Offset, nil
			}
		}
		from = next
	}
	return to, nil
}

// gap returns the first gap that ends behind an offset; if there is none, an empty one
// at the end of the journal.
func (j *journalReader) gap(topic string, at int64) gap {
	first := gap{j.span().End, j.span().End}
	for _, g := range j.gaps[topic] {
		if g.to > at && g.from < first.from {
			first = g
		}
	}
	return first
}

// remember takes in a gap, and those that are within it out.
func (j *journalReader) remember(topic string, g gap) {
	if j.gaps == nil {
		j.gaps = map[string][]gap{}
	}
	rest := slices.DeleteFunc(j.gaps[topic], func(o gap) bool {
		return g.from <= o.from && o.to <= g.to
	})
	j.gaps[topic] = append(rest, g)
}

// search returns the first offset from lo on at which past holds; past must not
// hold again behind one at which it does. Near ones are found faster.
func (j *journalReader) search(
	lo int64, past func(at int64) (bool, error),
) (int64, error) {
	end, step := j.span().End, int64(1)
	var failed error
	try := func(at int64) bool {
		if failed != nil || at >= end {
			return true
		}
		ok, err := past(at)
		failed = err
		return ok || err != nil
	}
	hi := lo
	for !try(hi) {
		lo, hi, step = hi+1, min(hi+step, end), 2*step
	}
	n := sort.Search(int(hi-lo), func(i int) bool { return try(lo + int64(i)) })
	return lo + int64(n), failed
}

// firstOf returns the lowest offset of a topic in a page.
func firstOf(s *journal.Segment, topic string) (int64, bool) {
	lowest, found := int64(0), false
	note := func(index, offset int64) {
		if s.Topics[index] == topic && (!found || offset < lowest) {
			lowest, found = offset, true
		}
	}
	for i := 0; i < len(s.Runs); i += 3 {
		note(s.Runs[i], s.Runs[i+1])
	}
	for i := 0; i < len(s.Skipped); i += 2 {
		note(s.Skipped[i], s.Skipped[i+1])
	}
	return lowest, found
}

// A transaction is all pages of one, and the offset behind them.
type transaction struct {
	pages []replay.Page
	end   int64
}

func (t *transaction) start() int64 { return t.pages[0].Offset }

// with returns the transaction in which a record was processed, looked for from lo
// on, which is the beginning of one. It is nil if the record is in none: nobody has
// processed it yet.
func (j *journalReader) with(
	ctx context.Context, topic string, offset, lo int64,
) (*transaction, error) {
	behind, err := j.search(lo, func(at int64) (bool, error) {
		p, err := j.input(ctx, at, topic)
		if p == nil || err != nil {
			return true, err
		}
		first, _ := firstOf(p.Segment, topic)
		return first > offset, nil
	})
	if err != nil || behind == lo {
		return nil, err
	}
	t, err := j.around(ctx, behind-1)
	if err != nil || t == nil || !t.has(topic, offset) {
		return nil, err
	}
	return t, nil
}

// has tells whether a record was processed or refused in the transaction.
func (t *transaction) has(topic string, offset int64) bool {
	for _, s := range t.pages {
		for i := 0; i < len(s.Runs); i += 3 {
			if s.Topics[s.Runs[i]] == topic && s.Runs[i+1] <= offset && offset <= s.Runs[i+2] {
				return true
			}
		}
		for i := 0; i < len(s.Skipped); i += 2 {
			if s.Topics[s.Skipped[i]] == topic && s.Skipped[i+1] == offset {
				return true
			}
		}
	}
	return false
}

// among returns how many of some sorted offsets, by topic, are in the transaction.
func (t *transaction) among(sorted map[string][]int64) int {
	n := 0
	count := func(topic string, from, to int64) {
		first, _ := slices.BinarySearch(sorted[topic], from)
		behind, _ := slices.BinarySearch(sorted[topic], to+1)
		n += behind - first
	}
	for _, s := range t.pages {
		for i := 0; i < len(s.Runs); i += 3 {
			count(s.Topics[s.Runs[i]], s.Runs[i+1], s.Runs[i+2])
		}
		for i := 0; i < len(s.Skipped); i += 2 {
			count(s.Topics[s.Skipped[i]], s.Skipped[i+1], s.Skipped[i+1])
		}
	}
	return n
}

// around returns the transaction to which the page at an offset belongs, or the one
// before it if there is no page. It is nil if there is none.
func (j *journalReader) around(ctx context.Context, at int64) (*transaction, error) {
	t := &transaction{end: j.span().End}
	start := j.span().Start
	from := at
	for back := int64(16); ; back *= 2 {
		for k := from; k <= at; {
			p, err := j.page(ctx, k, begins)
			if err != nil {
				return nil, err
			}
			if p == nil || p.Offset > at {
				break
			}
			t.pages, k = []replay.Page{p.Page}, p.Offset+1
		}
		if t.pages != nil || from == start {
			break
		}
		from = max(start, at-back)
	}
	if t.pages == nil {
		return nil, nil
	}
	for k := t.start() + 1; ; {
		p, err := j.page(ctx, k, func(page) bool { return true })
		if err != nil {
			return nil, err
		}
		if p == nil || begins(*p) {
			if p != nil {
				t.end = p.Offset
			}
			return t, nil
		}
		t.pages, k = append(t.pages, p.Page), p.Offset+1
	}
}

// begins tells whether a page is the first of its transaction.
func begins(p page) bool { return p.Clock != nil }

// A firing is a deadline that came, and the offset of the page that says so.
type firing struct {
	journal.Firing
	page int64
}

// fired returns the firings of a row in the first page between two offsets of the
// journal that has any. Deadline is the row's at the first offset, in microseconds
// since 1970.
func (j *journalReader) fired(
	ctx context.Context, key string, deadline, from, to int64,
) ([]firing, error) {
	needle, err := json.Marshal(journal.NewFiring([]byte(key), 0, "", 0))
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	needle, _, _ = bytes.Cut(needle, []byte(`,"at"`))
	needle = needle[1:]
	// No clock has come past it before one of these two has.
	near, err := j.search(from, func(at int64) (bool, error) {
		p, err := j.page(ctx, at, begins)
		if p == nil || err != nil {
			return true, err
		}
		const millisecond = 1000
		stream := p.Clock.Stream
		return p.written+millisecond > deadline || stream != nil && *stream >= deadline, nil
	})
	if err != nil {
		return nil, err
	}
	if t, err := j.around(ctx, max(near-1, from)); err != nil {
		return nil, err
	} else if t != nil {
		from = max(from, t.start())
	}
	for r, err := range j.log.Range(ctx, j.topic, j.partition, from, to) {
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(r.Value, needle) {
			continue
		}
		s, err := segment(r)
		if err != nil {
			return nil, err
		}
		var all []firing
		for _, f := range s.Fired {
			if f.RowKey() == key {
				all = append(all, firing{f, r.Offset})
			}
		}
		if all != nil {
			return all, nil
		}
	}
	return nil, nil
}
