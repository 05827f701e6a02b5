package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A sample is how many inputs were done at a time.
type sample struct {
	at   time.Time
	done int
}

// progress waits until a group has taken all inputs, and notes the way there.
func progress(ctx context.Context, admin *kadm.Client, group string, inputs int,
	ended <-chan struct{}, topics ...string,
) ([]sample, error) {
	var samples []sample
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for polls := 50; ; {
		at, err := admin.FetchOffsets(ctx, group)
		if err == nil {
			done := 0
			for _, topic := range topics {
				for _, o := range at[topic] {
					done += int(max(0, o.At))
				}
			}
			samples = append(samples, sample{time.Now(), done})
			if done >= inputs {
				return samples, nil
			}
		}
		select {
		case <-ctx.Done():
			return samples, fmt.Errorf("bench: not done in time: %w", ctx.Err())
		case <-tick.C:
		}
		select {
		case <-ended:
			// The broker shows the last commit a moment after it was made.
			if polls--; polls == 0 {
				return samples, errors.New("bench: it ended before its work was done")
			}
		default:
		}
	}
}

// slope is the rate between a tenth and nine tenths of the work.
func slope(samples []sample) float64 {
	if len(samples) == 0 {
		return 0
	}
	all := samples[len(samples)-1].done
	var first, last sample
	for _, s := range samples {
		if first.at.IsZero() && s.done >= all/10 {
			first = s
		}
		if s.done <= all*9/10 || last.at.IsZero() {
			last = s
		}
	}
	if took := last.at.Sub(first.at).Seconds(); took > 0 && last.done > first.done {
		return float64(last.done-first.done) / took
	}
	return 0
}
