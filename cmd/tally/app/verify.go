package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
	"tallystick/query/replay"
)

// verified is the result of tally table verify.
type verified struct {
	Verify     string              `json:"verify"`
	Table      string              `json:"table"`
	Rows       int64               `json:"rows"`
	Partitions []verifiedPartition `json:"partitions"`
	// Unchecked are the partitions that nobody here holds.
	Unchecked   []int32  `json:"unchecked"`
	Differences []string `json:"differences"`
}

// verifiedPartition is one partition of one worker.
type verifiedPartition struct {
	Partition int32  `json:"partition"`
	Source    string `json:"source"`
	// Offset is the last record of the changelog that is in the rows, End the
	// end of the changelog.
	Offset int64 `json:"offset"`
	End    int64 `json:"end"`
	Rows   int64 `json:"rows"`
	// Moved rows were written again after Offset, and compaction has taken what
	// they were; they can't be compared.
	Moved       int64 `json:"moved"`
	Differences int64 `json:"differences"`
}

func (m *Main) tableVerify(s *settings, l *looking) *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the rows of workers with their changelogs, byte for byte",
		Long: paragraph(`
			Each partition that a worker on this machine holds is compared with the fold of the
			committed changelog up to the offset that the worker's rows stand at. Exit 1 if any
			row differs. Several workers are named by --state-dir or --worker.

			The end of a changelog counts what is no row as well, such as the markers of
			transactions, so that a table with all rows stands a few offsets before it.`),
		Example: examples(`
			tally table verify
			tally table verify --state-dir worker-0,worker-1 --all -o json`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.verify(cmd, s, l, whole)
		},
	}
	cmd.Flags().BoolVar(&whole, "all", false, "fail if a partition is with none of the named workers")
	return cmd
}

func (m *Main) verify(cmd *cobra.Command, s *settings, l *looking, whole bool) error {
	ctx, table := cmd.Context(), l.table(s)
	cl, log, err := m.openTable(ctx, s, l)
	if err != nil {
		return err
	}
	defer cl.Close()
	sources, err := m.findSources(ctx, table, l.stateDirs, l.workers, cmd.Flags().Changed("state-dir"))
	if err != nil {
		return err
	}
	defer closeAll(sources)
	if len(sources) == 0 {
		return hinted("name it by --state-dir or --worker; one with --state memory by --worker",
			"there is no worker's table to verify")
	}
	result, err := m.verifyAll(ctx, cl, table, log.Partitions(table), sources)
	if err != nil {
		return err
	}
	if err := m.show(s, result, result.write); err != nil {
		return err
	}
	switch {
	case result.Verify != audit.OK:
		return hinted("stop the worker and delete its state directory: it restores the table",
			"table %s differs from its changelog", table)
	case whole && len(result.Unchecked) > 0:
		return hinted("name the other workers too", "partitions %v of %s were not verified",
			result.Unchecked, table)
	}
	return nil
}

func (m *Main) verifyAll(ctx context.Context, cl *kgo.Client, table string, partitions int32,
	sources []rowSource,
) (*verified, error) {
	result := &verified{
		Verify: audit.OK, Table: table, Partitions: []verifiedPartition{}, Unchecked: []int32{},
		Differences: []string{},
	}
	for p := range partitions {
		checked := false
		for _, source := range sources {
			if !slices.Contains(source.partitions(), p) {
				continue
			}
			v, err := verifyPartition(ctx, cl, source, table, p, result)
			if err != nil {
				return nil, fmt.Errorf("verify partition %d with %s: %w", p, source.name(), err)
			}
			checked = true
			result.Rows += v.Rows
			result.Partitions = append(result.Partitions, v)
		}
		if !checked {
			result.Unchecked = append(result.Unchecked, p)
		}
	}
	return result, nil
}

// verifyPartition takes the rows first and reads the changelog then, so that
// the log reaches at least as far as the rows.
func verifyPartition(ctx context.Context, cl *kgo.Client, source rowSource, table string, p int32,
	result *verified,
) (verifiedPartition, error) {
	v := verifiedPartition{Partition: p, Source: source.name()}
	rows := map[string][]byte{}
	var err error
	v.Offset, err = source.dump(ctx, p, "", func(key string, value []byte) error {
		rows[key] = value
		return nil
	})
	if err != nil {
		return v, err
	}
	v.Rows = int64(len(rows))
	log, err := replay.Open(ctx, cl, patience, table)
	if err != nil {
		return v, err
	}
	v.End = log.Span(table, p).End
	differ := func(format string, args ...any) {
		v.Differences++
		result.Verify = audit.Differences
		if len(result.Differences) < 100 {
			result.Differences = append(result.Differences,
				fmt.Sprintf("partition %d: ", p)+fmt.Sprintf(format, args...))
		}
	}
	if v.Offset >= v.End {
		differ("the rows are at offset %d, the changelog ends at %d", v.Offset, v.End)
	}
	want, moved, err := foldTo(ctx, log, table, p, v.Offset)
	if err != nil {
		return v, err
	}
	for _, key := range sortedKeys(rows) {
		expected, ok := want[key]
		switch {
		case !ok && moved[key]:
			v.Moved++
		case expected == nil:
			differ("row %q is not in the changelog", key)
		case !bytes.Equal(expected, rows[key]):
			differ("row %q has other bytes than the changelog", key)
		}
	}
	for _, key := range sortedKeys(want) {
		if _, ok := rows[key]; !ok && want[key] != nil {
			differ("row %q is in the changelog only", key)
		}
	}
	return v, nil
}

// foldTo folds a partition of the changelog up to and with an offset. Deleted
// rows are nil. The keys that have later records are told as well.
func foldTo(ctx context.Context, log *replay.Log, table string, p int32, offset int64,
) (rows map[string][]byte, moved map[string]bool, err error) {
	rows, moved = map[string][]byte{}, map[string]bool{}
	for r, err := range log.Records(ctx, table, p) {
		if err != nil {
			return nil, nil, err
		}
		if key := string(r.Key); r.Offset > offset {
			moved[key] = true
		} else {
			rows[key] = r.Value
		}
	}
	return rows, moved, nil
}

func (v *verified) write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "PARTITION\tROWS\tOFFSET\tDIFFERENCES\tWITH")
	for _, p := range v.Partitions {
		fmt.Fprintf(out, "%d\t%s\t%d of %d\t%d\t%s\n", p.Partition, thousands(p.Rows), p.Offset, p.End,
			p.Differences, p.Source)
	}
	err := out.Flush()
	for _, d := range v.Differences {
		fmt.Fprintln(w, "  "+d)
	}
	fmt.Fprintf(w, "%s: %s in %s", v.Verify, count(v.Rows, "row"),
		count(len(v.Partitions), "partition"))
	if len(v.Unchecked) > 0 {
		fmt.Fprintf(w, "; not here: partitions %v", v.Unchecked)
	}
	fmt.Fprintln(w)
	return errors.Join(err)
}
