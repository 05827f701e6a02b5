package kafkatest

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Cutter is a dialer for kgo.Dialer that reads what passes: it knows the
// Kafka request at hand by its API key and can lose it, or its response. What
// is lost takes its connection with it, as in a network.
//
// The zero Cutter dials TCP and loses nothing.
type Cutter struct {
	// Base dials; nil means TCP.
	Base func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	loss  Loss
	since time.Time // of the first loss
	lost  int
	seen  map[int16]int
}

// A Loss says what to lose.
type Loss struct {
	// Keys are the API keys to lose, such as 26 for EndTxn.
	Keys []int16
	// Request loses the request before the broker sees it. Otherwise the
	// broker executes the request and its response is lost.
	Request bool
	// Count bounds how many are lost, 0 does not.
	Count int
	// For ends the losses that long after the first one, 0 does not.
	For time.Duration
}

// Lose begins to lose what loss says, instead of what it said before.
func (c *Cutter) Lose(loss Loss) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loss, c.lost, c.since = loss, 0, time.Time{}
}

// Mend loses nothing more.
func (c *Cutter) Mend() { c.Lose(Loss{}) }

// Lost returns how much was lost since Lose was called.
func (c *Cutter) Lost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Seen returns how many requests with the API key clients have sent.
func (c *Cutter) Seen(key int16) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[key]
}

// Dial connects; hand it to kgo.Dialer.
func (c *Cutter) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := c.Base
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	inner, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{
		Conn: inner, cutter: c, keys: map[int32]int16{},
		out: frames{size: 12}, // length, API key, version, correlation id
		in:  frames{size: 8},  // length, correlation id
	}, nil
}

func (c *Cutter) note(key int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[int16]int{}
	}
	c.seen[key]++
}

// loses says whether a request, or its response, is to be lost now.
func (c *Cutter) loses(key int16, request bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.loss
	if l.Request != request || !slices.Contains(l.Keys, key) {
		return false
	}
	now := time.Now()
	if l.Count > 0 && c.lost >= l.Count ||
		l.For > 0 && c.lost > 0 && now.Sub(c.since) >= l.For {
		return false
	}
	if c.lost == 0 {
		c.since = now
	}
	c.lost++
	return true
}

// A cutConn follows the frames of both directions. A client writes from one
// goroutine and reads from another, which share only the keys.
type cutConn struct {
	net.Conn
	cutter  *Cutter
	out     frames
	in      frames
	severed atomic.Bool

	mu   sync.Mutex
	keys map[int32]int16 // of the requests under way, by correlation id
}

// Write passes requests on. It holds the head of a frame back until it has
// all of it, so that a lost request leaves nothing behind.
func (c *cutConn) Write(p []byte) (int, error) {
	pass := make([]byte, 0, len(p)+len(c.out.head))
	for rest := p; len(rest) > 0; {
		n, head := c.out.next(rest)
		if head == nil {
			if c.out.inBody() {
				pass = append(pass, rest[:n]...)
			}
			rest = rest[n:]
			continue
		}
		key := int16(binary.BigEndian.Uint16(head[4:]))
		c.cutter.note(key)
		if c.cutter.loses(key, true) {
			_, _ = c.Conn.Write(pass)
			return 0, c.sever("write")
		}
		c.mu.Lock()
		c.keys[int32(binary.BigEndian.Uint32(head[8:]))] = key
		c.mu.Unlock()
		pass = append(pass, head...)
		rest = rest[n:]
	}
	if len(pass) > 0 {
		if _, err := c.Conn.Write(pass); err != nil {
			return 0, c.failed("write", err)
		}
	}
	return len(p), nil
}

// Read passes responses on, up to one that is to be lost.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for at := 0; at < n; {
		used, head := c.in.next(p[at:n])
		if head != nil && c.cutter.loses(c.answered(head[4:]), false) {
			// Whole responses before this one still arrive; what there may be
			// of this one's head is no use to the client.
			err := c.sever("read")
			if at == 0 {
				return 0, err
			}
			return at, nil
		}
		at += used
	}
	if err != nil {
		err = c.failed("read", err)
	}
	return n, err
}

// answered returns the API key of the request that a response belongs to.
func (c *cutConn) answered(id []byte) int16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	correlation := int32(binary.BigEndian.Uint32(id))
	key, ok := c.keys[correlation]
	if !ok {
		return -1
	}
	delete(c.keys, correlation)
	return key
}

// sever ends the connection and returns what the client sees of it.
func (c *cutConn) sever(op string) error {
	c.severed.Store(true)
	_ = c.Conn.Close()
	return c.failed(op, net.ErrClosed)
}

// failed returns a reset for the errors of a connection that was cut here.
func (c *cutConn) failed(op string, err error) error {
	if !c.severed.Load() {
		return err
	}
	reset := os.NewSyscallError(op, syscall.ECONNRESET)
	return &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: reset}
}

// frames follows length-prefixed frames through a stream that is cut anywhere.
type frames struct {
	size int    // of the head that is wanted, with the four bytes of length
	head []byte // what there is of the next frame's head
	rest int    // bytes of this frame's body that are still to come
}

// next takes bytes up to the end of a head or of a body. It returns how many,
// and a head that has become whole.
func (f *frames) next(p []byte) (n int, head []byte) {
	if f.rest > 0 {
		n = min(f.rest, len(p))
		f.rest -= n
		return n, nil
	}
	n = min(f.size-len(f.head), len(p))
	f.head = append(f.head, p[:n]...)
	if len(f.head) < f.size {
		return n, nil
	}
	head, f.head = f.head, nil
	f.rest = int(binary.BigEndian.Uint32(head)) - (f.size - 4)
	return n, head
}

// inBody says whether the bytes that next took last are a body's.
func (f *frames) inBody() bool { return len(f.head) == 0 }
