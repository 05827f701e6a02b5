package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/query/replay"
)

// A mending is what an operator asks for.
type mending struct {
	what, group, file, reason string
	drop, all, again          bool
	wait                      time.Duration
	value                     []byte
}

// retriesAtOnce is how many letters of a key are asked for before looking again.
const retriesAtOnce = 1000

func (m *Main) lettersRetry(s *settings) *cobra.Command {
	a := &mending{}
	cmd := &cobra.Command{
		Use:   "retry KEY|PLACE",
		Short: "Process dead letters again, in order: what waits under a key, or one by its place",
		Long: paragraph(`
			Of a key that is parked all that waits is processed, the first one first, also what
			comes meanwhile, until nothing is left or one of them fails again. The original stays
			in the dead letters; --value gives the first one another value.

			A letter of a key that is not parked is processed when its retry comes, after what
			came since; one that was retried already needs --again.`),
		Example: examples(`
			tally dead-letters retry o1-000042
			tally dead-letters retry o1-000042 --value mended.json --reason "broken JSON"
			tally dead-letters retry tally-dead-letters/0/17 --again`),
		Args: exactArgs("KEY|PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.what = args[0]
			if a.file != "" {
				var err error
				if a.value, err = os.ReadFile(a.file); err != nil {
					return hinted("check --value", "value: %w", err)
				}
				if a.reason == "" {
					return usageError("it is kept with the value", "--value needs --reason")
				}
			}
			return m.mend(cmd.Context(), s, a)
		},
	}
	a.flags(cmd)
	cmd.Flags().StringVar(&a.file, "value", "", "file of the value to process in place of the first "+
		"one's")
	cmd.Flags().BoolVar(&a.again, "again", false, "also if it was retried already")
	return cmd
}

func (m *Main) lettersDrop(s *settings) *cobra.Command {
	a := &mending{drop: true}
	cmd := &cobra.Command{
		Use:   "drop KEY|PLACE",
		Short: "Take a dead letter out of the way unprocessed, for good, with a reason",
		Long: paragraph(`
			The letter stays in its topic, and the reason in the topic of retries. Of a key that
			is parked the first letter is dropped, and what waits behind it goes on waiting for
			a retry; --all drops everything that waits.`),
		Example: examples(`
			tally dead-letters drop o1-000042 --reason "a test of the shop's"
			tally dead-letters drop o1-000042 --all --reason "the shop was a test"`),
		Args: exactArgs("KEY|PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.what = args[0]
			if strings.TrimSpace(a.reason) == "" {
				return usageError("it stays visible in the topic of retries", "drop needs --reason")
			}
			return m.mend(cmd.Context(), s, a)
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&a.all, "all", false, "everything that waits under the key")
	return cmd
}

func (a *mending) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.group, "group", "", "the consumer group, where several refused records of the key")
	f.StringVar(&a.reason, "reason", "", "why; it is kept with what is asked for")
	f.DurationVar(&a.wait, "wait", time.Minute, "how long to wait for a worker to do it")
}

// A mended is what came of it.
type mended struct {
	Group  string `json:"group"`
	Key    string `json:"key"`
	Asked  int    `json:"asked"`
	Done   int    `json:"done"`
	Left   int64  `json:"left"`
	Failed string `json:"failed,omitempty"`
	Reason string `json:"failed_reason,omitempty"`
	drop   bool
}

