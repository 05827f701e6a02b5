package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/replay"
	"tallystick/topology"
	"tallystick/topology/keyhash"
)

// patience is how long a reader waits for transactions that are open when it
// begins; a little longer than a worker's own.
const patience = 40 * time.Second

// looking is where the verbs of tally table look.
type looking struct {
	stateDirs, workers []string
	changelog          bool
	keys               string // how the keys begin
	limit              int
	processor          string // whose table
	row                func([]byte) (json.RawMessage, error)
}

// table is the changelog of the table that is looked at.
func (l *looking) table(s *settings) string { return s.names().Table(l.processor) }

func (m *Main) tableCommand(s *settings) *cobra.Command {
	l := &looking{}
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Look into the tables of workers, and compare them with their changelogs",
		Long: paragraph(`
			Beside a running worker its rows are asked for over loopback; the disk is read only
			when the worker has stopped. Without a worker on this machine rows come from the
			changelog. Whatever is shown is committed.`),
		Example: examples(`
			tally table ls
			tally table get o1-000042
			tally table scan --key-prefix o1-0000 --limit 10
			tally table verify`),
		GroupID: groupLook,
	}
	f := cmd.PersistentFlags()
	f.StringSliceVar(&l.stateDirs, "state-dir", []string{defaultStateDir},
		"state directories of workers on this machine")
	f.StringVar(&l.processor, "processor", topology.Confirm, "whose table, as tally graph names it")
	f.StringSliceVar(&l.workers, "worker", nil, "addresses of workers on this machine")
	needVerb(cmd)
	cmd.AddCommand(m.tableLs(s, l), m.tableGet(s, l), m.tableScan(s, l), m.tableVerify(s, l))
	return cmd
}

// sources are where to look, the changelog last.
func (m *Main) sources(
	cmd *cobra.Command, s *settings, l *looking, log *replay.Log,
) ([]rowSource, error) {
	table := l.table(s)
	changelog := &changelogSource{log, table}
	if l.changelog {
		return []rowSource{changelog}, nil
	}
	named := cmd.Flags().Changed("state-dir")
	sources, err := m.findSources(cmd.Context(), table, l.stateDirs, l.workers, named)
	if err != nil {
		return nil, err
	}
	return append(sources, changelog), nil
}

// openTable opens the changelog of the table.
func (m *Main) openTable(
	ctx context.Context, s *settings, l *looking,
) (*kgo.Client, *replay.Log, error) {
	p, err := tabled(l.processor)
	if err != nil {
		return nil, nil, err
	}
	l.row = p.row
	cl, err := m.connect(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	log, err := replay.Open(ctx, cl, patience, l.table(s))
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	return cl, log, nil
}

// partitionInfo is one line of tally table ls.
type partitionInfo struct {
	Table     string   `json:"table"`
	Partition int32    `json:"partition"`
	Start     int64    `json:"start"`
	End       int64    `json:"end"`
	Held      []string `json:"held_by"`
	// Holders say how far those are that hold it.
	Holders []holder `json:"holders"`
}

// A holder has the rows of a partition.
type holder struct {
	Source string `json:"source"`
	standing
}

func (m *Main) tableLs(s *settings, l *looking) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the partitions of the tables and who on this machine holds them",
		Long: paragraph(`
			Two workers whose rows stand at the same offset of the changelog have the same
			fingerprint, or one of them is wrong.`),
		Example: examples(`
			tally table ls
			tally table ls --state-dir a,b -o json`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, log, err := m.openTable(cmd.Context(), s, l)
			if err != nil {
				return err
			}
			defer cl.Close()
			sources, err := m.sources(cmd, s, l, log)
			if err != nil {
				return err
			}
			defer closeAll(sources)
			list := listPartitions(l.table(s), log, sources[:len(sources)-1])
			if len(sources) == 1 { // the changelog alone
				fmt.Fprintln(m.Stderr, "no worker is known: name workers by --worker or --state-dir to see "+
					"what they hold")
			}
			return m.show(s, list, func(w io.Writer) error { return writePartitions(w, list) })
		},
	}
}

func listPartitions(table string, log *replay.Log, sources []rowSource) []partitionInfo {
	list := []partitionInfo{}
	for p := range log.Partitions(table) {
		span := log.Span(table, p)
		info := partitionInfo{table, p, span.Start, span.End, []string{}, []holder{}}
		for _, source := range sources {
			if !slices.Contains(source.partitions(), p) {
				continue
			}
			info.Held = append(info.Held, source.name())
			if at, ok := source.standing(p); ok {
				info.Holders = append(info.Holders, holder{source.name(), at})
			}
		}
		list = append(list, info)
	}
	return list
}

func writePartitions(w io.Writer, list []partitionInfo) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TABLE\tPARTITION\tCHANGELOG\tROWS\tOFFSET\tFINGERPRINT\tHELD BY")
	for _, p := range list {
		line := fmt.Sprintf("%s\t%d\t%d..%d", p.Table, p.Partition, p.Start, p.End)
		for _, h := range p.Holders {
			fmt.Fprintf(out, "%s\t%s\t%d\t%s\t%s\n", line, thousands(h.Rows), h.Offset,
				h.Fingerprint, h.Source)
		}
		if len(p.Holders) == 0 {
			fmt.Fprintf(out, "%s\t-\t-\t-\t%s\n", line, cmp.Or(strings.Join(p.Held, ", "), "-"))
		}
	}
	return out.Flush()
}

