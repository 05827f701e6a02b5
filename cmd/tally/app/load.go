package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/cmd/tally/app/source"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// A recordSeq gives records until one cannot be read.
type recordSeq = iter.Seq2[source.Record, error]

// loading is what tally load was asked.
type loading struct {
	mapping  string
	generate bool
	format   string
	made     generating
}

// Forms of the values that are loaded.
const (
	formatProtobuf = "protobuf"
	formatJSON     = "json"
)

func (m *Main) loadCommand(s *settings) *cobra.Command {
	l := &loading{}
	cmd := &cobra.Command{
		Use:   "load [FILE...]",
		Short: "Put orders and payments into the topics, from files or made up",
		Long: paragraph(`
			Files that end in .csv are read by a mapping, which says what each column means.
			All others hold one event in its JSON form a line. With --generate the records are
			made up, the same for the same seed: out of order, now and then twice, some unpaid.
			With --chain there are customers, products and stock too, and orders come in as
			commands; what a file says was placed is asked for.

			Records are checked before they are sent; what is wrong is named by file, line and
			column, and nothing after that place is sent. A file can be loaded again: what is
			there already counts as a duplicate.`),
		Example: examples(`
			tally load orders.csv payments.csv --mapping mapping.json
			tally load events.jsonl
			tally load --generate --orders 200000 --seed 7
			tally load --generate --chain`),
		GroupID: groupWork,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.load(cmd.Context(), s, l, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.mapping, "mapping", "", "file that says what the columns of the CSV files mean")
	f.StringVar(&l.format, "format", formatProtobuf, "form of the values: protobuf or json")
	f.BoolVar(&l.generate, "generate", false, "make the records up")
	f.BoolVar(&l.made.plain, "plain", false,
		"make one payment for each order and nothing else, but for what is asked for")
	l.made.register(f, 1000, false)
	return cmd
}

// loaded is the result of tally load.
type loaded struct {
	Records  int64   `json:"records"`
	Orders   int64   `json:"orders"`
	Payments int64   `json:"payments"`
	Known    int64   `json:"known,omitempty"` // about customers, products and stock
	Raw      int64   `json:"raw"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"records_per_second"`
}

func (m *Main) load(ctx context.Context, s *settings, l *loading, files []string) error {
	if l.format != formatProtobuf && l.format != formatJSON {
		return usageError("use protobuf or json", "--format has no form %q", l.format)
	}
	records, err := l.records(files, s.Chain, m.Now())
	if err != nil {
		return err
	}
	cl, err := m.connectTo(ctx, s, producerOptions()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := s.ready(ctx, cl, s.inputs()); err != nil {
		return err
	}
	done, err := m.send(ctx, s, cl, l.format, records, func() string { return "" })
	if errors.Is(err, context.Canceled) {
		return hinted(againHint, "load: interrupted")
	} else if err != nil {
		return err
	}
	return m.show(s, done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "sent %s%s in %.1f s (%s a second)\n", count(done.Records, "record"),
			done.about(), done.Seconds, thousands(int64(done.Rate)))
		return err
	})
}

// records are what the verb was asked to load.
func (l *loading) records(files []string, whole bool, now time.Time) (recordSeq, error) {
	if l.generate {
		if len(files) > 0 {
			return nil, usageError("one of them", "tally load takes files or --generate, not both")
		}
		return l.made.records(whole, now)
	}
	if len(files) == 0 {
		return nil, usageError("for example tally load events.jsonl, or tally load --generate",
			"tally load needs a file")
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, hinted("check the names of the files", "load: %w", err)
		}
	}
	tables := slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		return !strings.EqualFold(filepath.Ext(file), ".csv")
	})
	if len(tables) == 0 {
		return lines(files), nil
	}
	if l.mapping == "" {
		return nil, usageError("docs/load.md shows one",
			"%s needs --mapping, which says what its columns mean", tables[0])
	}
	text, err := os.ReadFile(l.mapping)
	if err != nil {
		return nil, hinted("check --mapping", "load: %w", err)
	}
	mapping, err := source.ParseMapping(l.mapping, text)
	if err != nil {
		return nil, hinted("docs/load.md shows how a mapping looks", "%w", err)
	}
	others := slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		return slices.Contains(tables, file)
	})
	return chain(source.CSV(tables, mapping), lines(others)), nil
}