// mend asks for what the operator wants, and waits until it is done.
func (m *Main) mend(ctx context.Context, s *settings, a *mending) error {
	if a.wait <= 0 {
		return usageError("for example 1m", "--wait must be above zero, not %v", a.wait)
	}
	cl, err := m.connect(ctx, s, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(16<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	box, err := m.readLetters(ctx, s, cl)
	if err != nil {
		return err
	}
	letters, err := box.find(a.what, a.group)
	if err != nil {
		return err
	}
	result := &mended{Group: letters[0].Group, Key: string(letters[0].Key), drop: a.drop}
	p := m.ticker(s, func() string {
		return fmt.Sprintf("%s asked for of %s", count(result.Asked, "letter"), result.Group)
	})
	err = m.mendAll(ctx, s, cl, a, box, letters, result)
	p.stop()
	if err != nil {
		return err
	}
	if err := m.show(s, result, result.write); err != nil {
		return err
	}
	if result.Failed != "" {
		return hinted("tally dead-letters show "+result.Failed+"; --value gives it another value",
			"it failed again: %s", result.Reason)
	}
	return nil
}

func (r *mended) write(w io.Writer) error {
	verb := "retried"
	if r.drop {
		verb = "dropped"
	}
	_, err := fmt.Fprintf(w, "%s: %s %s", r.Key, count(r.Done, "dead letter"), verb)
	if err == nil && r.Left > 0 {
		_, err = fmt.Fprintf(w, ", %s still waiting", count(r.Left, "letter"))
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// mendAll goes on until nothing is left to do, or something failed.
func (m *Main) mendAll(ctx context.Context, s *settings, cl *kgo.Client, a *mending,
	box *letterBox, letters []*deadLetter, result *mended,
) error {
	for {
		batch, err := a.batch(box, letters)
		if err != nil {
			return err
		}
		if err := m.askRetries(ctx, cl, a, batch, result); err != nil {
			return err
		}
		first := batch[0]
		if box, err = m.readLetters(ctx, s, cl); err != nil {
			return err
		}
		before := result.Done
		result.count(box, batch)
		row, parked := box.row(first)
		parked = parked && first.ParkedBy != ""
		result.Left = row.Next - row.First
		switch {
		case result.Failed != "" || !parked || a.drop && !a.all:
			return nil
		case result.Done == before:
			return hinted("tally dead-letters ls --key shows what waits", "nothing was resolved of %q: "+
				"somebody else is at it", result.Key)
		}
		a.value = nil
		if letters, err = box.find(result.Key, result.Group); err != nil {
			return err
		}
	}
}

// count finds out what became of a batch.
func (r *mended) count(box *letterBox, batch []*deadLetter) {
	asked := map[string]bool{}
	for _, l := range batch {
		asked[l.identity()] = true
	}
	r.Failed, r.Reason = "", ""
	if l := batch[0]; l.place == "" { // one that is missing is resolved when its turn is over
		if row, ok := box.row(l); !ok || row.First > l.Sequence {
			r.Done++
		}
		return
	}
	for _, l := range box.latest() {
		switch {
		case !asked[l.identity()]:
		case !l.open():
			r.Done++
		case l.Attempt > attemptOf(batch, l):
			r.Failed, r.Reason = l.place, l.Reason
		}
	}
}

func attemptOf(batch []*deadLetter, l *deadLetter) int {
	for _, b := range batch {
		if b.identity() == l.identity() {
			return b.Attempt
		}
	}
	return l.Attempt
}

// batch is what to ask for next: of a parked key what waits, without gaps.
func (a *mending) batch(box *letterBox, letters []*deadLetter) ([]*deadLetter, error) {
	first := letters[0]
	row, parked := box.row(first)
	if parked = parked && first.ParkedBy != ""; !parked {
		return []*deadLetter{first}, a.mayRepeat(first)
	}
	if first.Sequence > row.First && a.drop && box.missing(first, row) {
		gone := *first // its place in the row is all that matters
		gone.Sequence, gone.place = row.First, ""
		return []*deadLetter{&gone}, nil
	}
	if first.Sequence > row.First {
		return nil, a.refuseOutOfTurn(box, first, row)
	}
	all, err := box.find(string(first.Key), first.Group)
	if err != nil {
		return nil, err
	}
	var batch []*deadLetter
	for _, l := range all {
		if l.ParkedBy != row.By || l.Sequence != row.First+int64(len(batch)) {
			continue
		}
		batch = append(batch, l)
		if len(batch) == retriesAtOnce || a.drop && !a.all {
			break
		}
	}
	return batch, nil
}

// mayRepeat refuses to process a letter twice that nothing keeps in order.
func (a *mending) mayRepeat(l *deadLetter) error {
	if l.Key == nil {
		return hinted("it is not in anybody's way", "the record of %s has no key", l.place)
	}
	if l.open() && l.state != letterAsked || a.again && l.ParkedBy == "" {
		return nil
	}
	if l.ParkedBy != "" {
		return hinted("it can't be done a second time", "%s was %s", l.place, l.state)
	}
	return hinted("add --again to do it a second time", "%s was %s", l.place, l.state)
}

// refuseOutOfTurn names the letter that has to go first.
func (a *mending) refuseOutOfTurn(box *letterBox, l *deadLetter, row engine.ParkedKey) error {
	for _, o := range box.latest() {
		if o.Group == l.Group && o.ParkedBy == row.By && o.Sequence == row.First {
			return hinted("retry or drop "+o.place+" first", "%s waits behind another", l.place)
		}
	}
	return hinted("tally dead-letters drop "+string(l.Key)+" takes the missing ones out of the way",
		"the letter that %s waits behind is no longer in the topic", l.place)
}

// askRetries writes the retries of a batch and waits until a worker has read them.
func (m *Main) askRetries(ctx context.Context, cl *kgo.Client, a *mending, batch []*deadLetter,
	result *mended,
) error {
	records := make([]*kgo.Record, 0, len(batch))
	for i, l := range batch {
		retry := engine.Retry{Letter: l.Letter, At: l.place, Drop: a.drop, Why: a.reason}
		if i == 0 && a.value != nil {
			retry.Value, retry.Mended = a.value, true
		}
		if !a.drop && l.Cut() {
			if err := whole(ctx, cl, &retry); err != nil {
				return hinted("--value gives it another value, or drop it",
					"%s does not have all of its record %s: %w", l.place, l.Where(), err)
			}
		}
		records = append(records, retry.Record())
	}
	written := cl.ProduceSync(ctx, records...)
	if err := written.FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", engine.RetryTopic(result.Group), err)
	}
	result.Asked += len(records)
	last := written[len(written)-1].Record
	return m.await(ctx, cl, a.wait, result.Group, spot{last.Topic, last.Partition, last.Offset})
}

// await waits until the group has committed what came of a record.
func (m *Main) await(ctx context.Context, cl *kgo.Client, wait time.Duration, group string,
	last spot,
) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	adm := kadm.NewClient(cl)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		offsets, err := adm.FetchOffsets(ctx, group)
		if err == nil {
			if o, ok := offsets.Lookup(last.topic, last.partition); ok && o.At > last.offset {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return hinted("it is done as soon as a worker of the group runs; ls shows it",
				"it is asked for at %v, and no worker of %s has done it within %v", last, group, wait)
		case <-tick.C:
		}
	}
}

// whole completes a record that its dead letter does not have all of.
func whole(ctx context.Context, cl *kgo.Client, r *engine.Retry) error {
	if r.Mended && len(r.Key) == r.KeyBytes && r.HeadersCut == 0 {
		return nil
	}
	topic, partition, offset := r.Topic, r.Partition, r.Offset
	if r.Retry != "" { // its last attempt may have had another value
		slash, at := strings.LastIndexByte(r.Retry, '/'), strings.LastIndexByte(r.Retry, '@')
		p, err := strconv.ParseInt(r.Retry[slash+1:at], 10, 32)
		if err != nil {
			return err
		}
		if offset, err = strconv.ParseInt(r.Retry[at+1:], 10, 64); err != nil {
			return err
		}
		topic, partition = r.Retry[:slash], int32(p)
	}
	log, err := replay.Open(ctx, cl, patience, topic)
	if err != nil {
		return err
	}
	if offset < log.Span(topic, partition).Start {
		return errGone
	}
	for found, err := range log.Range(ctx, topic, partition, offset, offset+1) {
		if err != nil {
			return err
		}
		sum := sha256.Sum256(found.Value)
		if found.Offset != offset || !bytes.Equal(sum[:], r.SHA256) {
			return errGone
		}
		r.Key = found.Key
		if !r.Mended {
			r.Value = found.Value
		}
		if topic == r.Topic {
			r.Headers = found.Headers
		}
		return nil
	}
	return errGone
}
