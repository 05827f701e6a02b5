package simulation

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tallystick/test/kafkatest"
)

// API keys of the requests that faults and kills are aimed at.
const (
	keyProduce         = 0
	keyFetch           = 1
	keyListOffsets     = 2
	keyOffsetFetch     = 9
	keyJoinGroup       = 11
	keySyncGroup       = 14
	keyInitProducerID  = 22
	keyAddPartitions   = 24
	keyAddOffsets      = 25
	keyEndTxn          = 26
	keyTxnOffsetCommit = 28
)

// deadly says, by API key, how rarely a worker dies around a request. Those
// that are sent seldom kill more often.
var deadly = map[uint16]int{
	keyProduce: 900, keyInitProducerID: 30, keyAddPartitions: 300, keyAddOffsets: 300,
	keyEndTxn: 350, keyTxnOffsetCommit: 350, keyFetch: 4000, keyListOffsets: 400,
	keyOffsetFetch: 100, keyJoinGroup: 60, keySyncGroup: 60,
}

var errSevered = errors.New("simulation: the process is dead")

// A network is that of one life of a worker: it can be severed as a whole, it
// loses the answers to EndTxn at times, and the worker dies at its boundaries.
type network struct {
	s      *simulation
	who    string
	die    func(why string)
	cutter kafkatest.Cutter
	dead   atomic.Bool

	mu    sync.Mutex
	conns map[*conn]int
	next  int
}

func newNetwork(s *simulation, who string, die func(string)) *network {
	return &network{
		s: s, who: who, die: die, conns: map[*conn]int{},
		cutter: kafkatest.Cutter{Base: s.net.DialContext},
	}
}

// dial connects to a broker, for kgo.Dialer.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	if n.dead.Load() {
		return nil, errSevered
	}
	inner, err := n.cutter.Dial(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, n: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	n.conns[c] = n.next
	if n.dead.Load() {
		return nil, errors.Join(errSevered, inner.Close())
	}
	return c, nil
}

// sever closes all connections, in the order of their making, and lets none be
// made any more.
func (n *network) sever() {
	n.dead.Store(true)
	n.mu.Lock()
	conns := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		conns = append(conns, c)
	}
	slices.SortFunc(conns, func(a, b *conn) int { return cmp.Compare(n.conns[a], n.conns[b]) })
	clear(n.conns)
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Conn.Close()
	}
}

// lose decides whether the answers to EndTxn get lost from now on: one, or all
// for so long that the client gives up. The requests are executed; or they are
// lost themselves.
func (n *network) lose() {
	if !n.s.faulty("lost EndTxn", 250) {
		return
	}
	r := n.s.chance.draw("how EndTxn is lost")
	loss := kafkatest.Loss{Keys: []int16{keyEndTxn}, Request: r.IntN(4) == 0}
	if r.IntN(3) == 0 {
		loss.Count = 1
	} else {
		loss.For = time.Duration(1+r.IntN(90)) * time.Second
	}
	n.cutter.Lose(loss)
	n.s.note("%s loses EndTxn: %+v", n.who, loss)
}

// A conn is one connection of a worker. The client writes a request at a time.
type conn struct {
	net.Conn
	n    *network
	deaf atomic.Bool // the worker dies before it reads what comes next
}

// Write passes a request on, unless the worker dies before or after it.
func (c *conn) Write(b []byte) (int, error) {
	if c.n.dead.Load() {
		return 0, errSevered
	}
	c.n.s.beat.Add(1)
	c.n.s.delay()
	if len(b) > 6 {
		key := binary.BigEndian.Uint16(b[4:])
		if key == keyEndTxn {
			c.n.lose()
		}
		if rare, ok := deadly[key]; ok && c.n.s.deadly(fmt.Sprint("request ", key), rare) {
			switch c.n.s.chance.draw("side of the request").IntN(3) {
			case 0:
				c.n.kill(fmt.Sprintf("before request %d", key))
				return 0, errSevered
			case 1:
				n, err := c.Conn.Write(b)
				c.n.kill(fmt.Sprintf("behind request %d", key))
				return n, err
			default:
				c.deaf.Store(true)
			}
		}
	}
	return c.Conn.Write(b)
}

// Read passes answers on, unless the worker dies before it has them.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.deaf.Load() {
		c.n.kill("before an answer")
		return 0, errSevered
	}
	return n, err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	return c.Conn.Close()
}

// kill severs the network at once, so that nothing more gets through.
func (n *network) kill(why string) {
	n.sever()
	n.die(why)
}
