package app

import (
	"fmt"

	"github.com/spf13/cobra"

	"tallystick/topology"
)

func (m *Main) graphCommand(s *settings) *cobra.Command {
	var format string
	var all bool
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Print who emits what to whom",
		Long: paragraph(`
			Services that speak through topics alone hide what follows from what. This is the
			map: topics, their owners and keys, and the processors between them. Pictures of the
			chain show services and the topics between them, with --all everything.`),
		Example: examples(`
			tally graph
			tally graph --chain --format mermaid
			tally graph --format dot | dot -Tsvg > graph.svg
			tally graph -o json`),
		GroupID: groupLook,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.Output == outputJSON && !cmd.Flags().Changed("format") {
				format = "json"
			}
			text, err := s.draw(format, all)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(m.Stdout, text)
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, mermaid, dot or json")
	cmd.Flags().BoolVar(&all, "all", false,
		"draw every processor, and the topics that only it or the engine uses")
	return cmd
}

// draw is the map in one of its forms.
func (s *settings) draw(format string, all bool) (string, error) {
	t, show := s.topology(shape{}), topology.Overview
	if all {
		show = topology.Everything
	}
	switch format {
	case "text":
		return t.Describe(), nil
	case "mermaid":
		return t.Mermaid(show), nil
	case "dot":
		return t.Dot(show), nil
	case "json":
		text, err := t.JSON()
		return string(text) + "\n", err
	default:
		return "", usageError("use text, mermaid, dot or json", "--format has no form %q", format)
	}
}
