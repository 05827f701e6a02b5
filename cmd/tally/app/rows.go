package app

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallystick/query/replay"
	"tallystick/state"
)

// A rowSource is somewhere that rows of the table are: a running worker, the
// disk of a stopped one, or the changelog.
type rowSource interface {
	// name says where it is, for people.
	name() string
	// partitions lists what it has.
	partitions() []int32
	// standing says how far a partition was when it was asked. The changelog does
	// not know.
	standing(partition int32) (standing, bool)
	// dump calls do for each row of a partition whose key begins with prefix, as
	// they were at one moment, and returns how far the partition was then. That of
	// the changelog is an offset alone.
	dump(ctx context.Context, partition int32, prefix string, do func(key string, value []byte) error,
	) (standing, error)
	close()
}

// findSources returns the sources that the flags name: workers by address, and
// state directories, whose worker is asked if it runs. A state directory that
// is not there is left out if it was not named.
func (m *Main) findSources(ctx context.Context, table string, dirs, workers []string, named bool,
) ([]rowSource, error) {
	var sources []rowSource
	fail := func(err error) ([]rowSource, error) {
		closeAll(sources)
		return nil, err
	}
	for _, address := range workers {
		source, err := askWorker(ctx, address, table)
		if err != nil {
			return fail(hinted("check --worker", "worker at %s: %w", address, err))
		}
		sources = append(sources, source)
	}
	if len(workers) > 0 && !named {
		return sources, nil
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !named {
			continue
		} else if err != nil {
			return fail(hinted("check --state-dir", "%w", err))
		}
		source, err := m.openDir(ctx, dir, table)
		if err != nil {
			return fail(err)
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func closeAll(sources []rowSource) {
	for _, s := range sources {
		s.close()
	}
}

// openDir asks the worker of a state directory if it runs, else it reads the
// directory.
func (m *Main) openDir(ctx context.Context, dir, table string) (rowSource, error) {
	text, err := os.ReadFile(filepath.Join(dir, workerFile))
	if err == nil {
		var note workerNote
		if err := json.Unmarshal(text, &note); err != nil {
			return nil, hinted("start the worker again", "%s: %w", filepath.Join(dir, workerFile), err)
		}
		source, err := askWorker(ctx, note.Address, table)
		if err == nil {
			return source, nil
		} else if errors.Is(err, errNoTable) {
			return nil, hinted("name another --processor", "worker of %s: %w", dir, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, hinted("check --state-dir", "%w", err)
	}
	db, err := state.OpenReadOnly(state.Options{Dir: filepath.Join(dir, rowsDir), Now: m.Now})
	if errors.Is(err, state.ErrInUse) {
		return nil, hinted("run it without --http off, or stop it",
			"the worker of %s runs and does not answer", dir)
	} else if state.IsCorruption(err) && !errors.Is(err, fs.ErrNotExist) {
		return nil, hinted("start the worker: it sets the tables aside and restores them", "%w", err)
	} else if err != nil {
		return nil, hinted("check --state-dir", "%w", err)
	}
	return newDiskSource(ctx, db, dir, table)
}

// A diskSource reads the tables of a worker that has stopped.
type diskSource struct {
	dir    string
	db     *state.DB
	tables map[int32]*state.Table
	order  []int32
}

func newDiskSource(ctx context.Context, db *state.DB, dir, table string) (*diskSource, error) {
	d := &diskSource{dir: dir, db: db, tables: map[int32]*state.Table{}}
	ids, err := db.Tables()
	for _, id := range ids {
		if err != nil {
			break
		}
		if id.Topic != table {
			continue
		}
		var t *state.Table
		if t, err = db.Table(id); err == nil {
			_, err = t.Check(ctx)
		}
		if err == nil {
			d.tables[id.Partition] = t
			d.order = append(d.order, id.Partition)
		}
	}
	if state.IsCorruption(err) {
		err = hinted("start the worker: it sets the table aside and restores it", "%w", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state directory %s: %w", dir, err), db.Close())
	}
	return d, nil
}

func (d *diskSource) name() string        { return "disk " + d.dir }
func (d *diskSource) partitions() []int32 { return d.order }
func (d *diskSource) close()              { d.db.Close() }

func (d *diskSource) standing(partition int32) (standing, bool) {
	snapshot, err := d.tables[partition].Committed().Snapshot()
	if err != nil {
		return standing{}, false
	}
	defer snapshot.Close()
	return standingOf(snapshot), true
}

func (d *diskSource) dump(_ context.Context, partition int32, prefix string,
	do func(string, []byte) error,
) (standing, error) {
	snapshot, err := d.tables[partition].Committed().Snapshot()
	if err != nil {
		return standing{}, err
	}
	defer snapshot.Close()
	for row, err := range snapshot.All(prefix) {
		if err != nil {
			return standing{}, err
		}
		if err := do(row.Key, row.Value); err != nil {
			return standing{}, err
		}
	}
	return standingOf(snapshot), nil
}

// A workerSource asks a running worker.
type workerSource struct {
	address, group string
	order          []int32
	at             []partitionAnswer
}

// askWorker asks the worker at address what it has of the table.
func askWorker(ctx context.Context, address, table string) (*workerSource, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	in, err := get(ctx, address, "/tables", nil)
	if err != nil {
		return nil, err
	}
	defer in.Body.Close()
	var tables []tableAnswer
	if err := json.NewDecoder(in.Body).Decode(&tables); err != nil {
		return nil, fmt.Errorf("answer of /tables: %w", err)
	}
	names := make([]string, len(tables))
	for i, has := range tables {
		if has.Table == table {
			return &workerSource{address, has.Group, has.Partitions, has.At}, nil
		}
		names[i] = has.Table
	}
	return nil, fmt.Errorf("%w %s, but %s", errNoTable, table,
		cmp.Or(strings.Join(names, ", "), "none"))
}

// errNoTable is the answer of a worker that has other tables.
var errNoTable = errors.New("it does not have the table")

func get(ctx context.Context, address, path string, query url.Values) (*http.Response, error) {
	where := url.URL{Scheme: "http", Host: address, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	// The workers are on this machine: no proxy is asked for the way.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close()
	said, _ := bufio.NewReader(answer.Body).ReadString('\n')
	return nil, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(said))
}

func (w *workerSource) name() string        { return "worker " + w.address }
func (w *workerSource) partitions() []int32 { return w.order }
func (w *workerSource) close()              {}

func (w *workerSource) standing(partition int32) (standing, bool) {
	i := slices.IndexFunc(w.at, func(a partitionAnswer) bool { return a.Partition == partition })
	if i < 0 {
		return standing{}, false
	}
	return w.at[i].standing, true
}

func (w *workerSource) dump(ctx context.Context, partition int32, prefix string,
	do func(string, []byte) error,
) (standing, error) {
	in, err := get(ctx, w.address, fmt.Sprintf("/tables/%s/%d/rows", w.group, partition),
		url.Values{"prefix": {prefix}})
	if err != nil {
		return standing{}, err
	}
	defer in.Body.Close()
	lines := json.NewDecoder(bufio.NewReaderSize(in.Body, 1<<20))
	var head dumpHead
	if err := lines.Decode(&head); err != nil {
		return standing{}, fmt.Errorf("worker %s: %w", w.address, err)
	}
	for {
		var line struct {
			dumpRow
			dumpEnd
		}
		if err := lines.Decode(&line); err != nil {
			return standing{}, fmt.Errorf("worker %s: the answer is cut off: %w", w.address, err)
		}
		if line.Error != "" {
			return standing{}, fmt.Errorf("worker %s: %s", w.address, line.Error)
		}
		if line.End {
			return head.standing, nil
		}
		if err := do(string(line.Key), line.Value); err != nil {
			return standing{}, err
		}
	}
}

// A changelogSource folds the changelog itself.
type changelogSource struct {
	log   *replay.Log
	table string
}

func (c *changelogSource) name() string { return "changelog " + c.table }
func (c *changelogSource) close()       {}

func (c *changelogSource) partitions() []int32 {
	order := make([]int32, c.log.Partitions(c.table))
	for p := range order {
		order[p] = int32(p)
	}
	return order
}

func (c *changelogSource) standing(int32) (standing, bool) { return standing{}, false }

func (c *changelogSource) dump(ctx context.Context, partition int32, prefix string,
	do func(string, []byte) error,
) (standing, error) {
	rows := map[string][]byte{}
	for r, err := range c.log.Records(ctx, c.table, partition) {
		if err != nil {
			return standing{}, err
		}
		if r.Value == nil {
			delete(rows, string(r.Key))
		} else if strings.HasPrefix(string(r.Key), prefix) {
			rows[string(r.Key)] = r.Value
		}
	}
	for _, key := range sortedKeys(rows) {
		if err := do(key, rows[key]); err != nil {
			return standing{}, err
		}
	}
	return standing{Offset: c.log.Span(c.table, partition).End - 1}, nil
}
