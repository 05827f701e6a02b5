package topology

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Apply creates the topics that the plan names as missing and returns the names
// of those that it created. It touches no topic that exists: what differs stays
// as it is, and a topic that somebody else created meanwhile is left alone too.
// When Apply returns, what it created has leaders.
func (p Plan) Apply(ctx context.Context, adm *kadm.Client) ([]string, error) {
	var created []string
	for _, topic := range p.Missing {
		_, err := adm.CreateTopic(ctx, topic.Partitions, topic.Replication, topic.configs(), topic.Name)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			return created, &ApplyError{Topic: topic.Name, Err: err}
		default:
			created = append(created, topic.Name)
		}
	}
	for _, name := range created {
		if err := awaitLeaders(ctx, adm, name); err != nil {
			return created, &ApplyError{Topic: name, Err: err}
		}
	}
	return created, nil
}

// An ApplyError says which topic could not be created, and why.
type ApplyError struct {
	Topic string
	Err   error
}

// Error names the topic and the cause.
func (e *ApplyError) Error() string {
	return fmt.Sprintf("topology: create topic %s: %v", e.Topic, e.Err)
}

// Unwrap returns the cause.
func (e *ApplyError) Unwrap() error { return e.Err }

// Hint says what usually is behind the cause.
func (e *ApplyError) Hint() string {
	switch {
	case errors.Is(e.Err, kerr.TopicAuthorizationFailed),
		errors.Is(e.Err, kerr.ClusterAuthorizationFailed):
		return "this user may not create topics: give it Create on them, or have them created"
	case errors.Is(e.Err, kerr.InvalidReplicationFactor):
		return "the cluster has fewer brokers than copies: name a smaller replication"
	case errors.Is(e.Err, kerr.PolicyViolation):
		return "the cluster's policy refuses it: see its message, or have the topic created"
	default:
		return "what was created before stays; run it again when the cause is gone"
	}
}

// awaitLeaders waits until every partition of a new topic has a leader. Brokers
// answer a creation before that, and answer the first requests after it with
// errors.
func awaitLeaders(ctx context.Context, adm *kadm.Client, name string) error {
	const pause = 20 * time.Millisecond
	for {
		found, err := adm.ListTopics(ctx, name)
		if err != nil {
			return fmt.Errorf("wait for leaders: %w", err)
		}
		if led(found[name]) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for leaders: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

func led(topic kadm.TopicDetail) bool {
	if topic.Err != nil || len(topic.Partitions) == 0 {
		return false
	}
	for _, p := range topic.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return true
}
