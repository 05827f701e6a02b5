package app

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what tally version shows.
type version struct {
	Version  string            `json:"version"`
	Revision string            `json:"revision,omitempty"`
	Modified bool              `json:"modified,omitempty"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Modules  map[string]string `json:"modules"`
}

// told are the modules whose version matters to somebody who reports a fault.
func told() []string {
	return []string{
		"github.com/lovoo/goka", "github.com/twmb/franz-go", "github.com/cockroachdb/pebble/v2",
	}
}

func (m *Main) versionCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of tally and of what it stands on",
		Example: examples(`
			tally version
			tally version -o json`),
		GroupID: groupLook,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v := built()
			return m.show(s, v, v.write)
		},
	}
}

// built reads the version from what the compiler put into the binary.
func built() version {
	v := version{
		Version:  "(devel)",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Modules:  map[string]string{},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	for _, dep := range info.Deps {
		for _, name := range told() {
			if dep.Path == name {
				v.Modules[name] = dep.Version
			}
		}
	}
	return v
}

func (v version) write(w io.Writer) error {
	fmt.Fprintf(w, "tally %s", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(w, " (%.12s)", v.Revision)
	}
	fmt.Fprintf(w, " %s %s\n", v.Go, v.Platform)
	for _, name := range told() {
		if v.Modules[name] != "" {
			fmt.Fprintf(w, "  %s %s\n", name, v.Modules[name])
		}
	}
	return nil
}
