package page

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRememberedWhileSlow: a slow answer is asked for once, holds nobody up for longer
// than he waits, and comes to those who wait although the first one has gone.
func TestRememberedWhileSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := &remembered[int]{now: time.Now, ask: func(ctx context.Context) (int, error) {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(10 * time.Second):
				return 7, nil
			}
		}}
		hasty := make(chan error, 2)
		for range cap(hasty) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _, err := r.get(ctx)
				hasty <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		value, _, err := r.get(t.Context())
		if value != 7 || err != nil || asked.Load() != 1 {
			t.Errorf("got %d (%v), asked %d times", value, err, asked.Load())
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
		for range cap(hasty) {
			if err := <-hasty; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who has gone got %v", err)
			}
		}
	})
}

// TestRememberedFailures: a failure is remembered too, for less long than an answer.
func TestRememberedFailures(t *testing.T) {
	torn := errors.New("torn")
	now, asked := time.Unix(7, 0), 0
	r := &remembered[int]{
		now: func() time.Time { return now },
		ask: func(context.Context) (int, error) { asked++; return 0, torn },
	}
	for _, step := range []struct {
		past time.Duration
		want int
	}{{0, 1}, {stale - 1, 1}, {1, 2}, {0, 2}, {stale, 3}} {
		now = now.Add(step.past)
		if _, _, err := r.get(t.Context()); !errors.Is(err, torn) || asked != step.want {
			t.Errorf("asked %d times, want %d (%v)", asked, step.want, err)
		}
	}
}
