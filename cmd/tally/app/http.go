package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tallystick/query/api"
	"tallystick/state"
)

// workerNote is what a worker leaves in its state directory for the verbs that
// want to ask it.
type workerNote struct {
	Address  string   `json:"address"`
	PID      int      `json:"pid"`
	Groups   []string `json:"groups"`
	Instance string   `json:"instance"`
}

// A server answers for a worker while it runs. Without an address it does
// nothing.
type server struct {
	address  string
	listener net.Listener
	http     *http.Server
	note     string
	log      *slog.Logger
}

// off is the address that asks for no server.
const off = "off"

// listen answers for the worker behind the door, and notes its address in the state
// directory, if there is one. The caller closes the server.
func (m *Main) listen(w *worker, instance string, d *door, log *slog.Logger) (*server, error) {
	if d.listener == nil {
		return &server{log: log}, nil
	}
	s := &server{
		address: d.address, listener: d.listener, log: log,
		http: &http.Server{
			Handler:           api.Handler(w.mux(instance), m.Now),
			ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
	if w.api != nil {
		s.http.RegisterOnShutdown(w.api.server.Close)
	}
	if w.dir != "" {
		s.note = filepath.Join(w.dir, workerFile)
		note := workerNote{s.address, os.Getpid(), w.groups(), instance}
		if err := writeNote(s.note, note); err != nil {
			return nil, err
		}
	}
	log.Info("http", "address", s.address)
	return s, nil
}

// writeNote replaces the file at path in one step.
func writeNote(path string, note workerNote) error {
	text, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("http: note: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("http: note: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("http: note: %w", err)
	}
	return nil
}

// run serves until ctx is done.
func (s *server) run(ctx context.Context) error {
	if s.http == nil {
		<-ctx.Done()
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.http.Shutdown(last) != nil {
			s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

// close gives the address up and takes the note away.
func (s *server) close() {
	if s.http == nil {
		return
	}
	s.http.Close()
	if s.note == "" {
		return
	}
	if err := os.Remove(s.note); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("cannot remove the note of the worker's address", "error", err)
	}
}

// mux answers for the worker. What is in the tables is for this machine alone.
func (w *worker) mux(instance string) *http.ServeMux {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(w, instance))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(out, "ok")
	})
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, _ *http.Request) {
		if waiting := w.waiting(); len(waiting) > 0 {
			http.Error(out, strings.Join(waiting, ", ")+
				": no assignment yet, or its tables are being restored", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(out, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if w.page != nil {
		w.page.Register(mux)
	}
	if w.api != nil {
		w.api.server.Register(mux)
	}
	mux.Handle("GET /tables", local(w.listTables))
	mux.Handle("GET /tables/{group}/{partition}", local(w.showTable))
	mux.Handle("GET /tables/{group}/{partition}/rows", local(w.dumpTable))
	mux.Handle("GET /tables/{group}/{partition}/row", local(w.getRow))
	return mux
}

// local admits requests from this machine only, and only under a name of this
// machine, so that no page in a browser can get at the rows by way of a name
// that it points here, and nobody by way of a proxy.
func local(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if !api.FromHere(in) {
			http.Error(out, "this is for this machine alone", http.StatusForbidden)
			return
		}
		next(out, in)
	})
}

// tableAnswer is one table in the answer of /tables. Partitions are those that the
// worker has, At says of those whose tables are open how far they are.
type tableAnswer struct {
	Group      string            `json:"group"`
	Table      string            `json:"table"`
	Ready      bool              `json:"ready"`
	Partitions []int32           `json:"partitions"`
	At         []partitionAnswer `json:"at"`
}

// partitionAnswer is one partition of a table.
type partitionAnswer struct {
	Partition int32 `json:"partition"`
	standing
}

// A standing is how far a partition of a table is: the last record of its changelog
// that is in the rows, how many rows there are, and their fingerprint.
type standing struct {
	Offset      int64  `json:"offset"`
	Rows        int64  `json:"rows"`
	Fingerprint string `json:"fingerprint"`
}

func standingOf(s *state.Snapshot) standing {
	sum := s.Fingerprint()
	return standing{s.Offset(), sum.Rows(), sum.String()}
}

// dumpHead, dumpRow and dumpEnd are the lines of an answer with rows. One that
// has no end was cut off.
type (
	dumpHead struct {
		standing
	}
	dumpRow struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	dumpEnd struct {
		End   bool   `json:"end"`
		Rows  int64  `json:"rows"`
		Error string `json:"error,omitempty"`
	}
)

func (w *worker) listTables(out http.ResponseWriter, _ *http.Request) {
	tables := []tableAnswer{}
	for _, u := range w.units {
		if table := u.table(); table != "" {
			st := u.engine.Stats()
			tables = append(tables, tableAnswer{
				u.group, table, st.Ready, st.Partitions, u.standings(st.Partitions),
			})
		}
	}
	answer(out, tables)
}

// standings tells how far the tables of the partitions are, as far as they are open.
func (u *unit) standings(partitions []int32) []partitionAnswer {
	at := []partitionAnswer{}
	for _, p := range partitions {
		view, ok := u.engine.Table(p)
		if !ok {
			continue
		}
		snapshot, err := view.Snapshot()
		if err != nil {
			continue // it is being closed or made anew
		}
		at = append(at, partitionAnswer{p, standingOf(snapshot)})
		_ = snapshot.Close()
	}
	return at
}

// showTable tells how far one partition is.
func (w *worker) showTable(out http.ResponseWriter, in *http.Request) {
	view, ok := w.view(out, in)
	if !ok {
		return
	}
	snapshot, err := view.Snapshot()
	if err != nil {
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer snapshot.Close()
	answer(out, standingOf(snapshot))
}

func answer(out http.ResponseWriter, value any) {
	out.Header().Set("Content-Type", "application/json")
	json.NewEncoder(out).Encode(value) //nolint:errcheck // the one who asked has gone
}

// view is the table partition that a request names.
func (w *worker) view(out http.ResponseWriter, in *http.Request) (state.View, bool) {
	partition, err := strconv.ParseInt(in.PathValue("partition"), 10, 32)
	if err != nil {
		http.Error(out, "the partition is no number", http.StatusBadRequest)
		return state.View{}, false
	}
	u, ok := w.unit(in.PathValue("group"))
	if !ok {
		http.Error(out, "the group is not with this worker", http.StatusNotFound)
		return state.View{}, false
	}
	view, ok := u.engine.Table(int32(partition))
	if !ok {
		http.Error(out, "the partition is not with this worker", http.StatusNotFound)
	}
	return view, ok
}

// dumpTable writes the committed rows of a partition at one moment, after the
// changelog offset and the fingerprint of that moment.
func (w *worker) dumpTable(out http.ResponseWriter, in *http.Request) {
	view, ok := w.view(out, in)
	if !ok {
		return
	}
	snapshot, err := view.Snapshot()
	if err != nil {
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer snapshot.Close()
	out.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(out)
	if lines.Encode(dumpHead{standingOf(snapshot)}) != nil {
		return
	}
	end := dumpEnd{End: true}
	for row, err := range snapshot.All(in.URL.Query().Get("prefix")) {
		if err != nil {
			end.Error = err.Error()
			break
		}
		if lines.Encode(dumpRow{[]byte(row.Key), row.Value}) != nil {
			return
		}
		end.Rows++
	}
	lines.Encode(end) //nolint:errcheck // the one who asked has gone
}

func (w *worker) getRow(out http.ResponseWriter, in *http.Request) {
	view, ok := w.view(out, in)
	if !ok {
		return
	}
	key := in.URL.Query().Get("key")
	value, err := view.Get(key)
	switch {
	case err != nil:
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
	case value == nil:
		http.Error(out, "there is no such row", http.StatusGone)
	default:
		answer(out, dumpRow{[]byte(key), value})
	}
}
