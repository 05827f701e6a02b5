package page

import (
	"context"
	"crypto/subtle"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tallystick/query/audit"
)

// An auditor audits, one audit at a time.
type auditor struct {
	cfg   Config
	asked chan struct{}
	read  atomic.Int64

	mu      sync.Mutex
	running bool
	last    audited
}

// audited is the last audit, and whether there is one under way.
type audited struct {
	// At is when it ended, nil before the first one.
	At      *time.Time    `json:"at"`
	Seconds float64       `json:"seconds"`
	Report  *audit.Report `json:"report"`
	Error   string        `json:"error,omitempty"`
	Running bool          `json:"running"`
	// Read is how many records the one under way has read.
	Read int64 `json:"read"`
}

func newAuditor(cfg Config) *auditor { return &auditor{cfg: cfg, asked: make(chan struct{}, 1)} }

// run audits when it is asked to, until ctx is done.
func (a *auditor) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.asked:
		}
		began := a.cfg.Now()
		a.read.Store(0)
		report, err := a.cfg.Audit(ctx, func(n int64) { a.read.Add(n) })
		a.ended(began, report, err)
	}
}

func (a *auditor) ended(began time.Time, report *audit.Report, err error) {
	at := a.cfg.Now().UTC()
	last := audited{At: &at, Seconds: at.Sub(began).Seconds(), Report: report}
	if err != nil {
		last.Error = err.Error()
		a.cfg.Log.Warn("an audit that the page was asked for failed", "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.last = false, last
}

// start asks for an audit, and returns false if one is under way.
func (a *auditor) start() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running {
		return false
	}
	a.running = true
	a.asked <- struct{}{} // there is room: it is taken before running ends
	return true
}

func (a *auditor) state() audited {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.last
	if s.Running = a.running; s.Running {
		s.Read = a.read.Load()
	}
	return s
}

// Audited tells the page of an audit that somebody else has made.
func (p *Page) Audited(report *audit.Report, took time.Duration) {
	p.auditor.ended(p.cfg.Now().Add(-took), report, nil)
}

func (p *Page) serveAudit(out http.ResponseWriter, _ *http.Request) {
	answer(out, http.StatusOK, p.auditor.state())
}

// tokenHeader has what the page was given, and no other site knows: browsers ask before
// they send such a header for another site, and are refused.
const tokenHeader = "X-Tally-Token"

func (p *Page) startAudit(out http.ResponseWriter, in *http.Request) {
	shown := []byte(in.Header.Get(tokenHeader))
	switch {
	case subtle.ConstantTimeCompare(shown, []byte(p.token)) != 1:
		refuse(out, http.StatusForbidden, "the page is of another process: load it again")
	case p.cfg.Audit == nil:
		refuse(out, http.StatusNotFound, "this worker cannot audit")
	case !p.auditor.start():
		refuse(out, http.StatusConflict, "an audit is under way")
	default:
		answer(out, http.StatusAccepted, p.auditor.state())
	}
}

// A Fingerprint is what the rows of one partition of a table come to.
type Fingerprint struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	Value     string `json:"value"`
	Rows      int64  `json:"rows"`
	// Source is who says so: a worker, or the journal.
	Source string `json:"source"`
}

func (p *Page) serveFingerprints(out http.ResponseWriter, in *http.Request) {
	if p.cfg.Fingerprints == nil {
		answer(out, http.StatusOK, []Fingerprint{})
		return
	}
	prints, err := p.cfg.Fingerprints(in.Context())
	if err != nil {
		refuse(out, http.StatusBadGateway, err.Error())
		return
	}
	if prints == nil {
		prints = []Fingerprint{}
	}
	answer(out, http.StatusOK, prints)
}