// shownRow is a row as the verbs print it.
type shownRow struct {
	Key       string          `json:"key"`
	Partition int32           `json:"partition"`
	Source    string          `json:"source"`
	Row       json.RawMessage `json:"row"`
}

func (l *looking) show(
	source rowSource, partition int32, key string, value []byte,
) (shownRow, error) {
	shown := shownRow{Key: key, Partition: partition, Source: source.name()}
	var err error
	if shown.Row, err = l.row(value); err != nil {
		return shown, fmt.Errorf("row %q of partition %d: %w", key, partition, err)
	}
	return shown, nil
}

func (m *Main) tableGet(s *settings, l *looking) *cobra.Command {
	back := &lookingBack{}
	at := ""
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print one row, such as that of an order, as it is or as it was",
		Long: paragraph(`
			With --at the row of confirm is computed from what confirm had read by then, by the
			rules that the flags say. Rows of other processors come from the changelog: what
			compaction has taken from it cannot be told any more.`),
		Example: examples(`
			tally table get o1-000042
			tally table get o1-000042 --changelog
			tally table get o1-000042 --at "2h ago"`),
		Args: exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case at != "" && l.changelog:
				return usageError("leave --changelog out, or --at",
					"--changelog reads the row as it is, --at tells what it was")
			case at != "":
				return m.getRowAt(cmd.Context(), s, l, back, args[0], at)
			}
			cl, log, err := m.openTable(cmd.Context(), s, l)
			if err != nil {
				return err
			}
			defer cl.Close()
			sources, err := m.sources(cmd, s, l, log)
			if err != nil {
				return err
			}
			defer closeAll(sources)
			return m.getRow(cmd.Context(), s, l, log, sources, args[0])
		},
	}
	l.changelogFlag(cmd)
	atFlag(cmd, &at)
	back.rules.waits(cmd)
	return cmd
}

func (l *looking) changelogFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&l.changelog, "changelog", false, "read the changelog, ask no worker")
}

// errEnough ends a dump that has given what was wanted.
var errEnough = errors.New("enough")

func (m *Main) getRow(
	ctx context.Context, s *settings, l *looking, log *replay.Log, sources []rowSource, key string,
) error {
	partition := keyhash.Partition([]byte(key), log.Partitions(l.table(s)))
	for _, source := range sources {
		if !slices.Contains(source.partitions(), partition) {
			continue
		}
		var found []byte
		_, err := source.dump(ctx, partition, key, func(k string, value []byte) error {
			if k == key { // rows come in order: it is the first with this prefix
				found = value
			}
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if found == nil {
			return hinted("tally table scan lists what is there",
				"there is no row %q in partition %d (%s)", key, partition, source.name())
		}
		shown, err := l.show(source, partition, key, found)
		if err != nil {
			return err
		}
		return m.printJSON(s, shown)
	}
	return fmt.Errorf("nobody has partition %d", partition)
}

// printJSON prints a value as one line of JSON, indented for people.
func (m *Main) printJSON(s *settings, value any) error {
	return m.show(s, value, func(w io.Writer) error {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(value)
	})
}

func (m *Main) tableScan(s *settings, l *looking) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Print rows, one JSON object a line",
		Example: examples(`
			tally table scan --limit 10
			tally table scan --key-prefix o1-0000 --changelog`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.limit < 0 {
				return usageError("0 prints them all", "--limit must not be below zero")
			}
			cl, log, err := m.openTable(cmd.Context(), s, l)
			if err != nil {
				return err
			}
			defer cl.Close()
			sources, err := m.sources(cmd, s, l, log)
			if err != nil {
				return err
			}
			defer closeAll(sources)
			return m.scan(cmd.Context(), l, log.Partitions(l.table(s)), sources)
		},
	}
	cmd.Flags().StringVar(&l.keys, "key-prefix", "", "only keys that begin so")
	cmd.Flags().IntVar(&l.limit, "limit", 100, "end after so many rows; 0 for all")
	l.changelogFlag(cmd)
	return cmd
}

// scan prints the rows of each partition from the first source that has it.
func (m *Main) scan(ctx context.Context, l *looking, partitions int32, sources []rowSource) error {
	out := json.NewEncoder(m.Stdout)
	out.SetEscapeHTML(false)
	printed := 0
	for p := range partitions {
		i := slices.IndexFunc(sources, func(s rowSource) bool {
			return slices.Contains(s.partitions(), p)
		})
		if i < 0 {
			continue
		}
		_, err := sources[i].dump(ctx, p, l.keys, func(key string, value []byte) error {
			shown, err := l.show(sources[i], p, key, value)
			if err != nil {
				return err
			}
			if err := out.Encode(shown); err != nil {
				return err
			}
			if printed++; l.limit > 0 && printed >= l.limit {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(rows map[string][]byte) []string { return slices.Sorted(maps.Keys(rows)) }
