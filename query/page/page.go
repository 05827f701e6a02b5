// Package page is the page of a running system, for people: the map with what flows on
// it, the halves that wait for each other, the story of one order, the dead letters and
// the audit.
//
// It is Go, one page of HTML, a style sheet and plain modules, all in the binary. It
// asks nothing of any other host, and its policy (Content-Security-Policy) forbids it
// to. What it shows comes from Kafka and from functions that it is given, so that it
// knows neither tables nor engine.
package page

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit"
	"tallystick/query/history"
	"tallystick/query/live"
	"tallystick/topology"
)

// Config is what a page is made from. What is nil is not to be had, and the page says
// so.
type Config struct {
	Topology topology.Topology
	// DeadLetters is the topic of them.
	DeadLetters string
	// Instance is the worker that serves the page, Brokers where its Kafka is.
	Instance, Brokers string
	// Client reads topics. It stays the caller's and must outlive the page.
	Client *kgo.Client
	// StreamTime reads the time of a partition from the metadata of an offset.
	StreamTime func(metadata string) (time.Time, bool)
	// Letter reads a record of the dead letters.
	Letter func(*kgo.Record) (Letter, error)
	// Buffers tells what waits.
	Buffers Buffers
	// Story tells what happened to an order, or returns [history.ErrUnknown].
	Story func(ctx context.Context, order string) (*history.Story, error)
	// Commands are the topics of what is asked for, and may be refused.
	Commands []string
	// Audit audits, and tells how many records it has read.
	Audit func(ctx context.Context, read func(records int64)) (*audit.Report, error)
	// Fingerprints tells those of the tables.
	Fingerprints func(ctx context.Context) ([]Fingerprint, error)
	// Local lets a handler answer this machine only: what shows the content of
	// records, or starts something.
	Local func(http.HandlerFunc) http.Handler
	// Hosts are the names under which browsers ask for the page, beside numbers and
	// localhost.
	Hosts []string
	Now   func() time.Time
	Log   *slog.Logger
}

// A Page answers for a running system. Its methods may be called at the same time.
type Page struct {
	cfg       Config
	collector *live.Collector
	letters   *letterBox
	buffers   *remembered[Waiting]
	auditor   *auditor
	token     string // what a request that starts something has to show
	html      *template.Template
	drawing   drawing
	files     map[string]asset
	stories   chan struct{} // those that are being told
}

// An asset is a file of the page as it is served.
type asset struct {
	content   []byte
	kind, tag string
}

//go:embed assets
var assets embed.FS

