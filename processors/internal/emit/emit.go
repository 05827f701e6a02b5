// Package emit is how the processors of this tree write their events: in the
// binary or the JSON form, with the headers of CloudEvents or without.
package emit

import (
	"github.com/lovoo/goka"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A Form is how a processor writes its events.
type Form struct {
	// Source is who writes them: the group's name.
	Source string
	// CloudEvents puts ce_* headers on what is emitted.
	CloudEvents bool
	// JSON writes the JSON form.
	JSON bool
}

// An Envelope is what a topic of events holds.
type Envelope interface {
	proto.Message
	GetMeta() *tallyv1.Meta
}

// Codec returns codec as the form wants it.
func Codec[T proto.Message](f Form, codec schemas.Codec[T]) goka.Codec {
	if f.JSON {
		return codec.Text()
	}
	return codec
}

// Event emits e under the key of the record that ctx is about.
func (f Form) Event(ctx goka.Context, to goka.Stream, e Envelope) {
	if !f.CloudEvents {
		ctx.Emit(to, ctx.Key(), e)
		return
	}
	ctx.Emit(to, ctx.Key(), e, goka.WithCtxEmitHeaders(goka.Headers{
		"ce_id":          []byte(e.GetMeta().GetId()),
		"ce_source":      []byte(f.Source),
		"ce_specversion": []byte("1.0"),
		"ce_type":        []byte(kind(e)),
		"content-type":   []byte(f.ContentType()),
	}))
}

// ContentType names the form as headers do.
func (f Form) ContentType() string {
	if f.JSON {
		return "application/json"
	}
	return "application/protobuf"
}

// kind returns the full name of the event in an envelope.
func kind(e proto.Message) string {
	m := e.ProtoReflect()
	event := m.WhichOneof(m.Descriptor().Oneofs().ByName("event"))
	return string(event.Message().FullName())
}
