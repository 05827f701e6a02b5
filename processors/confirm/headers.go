package confirm

import (
	"github.com/lovoo/goka"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// cloudEvent returns the headers of the CloudEvents binding for Kafka, for
// receivers that know an event by them alone: kind is the full name of the
// message in the envelope's oneof.
func (p processor) cloudEvent(m *tallyv1.Meta, kind string) goka.ContextOption {
	form := "application/protobuf"
	if p.json {
		form = "application/json"
	}
	return goka.WithCtxEmitHeaders(goka.Headers{
		"ce_id":          []byte(m.GetId()),
		"ce_source":      []byte(p.source),
		"ce_specversion": []byte("1.0"),
		"ce_type":        []byte(kind),
		"content-type":   []byte(form),
	})
}

// kind returns the full name of the event in an envelope.
func kind(envelope proto.Message) string {
	m := envelope.ProtoReflect()
	event := m.WhichOneof(m.Descriptor().Oneofs().ByName("event"))
	return string(event.Message().FullName())
}
