package page

import (
	"cmp"
	"slices"

	"tallystick/topology"
)

// A vertex is a topic or a service on the map, or a bend of an edge that passes a
// layer.
type vertex struct {
	name  string
	kind  string // kindTopic, kindService, or empty for a bend
	layer int
	y     float64
	in    []*vertex // from the layer before
	out   []*vertex // in the layer behind
}

const (
	kindTopic   = "topic"
	kindService = "service"
)

// A link is an edge of the map from end to end.
type link struct {
	from, to *vertex
	// back marks those that go against the way of an order.
	back bool
	// looks marks topics that are looked up in and not read record by record.
	looks bool
	path  []*vertex // with its ends, empty if it goes back
}

// A plan is where everything on the map goes: layers from left to right, and the
// vertices of each from top to bottom.
type plan struct {
	t      topology.Topology
	topics map[string]*vertex
	boxes  map[string]*vertex
	links  []*link
	layers [][]*vertex
	// readers are the services that read much and write nothing for others. Ways to them
	// would cover the map: the topics that they read are marked instead.
	readers []string
}

// arrange plans the map: services and the topics between them. What only one processor
// or the engine uses is not on it.
func arrange(t topology.Topology) *plan {
	p := &plan{t: t, topics: map[string]*vertex{}, boxes: map[string]*vertex{}}
	p.connect()
	p.layer()
	p.bend()
	p.order()
	p.settle()
	return p
}

// onMap tells whether others may read the topic.
func onMap(t topology.Topology, topic topology.Topic) bool {
	return topic.Inner == "" && !slices.ContainsFunc(t.Processors, func(p topology.Processor) bool {
		return slices.Contains([]string{p.Table, p.DeadLetters, p.Journal, p.Parked, p.Retry}, topic.Name)
	})
}

// connect makes the vertices and the links, and finds out which of these go back. Orders
// go through services in the order of the map: who reads what only a later one writes,
// reads it back; and so does who writes where that would close a circle.
func (p *plan) connect() {
	for _, topic := range p.t.Topics {
		if onMap(p.t, topic) {
			p.topics[topic.Name] = &vertex{name: topic.Name, kind: kindTopic}
		}
	}
	rank := p.ranks()
	services := p.t.Services()
	for i, name := range services {
		box := &vertex{name: name, kind: kindService}
		p.boxes[name] = box
		if p.onlyReads(name) {
			p.readers = append(p.readers, name)
			continue
		}
		for _, processor := range p.t.Of(name) {
			for _, topic := range processor.Inputs {
				p.link(p.topics[topic], box, rank[topic] >= i, false)
			}
			for _, topic := range processor.Lookups {
				p.link(p.topics[topic], box, rank[topic] >= i, true)
			}
		}
	}
	for _, name := range services {
		box := p.boxes[name]
		for _, processor := range p.t.Of(name) {
			for _, topic := range processor.Outputs {
				p.link(box, p.topics[topic], p.reaches(p.topics[topic], box), false)
			}
		}
	}
}

// many is how many topics a service has to read for its ways not to be drawn.
const many = 4

// onlyReads tells whether a service reads many topics and writes none of the map.
func (p *plan) onlyReads(service string) bool {
	n := 0
	for _, processor := range p.t.Of(service) {
		for _, topic := range processor.Outputs {
			if p.topics[topic] != nil {
				return false
			}
		}
		for _, topic := range processor.Inputs {
			if p.topics[topic] != nil {
				n++
			}
		}
	}
	return n >= many
}

// readBy returns the readers of a topic.
func (p *plan) readBy(topic string) []string {
	var names []string
	for _, name := range p.readers {
		if slices.ContainsFunc(p.t.Of(name), func(processor topology.Processor) bool {
			return slices.Contains(processor.Inputs, topic)
		}) {
			names = append(names, name)
		}
	}
	return names
}

// ranks are, for each topic, which of the services is the first to write it; -1 where
// others do.
func (p *plan) ranks() map[string]int {
	ranks, services := map[string]int{}, p.t.Services()
	for _, topic := range p.t.Topics {
		first := len(services)
		for _, writer := range topic.Writers() {
			of := -1
			if processor, ok := p.t.Processor(writer); ok {
				of = slices.Index(services, processor.Service)
			}
			first = min(first, of)
		}
		ranks[topic.Name] = first
	}
	return ranks
}

// link adds a link unless it is there, or an end is not on the map.
func (p *plan) link(from, to *vertex, back, looks bool) {
	if from == nil || to == nil || slices.ContainsFunc(p.links, func(l *link) bool {
		return l.from == from && l.to == to
	}) {
		return
	}
	p.links = append(p.links, &link{from: from, to: to, back: back, looks: looks})
}

// reaches tells whether a way leads from one vertex to another, none of it back.
func (p *plan) reaches(from, to *vertex) bool {
	if from == nil || from == to {
		return from != nil
	}
	return slices.ContainsFunc(p.links, func(l *link) bool {
		return !l.back && l.from == from && p.reaches(l.to, to)
	})
}

// layer puts each vertex behind all that lead to it, and topics that come from outside
// right before who reads them.
func (p *plan) layer() {
	for range p.links { // no way is longer
		for _, l := range p.links {
			if !l.back {
				l.to.layer = max(l.to.layer, l.from.layer+1)
			}
		}
	}
	for _, topic := range p.topics {
		behind := -1
		written := false
		for _, l := range p.links {
			written = written || l.to == topic && !l.back
			if l.from == topic && !l.back && (behind < 0 || l.to.layer < behind) {
				behind = l.to.layer
			}
		}
		if !written && behind > 0 {
			topic.layer = behind - 1
		}
	}
}

