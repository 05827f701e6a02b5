package page

import (
	"slices"
	"testing"

	"tallystick/topology"
)

// TestDrawing holds that everything of the map is drawn, once, nothing above something
// else, and that all ways lead to the right but those that go back.
func TestDrawing(t *testing.T) {
	for _, chain := range []bool{false, true} {
		m := topology.Default(topology.Options{Chain: chain, Prefix: "a-prefix-that-is-long-"})
		d := draw(m)
		for i, a := range d.Boxes {
			if a.X < 0 || a.Y < 0 || a.X+a.W > d.Width || a.Y+a.H > d.Height {
				t.Errorf("%s is outside of the drawing: %+v", a.Name, a)
			}
			if len([]rune(a.Label)) > labelRunes {
				t.Errorf("%s is too long for its box", a.Label)
			}
			for _, b := range d.Boxes[i+1:] {
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s covers %s", a.Name, b.Name)
				}
			}
		}
		for _, topic := range m.Topics {
			n := len(slices.DeleteFunc(slices.Clone(d.Boxes), func(b box) bool {
				return b.Kind != kindTopic || b.Name != topic.Name
			}))
			if want := map[bool]int{true: 1}[onMap(m, topic)]; n != want {
				t.Errorf("topic %s is drawn %d times, want %d", topic.Name, n, want)
			}
		}
		p := arrange(m)
		for _, l := range p.links {
			if !l.back && l.from.layer >= l.to.layer {
				t.Errorf("%s to %s does not lead to the right", l.from.name, l.to.name)
			}
		}
		back := 0
		for _, l := range p.links {
			if l.back {
				back++
			}
		}
		if want := map[bool]int{true: 3}[chain]; back != want {
			t.Errorf("%d ways go back, want %d", back, want)
		}
	}
}

// TestDrawingIsStable holds that the same map gives the same drawing.
func TestDrawingIsStable(t *testing.T) {
	m := topology.Default(topology.Options{Chain: true})
	first := draw(m)
	for range 5 {
		again := draw(m)
		if !slices.Equal(first.Boxes, again.Boxes) || !slices.Equal(first.Arrows, again.Arrows) {
			t.Fatal("two drawings of one map differ")
		}
	}
}

// TestDrawingIsCompact holds that the drawing is no higher than its fullest layer needs,
// but for the ways that go back.
func TestDrawingIsCompact(t *testing.T) {
	for _, chain := range []bool{false, true} {
		m := topology.Default(topology.Options{Chain: chain})
		most := 0
		for _, layer := range arrange(m).layers {
			most = max(most, len(layer))
		}
		if d := draw(m); d.Height > most*apart+150 {
			t.Errorf("%d high with %d in the fullest layer", d.Height, most)
		}
	}
}