// lines reads files of JSON lines one after the other.
func lines(files []string) recordSeq {
	seqs := make([]recordSeq, len(files))
	for i, file := range files {
		seqs[i] = source.JSONLines(file)
	}
	return chain(seqs...)
}

// chain gives what each sequence gives, one after the other.
func chain(seqs ...recordSeq) recordSeq {
	return func(yield func(source.Record, error) bool) {
		for _, seq := range seqs {
			for r, err := range seq {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// records are what the generator of the chain, or of the main job, makes up.
func (g *generating) records(whole bool, now time.Time) (recordSeq, error) {
	if whole {
		made, err := g.chain(now, false)
		if err != nil {
			return nil, err
		}
		return withoutErrors(made.Records()), nil
	}
	made, err := g.generator()
	if err != nil {
		return nil, err
	}
	return withoutErrors(made.Records()), nil
}

func withoutErrors(seq iter.Seq[source.Record]) recordSeq {
	return func(yield func(source.Record, error) bool) {
		for r := range seq {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// producerOptions make a producer that loses and doubles nothing, and whose
// partitions are those of every other Kafka program.
func producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(10 * time.Millisecond),
		kgo.MaxBufferedRecords(100_000),
		kgo.UnknownTopicRetries(2),
		kgo.RecordRetries(30), // about a minute; a timeout would count from the records' own times
	}
}

// send produces the records and reports how far it is, and what else there is to
// say. The first error, of a record or of a file, ends it; what was sent before
// stays sent.
func (m *Main) send(ctx context.Context, s *settings, cl *kgo.Client, format string,
	records recordSeq, also func() string,
) (loaded, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done loaded
	w := s.wiring()
	began := m.Now()
	p := m.progress(s)
	var failed error
	for r, err := range records {
		var out *kgo.Record
		if err == nil {
			out, err = w.encode(format, r)
		}
		if failed = err; err != nil || ctx.Err() != nil {
			break
		}
		done.add(r, len(out.Value))
		cl.Produce(ctx, out, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
		if done.Records%1000 == 0 {
			p.show(func() string { return done.line(m.Now().Sub(began)) + also() })
		}
	}
	if err := cl.Flush(context.WithoutCancel(ctx)); err != nil && failed == nil {
		failed = err
	}
	p.end()
	if err := context.Cause(ctx); err != nil && failed == nil {
		failed = err
	}
	if failed != nil {
		return done, sendError(failed)
	}
	done.finish(m.Now().Sub(began))
	return done, nil
}

// againHint is for loads that end too early.
const againHint = "load it again: what is there already counts as a duplicate"

func sendError(err error) error {
	var (
		place *source.PlaceError
		path  *fs.PathError
	)
	switch {
	case errors.As(err, &place) && strings.Contains(err.Error(), "field minor"):
		return hinted("amounts are whole numbers of minor units, for example 4500 for EUR 45.00; mend "+
			"that and "+againHint, "%w", err)
	case errors.As(err, &place):
		return hinted("mend that and "+againHint, "%w", err)
	case errors.As(err, &path):
		return hinted("check the names of the files", "%w", err)
	case errors.Is(err, context.Canceled):
		return err
	default:
		return fmt.Errorf("load: %w", err)
	}
}

func (d *loaded) add(r source.Record, size int) {
	d.Records++
	d.Bytes += int64(size)
	if r.Raw != nil {
		d.Raw++
	}
	switch r.Kind {
	case source.Payment:
		d.Payments++
	case source.Order, source.Command:
		d.Orders++
	default:
		d.Known++
	}
}

func (d *loaded) finish(took time.Duration) {
	d.Seconds = took.Seconds()
	if d.Seconds > 0 {
		d.Rate = float64(d.Records) / d.Seconds
	}
}

// about says what the records are about, as far as there are any.
func (d *loaded) about() string {
	var words []string
	for _, part := range []struct {
		records int64
		what    string
	}{
		{d.Orders, "about orders"},
		{d.Payments, "about payments"},
		{d.Known, "about customers, products and stock"},
	} {
		if part.records > 0 {
			words = append(words, thousands(part.records)+" "+part.what)
		}
	}
	if words == nil {
		return ""
	}
	return ": " + strings.Join(words, ", ") + ","
}

// plus adds what was sent in another go.
func (d *loaded) plus(o loaded) {
	d.Records += o.Records
	d.Orders += o.Orders
	d.Payments += o.Payments
	d.Known += o.Known
	d.Raw += o.Raw
	d.Bytes += o.Bytes
}

func (d *loaded) line(took time.Duration) string {
	rate := float64(d.Records) / max(took.Seconds(), 0.001)
	return fmt.Sprintf("sent %s (%s a second)", count(d.Records, "record"), thousands(int64(rate)))
}

// encode makes the Kafka record of r. What the codecs would refuse is refused
// here already, unless it is meant to be bad.
func (w wiring) encode(format string, r source.Record) (*kgo.Record, error) {
	if w.chain {
		r = inChain(r)
	}
	out := &kgo.Record{Topic: w.loads()[r.Kind], Key: r.Key, Value: r.Raw, Timestamp: r.At}
	var err error
	switch {
	case out.Topic == "" && w.chain:
		err = errors.New("in the chain orders come in as commands")
	case out.Topic == "":
		err = fmt.Errorf("a %s is for the chain only: add --chain", r.Kind)
	case r.Raw == nil:
		out.Value, err = value(r, format == formatJSON)
	}
	if err != nil && r.Place.File != "" {
		return nil, &source.PlaceError{Place: r.Place, Err: err}
	} else if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Kind, r.Key, err)
	}
	return out, nil
}

// value is the value of a record in one of its forms.
func value(r source.Record, json bool) ([]byte, error) {
	switch m := r.Message.(type) {
	case *tallyv1.OrderCommand:
		return marshal(schemas.OrderCommands, m, json)
	case *tallyv1.CustomerEvent:
		return marshal(schemas.Customers, m, json)
	case *tallyv1.ProductEvent:
		return marshal(schemas.Products, m, json)
	case *tallyv1.StockEvent:
		return marshal(schemas.Stock, m, json)
	}
	if r.Order != nil {
		return marshal(schemas.Orders, r.Order, json)
	}
	return marshal(schemas.Payments, r.Payment, json)
}

func marshal[T proto.Message](codec schemas.Codec[T], m T, json bool) ([]byte, error) {
	b, err := codec.Marshal(m)
	if err == nil && json {
		return codec.JSON(m)
	}
	return b, err
}

// inChain makes of a record for the main job what the chain takes: payments have
// their own key, and who says that an order was placed asks for it there.
func inChain(r source.Record) source.Record {
	if r.Payment != nil {
		r.Key = []byte(schemas.PaymentID(r.Payment))
	}
	meta := r.Order.GetMeta()
	switch e := r.Order.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		o := e.OrderPlaced
		r.Kind, r.Order = source.Command, nil
		r.Message = &tallyv1.OrderCommand{Meta: meta, Command: &tallyv1.OrderCommand_PlaceOrder{
			PlaceOrder: &tallyv1.PlaceOrder{
				OrderId: o.GetOrderId(), CustomerId: o.GetCustomerId(), Total: o.GetTotal(),
				Due: o.GetDue(), Lines: o.GetLines(),
			},
		}}
	case *tallyv1.OrderEvent_OrderCancelled:
		o := e.OrderCancelled
		r.Kind, r.Order = source.Command, nil
		r.Message = &tallyv1.OrderCommand{Meta: meta, Command: &tallyv1.OrderCommand_CancelOrder{
			CancelOrder: &tallyv1.CancelOrder{OrderId: o.GetOrderId(), Reason: o.GetReason()},
		}}
	}
	return r
}

// inputs are the topics that are loaded.
func (s *settings) inputs() topology.Topology {
	t, loaded := s.topology(shape{}), slices.Collect(maps.Values(s.wiring().loads()))
	t.Processors = nil
	t.Topics = slices.DeleteFunc(t.Topics, func(topic topology.Topic) bool {
		return !slices.Contains(loaded, topic.Name)
	})
	return t
}
