package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tallystick/topology"
)

// A drawing is the map as the page's template draws it, in units of its own.
type drawing struct {
	Width, Height int
	Boxes         []box
	Arrows        []arrow
	Readers       []string // see box
	Words         string   // the map in a sentence, for who does not see it
}

// A box is a topic or a service.
type box struct {
	Name, Label, Kind string
	X, Y, W, H        int
	// Outside tells that others write the topic, Compact that it keeps the last record of
	// each key.
	Outside, Compact bool
	// Table is the number of tables that a service keeps.
	Table int
	Title string
	// Readers are the services that read the topic and to which no way is drawn. Reader
	// tells that the service is such a one.
	Readers string
	Reader  bool
}

// An arrow is a way that records take.
type arrow struct {
	Topic, Service, Path string
	// Reads tells that the records go from the topic to the service.
	Reads, Back, Looks bool
}

// Sizes of the drawing.
const (
	boxWidth   = 138
	topicHigh  = 42
	serviceTop = 56
	lane       = 54 // between two layers
	margin     = 24
	detour     = 16 // between two links that go back
	labelRunes = 19
)

// draw draws the map.
func draw(t topology.Topology) drawing {
	p := arrange(t)
	d := drawing{Readers: p.readers}
	bottom := 0
	for i, layer := range p.layers {
		x := margin + i*(boxWidth+lane)
		d.Width = x + boxWidth + margin
		for _, v := range layer {
			if v.kind == "" {
				continue
			}
			b := p.box(v, x)
			bottom = max(bottom, b.Y+b.H)
			d.Boxes = append(d.Boxes, b)
		}
	}
	back := 0
	for _, l := range p.links {
		a := arrow{Topic: l.from.name, Service: l.to.name, Reads: true, Back: l.back, Looks: l.looks}
		if l.to.kind == kindTopic {
			a.Topic, a.Service, a.Reads = l.to.name, l.from.name, false
		}
		if l.back {
			a.Path = around(l, bottom+22+back*detour, back)
			back++
		} else {
			a.Path = along(l.path)
		}
		d.Arrows = append(d.Arrows, a)
	}
	d.Height = bottom + margin
	if back > 0 {
		d.Height = bottom + 22 + back*detour
	}
	d.Words = words(t)
	return d
}

func left(v *vertex) int   { return margin + v.layer*(boxWidth+lane) }
func middle(v *vertex) int { return margin + serviceTop/2 + int(v.y) }

func (p *plan) box(v *vertex, x int) box {
	b := box{Name: v.name, Label: short(v.name), Kind: v.kind, X: x, W: boxWidth, H: topicHigh}
	if v.kind == kindService {
		b.H = serviceTop
		for _, processor := range p.t.Of(v.name) {
			if processor.Table != "" {
				b.Table++
			}
		}
		b.Title = "service " + v.name
		b.Reader = slices.Contains(p.readers, v.name)
	} else {
		topic, _ := p.t.Topic(v.name)
		b.Readers = strings.Join(p.readBy(v.name), " ")
		b.Outside = slices.Contains(topic.Writers(), topology.Outside)
		b.Compact = topic.Cleanup == topology.Compact
		b.Title = "topic " + v.name + ": " + strings.Join(topic.Kinds(), ", ")
	}
	b.Y = middle(v) - b.H/2
	return b
}

// short cuts a name that is too long for its box.
func short(name string) string {
	if runes := []rune(name); len(runes) > labelRunes {
		return string(runes[:labelRunes-1]) + "…"
	}
	return name
}

// along is the way from box to box, by the bends in between.
func along(path []*vertex) string {
	var b strings.Builder
	for i, v := range path[1:] {
		from := path[i]
		x1, y1, x2, y2 := left(from)+boxWidth, middle(from), left(v), middle(v)
		if i == 0 {
			fmt.Fprintf(&b, "M%d %d", x1, y1)
		}
		if v.kind != "" {
			x2 -= 7 // room for the head
		}
		mid := (x1 + x2) / 2
		fmt.Fprintf(&b, "C%d %d %d %d %d %d", mid, y1, mid, y2, x2, y2)
		if v.kind == "" {
			fmt.Fprintf(&b, "H%d", left(v)+boxWidth)
		}
	}
	return b.String()
}

// around is the way back: below everything, in the n-th lane.
func around(l *link, y, n int) string {
	const r = 8
	out, in := left(l.from)+boxWidth+10+n*5, left(l.to)-14-n*5
	y1, y2 := middle(l.from)+9, middle(l.to)+9
	return fmt.Sprintf("M%d %dH%dQ%d %d %d %dV%dQ%d %d %d %dH%dQ%d %d %d %dV%dQ%d %d %d %dH%d",
		left(l.from)+boxWidth, y1, out-r, out, y1, out, y1+r, y-r, out, y, out-r, y,
		in+r, in, y, in, y-r, y2+r, in, y2, in+r, y2, left(l.to)-7)
}

// words tell the map.
func words(t topology.Topology) string {
	var says []string
	for _, service := range t.Services() {
		var reads, writes []string
		for _, p := range t.Of(service) {
			for _, in := range slices.Concat(p.Inputs, p.Lookups) {
				if topic, ok := t.Topic(in); ok && onMap(t, topic) && !slices.Contains(reads, in) {
					reads = append(reads, in)
				}
			}
			for _, out := range p.Outputs {
				if topic, ok := t.Topic(out); ok && onMap(t, topic) && !slices.Contains(writes, out) {
					writes = append(writes, out)
				}
			}
		}
		says = append(says, fmt.Sprintf("%s reads %s and writes %s", service,
			strings.Join(reads, ", "), cmp.Or(strings.Join(writes, ", "), "its table")))
	}
	return strings.Join(says, "; ") + "."
}
