package app

import (
	"os"
	"strings"
	"testing"

	"tallystick/topology"
)

// TestTopicsDocument holds the document of the chain to the map.
func TestTopicsDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	chain := topology.Default(topology.Options{Chain: true})
	for _, want := range []string{
		"```mermaid\n" + chain.Mermaid(topology.Overview) + "```\n", chain.Markdown(),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/topics.md does not contain what the topology prints:\n%s", want)
		}
	}
	for _, s := range services() {
		if !strings.Contains(string(text), "| `"+s.name+"` | "+s.does) {
			t.Errorf("docs/topics.md has no line \"| `%s` | %s\"", s.name, s.does)
		}
	}
}
