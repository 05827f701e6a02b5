package notify

import (
	"fmt"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"tallystick/processors/internal/emit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Topics names what the processor reads and writes. Its table is the one of the
// group.
type Topics struct {
	Group         string
	Confirmations string
	// Results is the inner topic on which the sender reports.
	Results string
	Notices string
	// CloudEvents puts ce_* headers on notices.
	CloudEvents bool
	// JSON writes notices in their JSON form.
	JSON bool
}

// Timers is the virtual input by which deadlines come. They are of the wall clock:
// see [schemas.NotifyRowDeadline].
func (t Topics) Timers() string { return t.Group + "-timers" }

// Effects is the virtual output of attempts, [schemas.NotifyEffects].
func (t Topics) Effects() string { return t.Group + "-effects" }

// Define returns the graph of the processor. Every callback is put through wrap,
// which has to keep values away from it that are not messages of its topic: one
// that gets through makes the processor fail.
func (r Rules) Define(
	t Topics, wrap func(goka.ProcessCallback) goka.ProcessCallback,
) *goka.GroupGraph {
	p := processor{
		rules: r, notices: goka.Stream(t.Notices), effects: goka.Stream(t.Effects()),
		form: emit.Form{Source: t.Group, CloudEvents: t.CloudEvents, JSON: t.JSON},
	}
	return goka.DefineGroup(goka.Group(t.Group),
		goka.Input(goka.Stream(t.Confirmations), schemas.Confirmations, wrap(p.confirmation)),
		goka.Input(goka.Stream(t.Results), schemas.NotifyResults, wrap(p.result)),
		goka.Input(goka.Stream(t.Timers()), new(codec.String), wrap(p.timer)),
		goka.Output(p.notices, emit.Codec(p.form, schemas.Notices)),
		goka.Output(p.effects, schemas.NotifyEffects),
		goka.Persist(schemas.NotifyRows),
	)
}

type processor struct {
	rules   Rules
	notices goka.Stream
	effects goka.Stream
	form    emit.Form
}

// confirmation is the callback of the topic of confirmations.
func (p processor) confirmation(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.ConfirmationEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("notify: %T is not a confirmation event", msg))
		return
	}
	p.step(ctx, OfConfirmation(m, ctx.Timestamp(), now(ctx)))
}

// result is the callback of the topic of results.
func (p processor) result(ctx goka.Context, msg any) {
	m, ok := msg.(*tallyv1.NotifyResultEvent)
	if !ok {
		ctx.Fail(fmt.Errorf("notify: %T is not a notify result event", msg))
		return
	}
	p.step(ctx, OfResult(m, ctx.Timestamp(), now(ctx)))
}

// timer is the callback of deadlines.
func (p processor) timer(ctx goka.Context, _ any) {
	p.step(ctx, OfTimer(ctx.Key(), ctx.Timestamp(), now(ctx)))
}

// now is the time of day as the engine tells it to all records of a transaction.
// Elsewhere it is the record's time.
func now(ctx goka.Context) time.Time {
	if c, ok := ctx.(interface{ WallTime() time.Time }); ok {
		return c.WallTime()
	}
	return ctx.Timestamp()
}

// step applies an event to the row of the record's key.
func (p processor) step(ctx goka.Context, e Event) {
	row, _ := ctx.Value().(*Row)
	next, out := Step(p.rules, row, e)
	switch {
	case next == nil && row != nil:
		ctx.Delete()
	case next != row:
		ctx.SetValue(next)
	}
	for _, n := range out.Notices {
		p.form.Event(ctx, p.notices, n)
	}
	for _, effect := range out.Effects {
		ctx.Emit(p.effects, ctx.Key(), effect)
	}
}
