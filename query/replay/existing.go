package replay

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Forgo makes those names empty whose topics are not in the cluster. One whose
// topics were made by an earlier version lacks what has come since.
func Forgo(ctx context.Context, cl *kgo.Client, names ...*string) error {
	for _, name := range names {
		if *name == "" {
			continue
		}
		found, err := kadm.NewClient(cl).ListTopics(ctx, *name)
		if err != nil {
			return fmt.Errorf("replay: list topics: %w", err)
		}
		if !found.Has(*name) {
			*name = ""
		}
	}
	return nil
}
