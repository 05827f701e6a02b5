package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A Proxy stands between clients and a broker, at the address that the broker
// advertises, so that it can spoil every connection.
type Proxy struct{ inner *toxiproxy.Proxy }

// newProxy listens on addr; it has nowhere to go until pointed.
func newProxy(addr string) (*Proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	inner := toxiproxy.NewProxy(server, "kafka", addr, "127.0.0.1:1")
	if err := inner.Start(); err != nil {
		return nil, fmt.Errorf("kafkatest: proxy: %w", err)
	}
	return &Proxy{inner: inner}, nil
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.inner.Listen }

// point sets where the proxy leads to. It ends every connection.
func (p *Proxy) point(upstream string) error {
	to := &toxiproxy.Proxy{Listen: p.inner.Listen, Upstream: upstream, Enabled: true}
	if err := p.inner.Update(to); err != nil {
		return fmt.Errorf("kafkatest: proxy: %w", err)
	}
	return nil
}

// Cut ends every connection and refuses new ones until Mend.
func (p *Proxy) Cut() { p.inner.Stop() }

// Mend lets connections through again after Cut.
func (p *Proxy) Mend() error {
	err := p.inner.Start()
	if err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		return fmt.Errorf("kafkatest: proxy: %w", err)
	}
	return nil
}

// Latency delays everything that the broker answers by d; 0 ends that.
func (p *Proxy) Latency(d time.Duration) error {
	if p.inner.Toxics.GetToxic("latency") != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.inner.Toxics.RemoveToxic(ctx, "latency"); err != nil {
			return fmt.Errorf("kafkatest: proxy: %w", err)
		}
	}
	if d == 0 {
		return nil
	}
	toxic := fmt.Sprintf(`{"name":"latency","type":"latency","stream":"downstream",`+
		`"attributes":{"latency":%d}}`, d.Milliseconds())
	if _, err := p.inner.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return fmt.Errorf("kafkatest: proxy: %w", err)
	}
	return nil
}
