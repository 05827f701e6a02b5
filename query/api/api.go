package api

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tallystick/query/history"
	"tallystick/schemas/tallyv1"
)

// The limits of the interface.
const (
	// MaxWait is how long an answer may wait for what a token speaks of, and
	// DefaultWait how long it does if nobody says.
	MaxWait     = 30 * time.Second
	DefaultWait = 5 * time.Second
	// MaxLimit is the most that a list gives at once, DefaultLimit what it gives if
	// nobody says.
	MaxLimit     = 500
	DefaultLimit = 50
	// MaxBody is the largest body of a request, in bytes.
	MaxBody = 1 << 20
	// MaxFollowers is how many may follow changes on one worker at the same time,
	// MaxWaiting how many may wait, MaxCommands how many commands may be under way,
	// MaxGathering how many lists and sums are made at once, MaxTelling how many stories:
	// see [history.MaxRecordBytes] for what each may take. What peers ask for theirs
	// has room of its own, or workers could wait for each other.
	MaxFollowers = 200
	MaxWaiting   = 2000
	MaxCommands  = 500
	MaxGathering = 16
	MaxTelling   = 4
	maxAnswering = 64 // what peers ask for theirs
)

// Views is the table of the views as far as this worker has it.
type Views interface {
	// Partitions is how many partitions the table has, 0 while that is not known.
	Partitions() int32
	// Rows returns the rows of a partition, and false if it is not with this worker.
	Rows(partition int32) (Rows, bool)
}

// Rows are the committed rows of a partition.
type Rows interface {
	// Get returns the row of an order, or nil if there is none.
	Get(order string) ([]byte, error)
	// Index returns the entries that begin with prefix, from from on, in order.
	Index(from, prefix []byte) iter.Seq2[Entry, error]
}

// An Entry is one of the index, and the order whose row has it.
type Entry struct {
	Entry []byte
	Order string
}

// Peers tells where the partitions are.
type Peers interface {
	// Peers returns the addresses of the workers by partition, as far as they are
	// known.
	Peers(ctx context.Context) (map[int32]string, error)
}

// A Commander writes commands.
type Commander interface {
	// Command writes a command and returns where it is, once it is safe there.
	Command(ctx context.Context, c *tallyv1.OrderCommand) (Position, error)
}

// A Position is the place of a record.
type Position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Config is what a server is made of.
type Config struct {
	Views Views
	Peers Peers
	// Commander is nil where commands are not taken, as in the main job.
	Commander Commander
	// Feed is told of changes by whoever runs the views. The server does not close it.
	Feed *Feed
	// Topics are the names of the topics.
	Topics map[tallyv1.OrderView_Topic]string
	// Story tells what happened to an order, or returns [history.ErrUnknown]. Nil
	// where nobody can.
	Story func(ctx context.Context, order string) (*history.Story, error)

	// Address is the one under which this worker's peers know it.
	Address string
	// Loopback says that the server listens to this machine alone.
	Loopback bool
	// Token is what a request that writes has to show; empty for none, which will do
	// on loopback only.
	Token string

	Now func() time.Time
	Log *slog.Logger
	// Heartbeat is how often those who follow hear that the line is up; 15 s.
	Heartbeat time.Duration
	// Transport carries questions to peers; nil is one of its own.
	Transport http.RoundTripper
}

// A Server answers requests. It is made by [New].
type Server struct {
	cfg       Config
	peers     *book
	client    *http.Client
	hosts     map[string]bool
	origins   *http.CrossOriginProtection
	following chan struct{}
	waiting   chan struct{}
	commands  chan struct{}
	gathering chan struct{}
	telling   chan struct{}
	answering chan struct{}
	recheck   time.Duration
	patience  time.Duration
	ending    chan struct{} // closed when the worker ends
	closed    sync.Once
}

// New returns a server of cfg. It opens nothing.
func New(cfg Config) *Server {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{
			DialContext: dialer, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
			ResponseHeaderTimeout: MaxWait + 5*time.Second, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	s := &Server{
		cfg: cfg, peers: newBook(cfg.Peers, cfg.Now),
		// A peer that sends us elsewhere is none of ours.
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		hosts: ownNames(cfg.Address), origins: http.NewCrossOriginProtection(),
		following: make(chan struct{}, MaxFollowers), waiting: make(chan struct{}, MaxWaiting),
		commands: make(chan struct{}, MaxCommands), gathering: make(chan struct{}, MaxGathering),
		telling:   make(chan struct{}, MaxTelling),
		answering: make(chan struct{}, maxAnswering),
		recheck:   recheck, patience: peerWithin, ending: make(chan struct{}),
	}
	return s
}

// Register adds the paths of the interface to mux, behind which [Handler] belongs.
func (s *Server) Register(mux *http.ServeMux) {
	for _, r := range s.routes() {
		mux.Handle(r.method+" "+r.path, s.guarded(r))
	}
}

// A route is one path of the interface and who answers there.
type route struct {
	method, path string
	handle       http.HandlerFunc
	// writes says that it needs the token where one is asked for; content that it
	// shows what is in records, which is for this machine or for those with the token.
	writes, content bool
}

func (s *Server) routes() []route {
	return []route{
		{method: "POST", path: "/orders", handle: s.placeOrder, writes: true},
		{method: "POST", path: "/orders/{id}/cancel", handle: s.cancelOrder, writes: true},
		{method: "GET", path: "/orders/{id}", handle: s.getOrder},
		{method: "GET", path: "/orders/{id}/events", handle: s.getStory, content: true},
		{method: "GET", path: "/orders/{id}/places", handle: s.getPlaces},
		{method: "GET", path: "/customers/{id}/orders", handle: s.listCustomer},
		{method: "GET", path: "/stuck", handle: s.listOpen},
		{method: "GET", path: "/money-at-risk", handle: s.sumMoney},
		{method: "GET", path: streamPath, handle: s.follow},
		{method: "GET", path: "/openapi.json", handle: s.describe},
	}
}
