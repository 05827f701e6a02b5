package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A fake runs kfake in this process. One of a test's own keeps its data in a
// folder, so that it can be stopped and started.
type fake struct {
	advertised string
	direct     bool
	dir        string
	config     map[string]string

	mu      sync.Mutex
	cluster *kfake.Cluster
	id      string
}

func newFake(c config, advertised string) (*fake, error) {
	f := &fake{advertised: advertised, direct: c.direct, id: newClusterID(), config: map[string]string{
		"message.max.bytes":            "4194304",
		"group.min.session.timeout.ms": "1000",
	}}
	for name, value := range c.settings {
		f.config[name] = value
	}
	if !c.own {
		return f, nil
	}
	dir, err := os.MkdirTemp("", "kafkatest-fake-")
	if err != nil {
		return nil, err
	}
	f.dir = dir
	return f, nil
}

func (f *fake) start(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cluster != nil {
		return "", errors.New("already started")
	}
	var at string
	to := "127.0.0.1:0"
	if f.direct {
		to = f.advertised
	}
	listen := func(network, _ string) (net.Listener, error) {
		l, err := net.Listen(network, to)
		if err != nil {
			return nil, err
		}
		at = l.Addr().String()
		return posing{l, f.advertised}, nil
	}
	_, port, err := net.SplitHostPort(f.advertised)
	if err != nil {
		return "", err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return "", err
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(number), kfake.ListenFn(listen),
		kfake.ClusterID(f.id), kfake.BrokerConfigs(f.config),
	}
	if f.dir != "" {
		opts = append(opts, kfake.DataDir(f.dir), kfake.SyncWrites())
	}
	f.cluster, err = kfake.NewCluster(opts...)
	if err != nil {
		return "", fmt.Errorf("kfake: %w", err)
	}
	return at, nil
}

func (f *fake) stop(context.Context, bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cluster != nil {
		f.cluster.Close()
		f.cluster = nil
	}
	return nil
}

func (f *fake) close() error {
	err := f.stop(context.Background(), true)
	if f.dir != "" {
		err = errors.Join(err, os.RemoveAll(f.dir))
	}
	return err
}

func (f *fake) dead() error  { return nil }
func (f *fake) log() string  { return "" }
func (f *fake) what() string { return "franz-go kfake in this process" }

// posing is a listener under another address: kfake advertises the address of
// its listener, and here that has to be the proxy's.
type posing struct {
	net.Listener
	address string
}

func (p posing) Addr() net.Addr { return address(p.address) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }
