package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What the floor is to read and where it is to write.
type floorJob struct {
	Brokers          []string
	Orders, Payments string
	// Table takes 400 bytes for each order, Results 200 for each payment.
	Table, Results string
	Group          string
	Inputs         int
	Interval       time.Duration
}

// floor reads every input and writes one record for each, in transactions with
// the offsets. Nothing is decoded, nothing is kept.
func floor(ctx context.Context, job floorJob) error {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(job.Brokers...), kgo.DisableClientMetrics(),
		kgo.TransactionalID(job.Group), kgo.ConsumerGroup(job.Group),
		kgo.ConsumeTopics(job.Orders, job.Payments), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("bench: floor: %w", err)
	}
	defer s.Close()
	text := filler()
	for done := 0; done < job.Inputs; {
		n, err := transaction(ctx, s, job, text)
		if err != nil {
			return fmt.Errorf("bench: floor: %w", err)
		}
		done += n
	}
	return nil
}

// transaction handles what comes in within the interval.
func transaction(
	ctx context.Context, s *kgo.GroupTransactSession, job floorJob, text []byte,
) (int, error) {
	if err := s.Begin(); err != nil {
		return 0, err
	}
	end, cancel := context.WithTimeout(ctx, job.Interval)
	defer cancel()
	n := 0
	for end.Err() == nil {
		fetches := s.PollFetches(end)
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return n, e.Err
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out := &kgo.Record{Topic: job.Results, Partition: r.Partition, Key: r.Key}
			size := 200
			if r.Topic == job.Orders {
				out.Topic, size = job.Table, 400
			}
			from := n * 61 % (len(text) - size)
			out.Value = text[from : from+size]
			s.Produce(ctx, out, nil)
			n++
		})
	}
	committed, err := s.End(ctx, kgo.TryCommit)
	if !committed {
		// Now and then the broker refuses the second batch in flight of a new
		// transaction while it still ends the last one. What was read comes again.
		n = 0
	}
	return n, err
}

// filler is text that compresses about as well as rows do.
func filler() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 0, 1<<20)
	for len(text) < 1<<20 {
		text = fmt.Appendf(text, "order-%010d EUR %06d ", random.IntN(1e9), random.IntN(1e6))
	}
	return text
}
