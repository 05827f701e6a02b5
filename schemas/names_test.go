package schemas_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// facts are the last words of events that do not end in "ed" and state a fact all
// the same: irregular participles, and nouns and adjectives.
var facts = []string{"Sent", "Withdrawn", "Excess", "Mismatch", "Short"}

// requests are the first words that a command can have.
var requests = []string{
	"Place", "Cancel", "Correct", "Adjust", "Reverse", "Reserve", "Release", "Ship",
}

// misnamed tells what is wrong with the name of a message of this speech.
func misnamed(name string, speech tallyv1.Speech) string {
	w := words(name)
	last := w[len(w)-1]
	fact := strings.HasSuffix(last, "ed") || slices.Contains(facts, last)
	switch speech {
	case tallyv1.Speech_EVENT:
		if !fact || slices.Contains(requests, w[0]) {
			return "an event is named in the past tense"
		}
	case tallyv1.Speech_COMMAND:
		if fact || !slices.Contains(requests, w[0]) {
			return "a command is named in the imperative"
		}
	default:
		return "it does not say what kind of sentence it is: option (speech)"
	}
	return ""
}

// words splits a name at its upper-case letters.
func words(name string) []string {
	var list []string
	for _, r := range name {
		if unicode.IsUpper(r) || list == nil {
			list = append(list, "")
		}
		list[len(list)-1] += string(r)
	}
	return list
}

// files define the envelopes of the topics that others may read.
var files = []protoreflect.FileDescriptor{
	tallyv1.File_tally_v1_orders_proto, tallyv1.File_tally_v1_payments_proto,
	tallyv1.File_tally_v1_confirmations_proto, tallyv1.File_tally_v1_exceptions_proto,
	tallyv1.File_tally_v1_order_commands_proto, tallyv1.File_tally_v1_order_checks_proto,
	tallyv1.File_tally_v1_customers_proto, tallyv1.File_tally_v1_products_proto,
	tallyv1.File_tally_v1_stock_proto, tallyv1.File_tally_v1_notices_proto,
	tallyv1.File_tally_v1_corrections_proto,
}

// envelopes returns the message of each topic.
func envelopes(t *testing.T) []protoreflect.MessageDescriptor {
	t.Helper()
	var list []protoreflect.MessageDescriptor
	for _, f := range files {
		list = append(list, envelopesOf(f)...)
	}
	if len(list) != len(files) {
		t.Fatalf("%d envelopes in %d files", len(list), len(files))
	}
	return list
}

// allEnvelopes returns the envelopes of inner topics too.
func allEnvelopes(t *testing.T) []protoreflect.MessageDescriptor {
	t.Helper()
	var list []protoreflect.MessageDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("tally.v1",
		func(f protoreflect.FileDescriptor) bool {
			list = append(list, envelopesOf(f)...)
			return true
		})
	if public := envelopes(t); len(list) < len(public) {
		t.Fatalf("%d envelopes are registered, %d are public", len(list), len(public))
	}
	return list
}

func envelopesOf(f protoreflect.FileDescriptor) []protoreflect.MessageDescriptor {
	var list []protoreflect.MessageDescriptor
	for i := range f.Messages().Len() {
		if m := f.Messages().Get(i); speech(m) != nil {
			list = append(list, m)
		}
	}
	return list
}

// speech returns the oneof of an envelope's members, which is named after what
// they are, or nil if m is no envelope.
func speech(m protoreflect.MessageDescriptor) protoreflect.OneofDescriptor {
	if o := m.Oneofs().ByName("command"); o != nil {
		return o
	}
	return m.Oneofs().ByName("event")
}

// TestTense: every member of an envelope says whether it is an event or a
// command, its name says the same, and no envelope mixes the two.
func TestTense(t *testing.T) {
	for _, envelope := range allEnvelopes(t) {
		oneof := speech(envelope)
		want := tallyv1.Speech_EVENT
		if oneof.Name() == "command" {
			want = tallyv1.Speech_COMMAND
		}
		for i := range oneof.Fields().Len() {
			f := oneof.Fields().Get(i)
			m := f.Message()
			said, _ := proto.GetExtension(m.Options(), tallyv1.E_Speech).(tallyv1.Speech)
			if wrong := misnamed(string(m.Name()), said); wrong != "" {
				t.Errorf("%s: %s", m.FullName(), wrong)
			}
			if said != want {
				t.Errorf("%s is among the members named %s", m.FullName(), oneof.Name())
			}
			if want := snake(string(m.Name())); string(f.Name()) != want {
				t.Errorf("%s is called %s in its envelope, not %s", m.Name(), f.Name(), want)
			}
		}
		if m := string(envelope.Name()); !strings.HasSuffix(snake(m), string("_"+oneof.Name())) {
			t.Errorf("the envelope %s holds a %s", m, oneof.Name())
		}
	}
	for name, speech := range map[string]tallyv1.Speech{
		"PlaceOrder": tallyv1.Speech_EVENT, "OrderPlaced": tallyv1.Speech_COMMAND,
		"OrderPlace": tallyv1.Speech_EVENT, "CancelRefused": tallyv1.Speech_EVENT,
		"PaymentReceived": tallyv1.Speech_SPEECH_UNSPECIFIED, "StockShort": tallyv1.Speech_COMMAND,
		"ConfirmationSend": tallyv1.Speech_EVENT, "PlaceShort": tallyv1.Speech_EVENT,
	} {
		if misnamed(name, speech) == "" {
			t.Errorf("%s passes for %s", name, speech)
		}
	}
}

func snake(name string) string { return strings.ToLower(strings.Join(words(name), "_")) }

// TestEnvelopes: all envelopes are alike, and none uses a field whose tag could
// be the first byte of JSON.
func TestEnvelopes(t *testing.T) {
	for _, m := range allEnvelopes(t) {
		meta := m.Fields().ByNumber(2)
		if meta == nil || meta.Message().FullName() != "tally.v1.Meta" {
			t.Errorf("%s: field 2 is not the meta", m.Name())
		}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Number() < 2 || f.Message() == nil {
				t.Errorf("%s: the field %s has number %d and kind %s", m.Name(), f.Name(),
					f.Number(), f.Kind())
			}
		}
	}
}

// TestFloats: money is never a float, and neither is anything else.
func TestFloats(t *testing.T) {
	stamp := (&timestamppb.Timestamp{}).ProtoReflect().Descriptor().FullName()
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Kind() == protoreflect.FloatKind || f.Kind() == protoreflect.DoubleKind {
				t.Errorf("%s is a float", f.FullName())
			}
			if f.Message() != nil && f.Message().FullName() != stamp {
				visit(f.Message())
			}
		}
	}
	for _, m := range allEnvelopes(t) {
		visit(m)
	}
}