// New returns the page. Nothing moves on it until it is run.
func New(cfg Config) (*Page, error) {
	token := make([]byte, 16)
	rand.Read(token) //nolint:errcheck // it never fails
	p := &Page{
		cfg: cfg, token: hex.EncodeToString(token), drawing: draw(cfg.Topology),
		files: map[string]asset{}, stories: make(chan struct{}, maxStories),
		collector: live.New(live.Config{
			Client: cfg.Client, Topology: cfg.Topology, StreamTime: cfg.StreamTime, Now: cfg.Now,
		}),
		letters: newLetterBox(cfg), auditor: newAuditor(cfg),
	}
	if cfg.Buffers != nil {
		p.buffers = &remembered[Waiting]{ask: cfg.Buffers.Waiting, now: cfg.Now}
	}
	entries, err := fs.ReadDir(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	for _, e := range entries {
		content, err := assets.ReadFile(path.Join("assets", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		sum := sha256.Sum256(content)
		p.files[e.Name()] = asset{
			content, mime.TypeByExtension(path.Ext(e.Name())), `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
	}
	p.html, err = template.New("page").Parse(string(p.files["page.html"].content))
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return p, nil
}

// Run collects for those who watch, and audits for those who ask, until ctx is done. It
// returns when nothing of it is left.
func (p *Page) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { p.collector.Run(ctx) })
	all.Go(func() { p.auditor.run(ctx) })
	all.Wait()
}

// Register adds the page at /, its files below /page/ and its numbers below /live/.
func (p *Page) Register(mux *http.ServeMux) {
	mux.Handle("GET /{$}", p.named(p.serveHTML))
	mux.HandleFunc("GET /page/{file}", p.serveFile)
	mux.Handle("GET /live/events", p.named(p.serveEvents))
	mux.Handle("GET /live/buffers", p.named(p.serveBuffers))
	mux.Handle("GET /live/orders/{order}", p.cfg.Local(p.serveStory))
	mux.Handle("GET /live/dead-letters", p.cfg.Local(p.serveLetters))
	mux.Handle("GET /live/audit", p.cfg.Local(p.serveAudit))
	mux.Handle("GET /live/fingerprints", p.cfg.Local(p.serveFingerprints))
	same := http.NewCrossOriginProtection()
	mux.Handle("POST /live/audit", p.cfg.Local(same.Handler(http.HandlerFunc(p.startAudit)).ServeHTTP))
}

// named answers under the names of the worker only: a page of somebody else's cannot get
// at the numbers by a name that it points here.
func (p *Page) named(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		host, _, err := net.SplitHostPort(in.Host)
		if err != nil {
			host = strings.Trim(in.Host, "[]")
		}
		if host != "localhost" && net.ParseIP(host) == nil && !slices.Contains(p.cfg.Hosts, host) {
			refuse(out, http.StatusForbidden, "this worker is not known as "+host)
			return
		}
		next(out, in)
	})
}

// policy is what the browser lets the page do: its own files and its own host.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// secured says what browsers may not do with an answer.
func secured(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
}

// shown is what the page's template is filled with.
type shown struct {
	Instance, Brokers, Token string
	Drawing                  drawing
	Topology                 topology.Topology
	Stories, Letters, Audits bool
	Waiting                  bool
}

func (p *Page) serveHTML(out http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	err := p.html.Execute(&text, shown{
		Instance: p.cfg.Instance, Brokers: p.cfg.Brokers, Token: p.token,
		Drawing: p.drawing, Topology: p.cfg.Topology,
		Stories: p.cfg.Story != nil, Letters: p.cfg.Letter != nil, Audits: p.cfg.Audit != nil,
		Waiting: p.cfg.Buffers != nil,
	})
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	h := out.Header()
	secured(h)
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // it holds the token of this process
	out.Write(text.Bytes())            //nolint:errcheck // the one who asked has gone
}

func (p *Page) serveFile(out http.ResponseWriter, in *http.Request) {
	file, ok := p.files[in.PathValue("file")]
	if !ok || in.PathValue("file") == "page.html" {
		http.NotFound(out, in)
		return
	}
	h := out.Header()
	secured(h)
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "no-cache") // asked again each time, and sent when it changed
	h.Set("ETag", file.tag)
	http.ServeContent(out, in, "", time.Time{}, bytes.NewReader(file.content))
}

// answer writes a value as JSON.
func answer(out http.ResponseWriter, status int, value any) {
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	text, err := json.Marshal(value)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	out.WriteHeader(status)
	out.Write(text) //nolint:errcheck // the one who asked has gone
}

// refuse answers with the reason why there is nothing else.
func refuse(out http.ResponseWriter, status int, reason string) {
	answer(out, status, map[string]string{"error": reason})
}

// writeTimeout is how long a browser may take to read one event.
const writeTimeout = 10 * time.Second

// serveEvents sends the state of the system once a second, for as long as the browser
// reads.
func (p *Page) serveEvents(out http.ResponseWriter, in *http.Request) {
	states, stop, err := p.collector.Watch()
	if err != nil {
		refuse(out, http.StatusServiceUnavailable, "too many are watching; close other windows")
		return
	}
	defer stop()
	h := out.Header()
	secured(h)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(out)
	for {
		select {
		case <-in.Context().Done():
			return
		case state, ok := <-states:
			if !ok {
				return
			}
			text, err := json.Marshal(state)
			if err != nil {
				return
			}
			// A server without time-outs has none to set.
			_ = control.SetWriteDeadline(p.cfg.Now().Add(writeTimeout))
			if _, err := fmt.Fprintf(out, "event: state\ndata: %s\n\n", text); err != nil {
				return
			}
			if control.Flush() != nil {
				return
			}
		}
	}
}
