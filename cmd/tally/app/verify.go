package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
	// Fingerprint is the one that the worker keeps beside the rows, Agreed what it was
	// found to agree with: the rows, the changelog, the journal. The changelog cannot be
	// asked if rows have moved, a journal of before fingerprints can't either.
	Fingerprint string   `json:"fingerprint"`
	Agreed      []string `json:"agreed"`
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

			The fingerprint that the worker keeps beside its rows is compared with that of the
			rows, with that of the changelog's fold, and with those that the group's journal has
			of the partition, if it has a journal.

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
	journal, err := s.journalOf(ctx, cl, l.processor)
	if err != nil {
		return err
	}
	c := &comparison{cl: cl, table: table, journal: journal}
	result, err := c.all(ctx, log.Partitions(table), sources)
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

// A comparison is a verification of one table on its way.
type comparison struct {
	cl     *kgo.Client
	table  string
	result *verified
	// journal is the topic of the group's journal, empty if there is none.
	journal string
}

func (c *comparison) all(
	ctx context.Context, partitions int32, sources []rowSource,
) (*verified, error) {
	result := &verified{
		Verify: audit.OK, Table: c.table, Partitions: []verifiedPartition{}, Unchecked: []int32{},
		Differences: []string{},
	}
	c.result = result
	for p := range partitions {
		checked := false
		for _, source := range sources {
			if !slices.Contains(source.partitions(), p) {
				continue
			}
			v, err := c.partition(ctx, source, p)
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

// differ notes a difference in a partition.
func (c *comparison) differ(v *verifiedPartition, format string, args ...any) {
	v.Differences++
	c.result.Verify = audit.Differences
	if len(c.result.Differences) < 100 {
		c.result.Differences = append(c.result.Differences,
			fmt.Sprintf("partition %d: ", v.Partition)+fmt.Sprintf(format, args...))
	}
}

// partition takes the rows first and reads the logs then, so that these reach at
// least as far as the rows.
func (c *comparison) partition(
	ctx context.Context, source rowSource, p int32,
) (verifiedPartition, error) {
	v := verifiedPartition{Partition: p, Source: source.name(), Agreed: []string{}}
	rows := map[string][]byte{}
	at, err := source.dump(ctx, p, "", func(key string, value []byte) error {
		rows[key] = value
		return nil
	})
	if err != nil {
		return v, err
	}
	v.Offset, v.Rows, v.Fingerprint = at.Offset, int64(len(rows)), at.Fingerprint
	topics := []string{c.table}
	if c.journal != "" {
		topics = append(topics, c.journal)
	}
	log, err := replay.Open(ctx, c.cl, patience, topics...)
	if err != nil {
		return v, err
	}
	v.End = log.Span(c.table, p).End
	if v.Offset >= v.End {
		c.differ(&v, "the rows are at offset %d, the changelog ends at %d", v.Offset, v.End)
	}
	want, moved, err := foldTo(ctx, log, c.table, p, v.Offset)
	if err != nil {
		return v, err
	}
	c.rows(&v, rows, want, moved)
	return v, c.fingerprint(ctx, &v, at, log, rows, want)
}

// rows compares the rows of a partition with those of its changelog.
func (c *comparison) rows(
	v *verifiedPartition, rows, want map[string][]byte, moved map[string]bool,
) {
	for _, key := range sortedKeys(rows) {
		expected, ok := want[key]
		switch {
		case !ok && moved[key]:
			v.Moved++
		case expected == nil:
			c.differ(v, "row %q is not in the changelog", key)
		case !bytes.Equal(expected, rows[key]):
			c.differ(v, "row %q has other bytes than the changelog", key)
		}
	}
	for _, key := range sortedKeys(want) {
		if _, ok := rows[key]; !ok && want[key] != nil {
			c.differ(v, "row %q is in the changelog only", key)
		}
	}
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
	fmt.Fprintln(out, "PARTITION\tROWS\tOFFSET\tDIFFERENCES\tFINGERPRINT\tAGREES WITH\tOF")
	for _, p := range v.Partitions {
		fmt.Fprintf(out, "%d\t%s\t%d of %d\t%d\t%s\t%s\t%s\n", p.Partition, thousands(p.Rows),
			p.Offset, p.End, p.Differences, cmp.Or(p.Fingerprint, "-"),
			cmp.Or(strings.Join(p.Agreed, ", "), "-"), p.Source)
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
