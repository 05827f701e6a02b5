package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The errors with which Run stops. Each means that going on could not be shown
// to be safe; nothing of the open transaction was committed.
var (
	// ErrFenced means that another worker runs under the same instance name.
	ErrFenced = errors.New("engine: fenced by another worker with the same instance name")
	// ErrMisrouted means that a producer partitions by another key hash.
	ErrMisrouted = errors.New("engine: record is in the wrong partition for its key")
	// ErrOffsetsLost means that the table has rows and the group has no offsets.
	ErrOffsetsLost = errors.New("engine: group offsets are gone while the table has rows")
	// ErrInputTruncated means that the log no longer holds the next record to read.
	ErrInputTruncated = errors.New("engine: input was deleted before it was read")
	// ErrTransactionVersion means that the brokers' transactions are not safe enough.
	ErrTransactionVersion = errors.New("engine: brokers lack transaction.version 2")
	// ErrHangingTransaction means that a transaction on the changelog does not end.
	ErrHangingTransaction = errors.New("engine: a transaction on the changelog does not end")
	// ErrTopic means that a topic is missing or is not set up as the graph needs it.
	ErrTopic = errors.New("engine: topic is not as the processor needs it")
	// ErrRow means that a row of the table can't be read or written.
	ErrRow = errors.New("engine: row can't be read or written")
	// ErrRefused means that a callback uses a feature of Goka that would break the guarantee.
	ErrRefused = errors.New("engine: not supported in a transaction")
	// ErrGroup means that the group's coordinator refuses the worker's settings.
	ErrGroup = errors.New("engine: the group refuses this worker")
	// ErrTimer means that a callback did not do with a timer what it has to.
	ErrTimer = errors.New("engine: a timer was not handled")
	// ErrStalled means that callbacks did not finish within the transaction timeout.
	ErrStalled = errors.New("engine: callbacks did not finish in time")
)

// errNoTransaction is the answer to an emit outside of a transaction.
var errNoTransaction = errors.New("engine: emit outside of a transaction")

// A restart is an error after which the engine goes on with a new client. Every
// other error stops it.
type restart struct{ err error }

func (r restart) Error() string { return r.err.Error() }
func (r restart) Unwrap() error { return r.err }

// again marks err as one to restart after. It returns nil for nil.
func again(err error) error {
	if err == nil {
		return nil
	}
	return restart{err}
}

// fencedBy tells whether err says that somebody else took our transactional id
// or our place in the group.
func fencedBy(err error) bool {
	return errors.Is(err, kerr.FencedInstanceID) ||
		errors.Is(err, kerr.ProducerFenced) ||
		errors.Is(err, kerr.InvalidProducerEpoch)
}

// classify turns an error of a transaction into what the engine does about it.
// overdue tells that the transaction was open for longer than its timeout: the
// broker itself fences the producer then.
func classify(err error, overdue bool) error {
	if fencedBy(err) && (!overdue || errors.Is(err, kerr.FencedInstanceID)) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return again(err)
}

// fetchError is the first error in f, classified, or nil. The client hands out
// errors that it doesn't get over by itself: behind one that is not known here
// it may have dropped the partition, silently from then on, so that only a new
// client reads it again.
func fetchError(f kgo.Fetches) error {
	var found error
	f.EachError(func(topic string, partition int32, err error) {
		var group *kgo.ErrGroupSession
		var classified error
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange):
			classified = fmt.Errorf("%w: %s/%d: %w (hint: the retention of the topic is shorter "+
				"than the worker was away; records are lost to it)", ErrInputTruncated, topic, partition, err)
		case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
			classified = fmt.Errorf("%w: %s/%d: %w", ErrTopic, topic, partition, err)
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
			classified = fmt.Errorf("engine: read %s/%d: %w", topic, partition, err)
		case errors.Is(err, kerr.FencedInstanceID):
			classified = fmt.Errorf("%w: %w", ErrFenced, err)
		case errors.Is(err, kerr.InvalidSessionTimeout), errors.Is(err, kerr.InvalidGroupID),
			errors.Is(err, kerr.InconsistentGroupProtocol), errors.Is(err, kerr.GroupMaxSizeReached):
			classified = fmt.Errorf("%w: %w", ErrGroup, err)
		case errors.As(err, &group):
			classified = again(err)
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		default:
			classified = again(fmt.Errorf("fetch %s/%d: %w", topic, partition, err))
		}
		if found == nil {
			found = classified
		}
	})
	return found
}
