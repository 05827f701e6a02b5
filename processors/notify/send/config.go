package send

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// An Effect is what the processor asks for: a [tallystick/schemas.NotifyEffects]
// value under the key of its order.
type Effect struct {
	Key   string
	Value []byte
}

// Config is the setting of a sender.
type Config struct {
	// Mail and Webhook are the ways to send; either may be nil. What is asked of a
	// way that is not there is refused for good.
	Mail    *Mail
	Webhook *Webhook
	// Workers is how many attempts run at a time; 8.
	Workers int
	// Queue is how many wait for them; 1000.
	Queue int
	// MaxBlock is how long Take may wait for room; 2 s.
	MaxBlock time.Duration
	// Report writes the value, a [tallystick/schemas.NotifyResults] one, under key to
	// the topic of results, and returns when it is there. It is called by several
	// goroutines and again after an error.
	Report func(ctx context.Context, key string, value []byte) error
	// Now is the clock.
	Now func() time.Time
	// Logger gets what is lost, and why.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Workers == 0 {
		c.Workers = 8
	}
	if c.Queue == 0 {
		c.Queue = 1000
	}
	if c.MaxBlock == 0 {
		c.MaxBlock = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	problems := []error{
		need(c.Report != nil, "report: is nil"),
		need(c.Now != nil, "now: is nil"),
		need(c.Workers > 0, "workers: %d is not above 0", c.Workers),
		need(c.Queue > 0, "queue: %d is not above 0", c.Queue),
		need(c.MaxBlock > 0, "max-block: %v is not above 0", c.MaxBlock),
	}
	if c.Mail != nil {
		problems = append(problems, c.Mail.validate())
	}
	if c.Webhook != nil {
		problems = append(problems, c.Webhook.validate())
	}
	return errors.Join(problems...)
}

func need(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("send: "+format, args...)
}
