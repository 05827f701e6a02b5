package audit

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/audit/causes"
)

// because looks at causes and effects, if that is asked for, and puts what it
// finds into the report.
func (r *reader) because(ctx context.Context, cl *kgo.Client, report *Report) error {
	if r.Causes == nil {
		return nil
	}
	o := *r.Causes
	o.Repeats, o.Patience, o.Progress = r.Rules.RepeatSpeech, r.Patience, r.Progress
	o.Retried = r.Retried
	found, err := causes.Cluster(ctx, cl, o)
	if err != nil {
		return err
	}
	report.Causes = found
	if found.Wrong() == 0 {
		return nil
	}
	for _, f := range found.Findings {
		report.differ(Difference{Kind: kindCause, Key: f.Order, Place: f.Place, Detail: f.Detail})
	}
	report.DifferenceCount += found.Wrong() - int64(len(found.Findings))
	return nil
}
