package app

import (
	"fmt"
	"time"
)

// progress shows how far a verb is: on a terminal as one line that is written
// over, else as a plain line now and then. With -o json and no terminal it
// says nothing. It is for one goroutine.
type progress struct {
	m     *Main
	quiet bool
	every time.Duration
	last  time.Time
	open  bool // the cursor stands in an unfinished line
}

func (m *Main) progress(s *settings) *progress {
	p := &progress{m: m, every: 2 * time.Second, last: m.Now()}
	if m.Terminal {
		p.every, p.last = 100*time.Millisecond, time.Time{}
	}
	p.quiet = s.Output == outputJSON && !m.Terminal
	return p
}

// show writes the line if it is time for the next one.
func (p *progress) show(line func() string) {
	now := p.m.Now()
	if p.quiet || now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	p.write(line())
}

// write writes the line now.
func (p *progress) write(line string) {
	if p.quiet {
		return
	}
	if !p.m.Terminal {
		fmt.Fprintln(p.m.Stderr, line)
		return
	}
	if width := p.m.Width(); width > 1 && len([]rune(line)) >= width {
		line = string([]rune(line)[:width-1])
	}
	fmt.Fprint(p.m.Stderr, "\r\x1b[K"+line)
	p.open = true
}

// end takes the line away, so that what follows begins on a line of its own.
func (p *progress) end() {
	if p.open {
		fmt.Fprint(p.m.Stderr, "\r\x1b[K")
		p.open = false
	}
}

// A ticker shows how far something is that goes on elsewhere.
type ticker struct {
	p    *progress
	done chan struct{}
	gone chan struct{}
}

// ticker shows line again and again until it is stopped.
func (m *Main) ticker(s *settings, line func() string) *ticker {
	t := &ticker{p: m.progress(s), done: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(t.gone)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-t.done:
				t.p.end()
				return
			case <-tick.C:
				t.p.show(line)
			}
		}
	}()
	return t
}

// stop takes the line away and waits until nothing more is shown.
func (t *ticker) stop() {
	close(t.done)
	<-t.gone
}