// bend fills the layers, in the order of the map, and puts a bend into each layer that a
// link passes.
func (p *plan) bend() {
	put := func(v *vertex) {
		for len(p.layers) <= v.layer {
			p.layers = append(p.layers, nil)
		}
		p.layers[v.layer] = append(p.layers[v.layer], v)
	}
	for _, topic := range p.t.Topics {
		if v := p.topics[topic.Name]; v != nil {
			put(v)
		}
	}
	for _, name := range p.t.Services() {
		if !slices.Contains(p.readers, name) {
			put(p.boxes[name])
		}
	}
	for _, l := range p.links {
		if l.back {
			continue
		}
		l.path = []*vertex{l.from}
		for layer := l.from.layer + 1; layer < l.to.layer; layer++ {
			v := &vertex{layer: layer}
			put(v)
			l.path = append(l.path, v)
		}
		l.path = append(l.path, l.to)
		for i, v := range l.path[1:] {
			l.path[i].out = append(l.path[i].out, v)
			v.in = append(v.in, l.path[i])
		}
	}
}

// order brings each layer into an order with few crossings: by the mean place of what
// is connected, there and back a few times.
func (p *plan) order() {
	best, fewest := p.copyLayers(), p.crossings()
	for round := range 24 {
		for i := range p.layers {
			layer, of := p.layers[i], func(v *vertex) []*vertex { return v.in }
			if round%2 == 1 {
				layer = p.layers[len(p.layers)-1-i]
				of = func(v *vertex) []*vertex { return v.out }
			}
			places := p.places()
			mean := map[*vertex]float64{}
			for _, v := range layer {
				mean[v] = average(of(v), places[v], func(o *vertex) float64 { return places[o] })
			}
			slices.SortStableFunc(layer, func(a, b *vertex) int { return cmp.Compare(mean[a], mean[b]) })
		}
		if n := p.crossings(); n < fewest {
			best, fewest = p.copyLayers(), n
		}
	}
	p.layers = best
}

func (p *plan) copyLayers() [][]*vertex {
	out := make([][]*vertex, len(p.layers))
	for i, layer := range p.layers {
		out[i] = slices.Clone(layer)
	}
	return out
}

func (p *plan) places() map[*vertex]float64 {
	places := map[*vertex]float64{}
	for _, layer := range p.layers {
		for i, v := range layer {
			places[v] = float64(i)
		}
	}
	return places
}

// average is that of some vertices, and otherwise what it is without any.
func average(of []*vertex, otherwise float64, value func(*vertex) float64) float64 {
	if len(of) == 0 {
		return otherwise
	}
	sum := 0.0
	for _, v := range of {
		sum += value(v)
	}
	return sum / float64(len(of))
}

func (p *plan) crossings() int {
	places, n := p.places(), 0
	for _, layer := range p.layers {
		for i, a := range layer {
			for _, b := range layer[i+1:] {
				for _, x := range a.out {
					for _, y := range b.out {
						if places[x] > places[y] {
							n++
						}
					}
				}
			}
		}
	}
	return n
}

// Distances between the middles of two neighbours in a layer.
const (
	apart = 76.0
	near  = 34.0 // of bends
)

func gap(a, b *vertex) float64 {
	if a.kind == "" && b.kind == "" {
		return near
	}
	if a.kind == "" || b.kind == "" {
		return (apart + near) / 2
	}
	return apart
}

// settle gives each vertex its height: close to what it is connected with, and never too
// close to its neighbours.
func (p *plan) settle() {
	for _, layer := range p.layers {
		for i, v := range layer {
			if i > 0 {
				v.y = layer[i-1].y + gap(layer[i-1], v)
			}
		}
	}
	for range 60 {
		for _, layer := range p.layers {
			want := make([]float64, len(layer))
			for i, v := range layer {
				want[i] = average(slices.Concat(v.in, v.out), v.y, func(o *vertex) float64 { return o.y })
			}
			spread(layer, want)
		}
	}
	top := 0.0
	for _, layer := range p.layers {
		for _, v := range layer {
			top = min(top, v.y)
		}
	}
	for _, layer := range p.layers {
		for _, v := range layer {
			v.y -= top
		}
	}
	// No way leads to readers: they are at the end of the last layer.
	last := len(p.layers) - 1
	for _, name := range p.readers {
		v := p.boxes[name]
		v.layer = last
		for _, above := range p.layers[last] {
			v.y = max(v.y, above.y+apart)
		}
		p.layers[last] = append(p.layers[last], v)
	}
}

// spread puts vertices as near as can be to where they want to be, in their order: the
// mean of what pushing them down from the top and up from the bottom gives.
func spread(layer []*vertex, want []float64) {
	down, up := slices.Clone(want), slices.Clone(want)
	for i := 1; i < len(layer); i++ {
		down[i] = max(down[i], down[i-1]+gap(layer[i-1], layer[i]))
	}
	for i := len(layer) - 2; i >= 0; i-- {
		up[i] = min(up[i], up[i+1]-gap(layer[i], layer[i+1]))
	}
	for i, v := range layer {
		v.y = (down[i] + up[i]) / 2
	}
}
