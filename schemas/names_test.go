package schemas_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// nouns are the last words of events that are no participles and state a fact
// all the same.
var nouns = []string{"Excess", "Mismatch"}

// requests are the first words that a command can have.
var requests = []string{"Place", "Cancel", "Correct", "Adjust", "Reverse"}

// misnamed tells what is wrong with the name of a message of this speech.
func misnamed(name string, speech tallyv1.Speech) string {
	w := words(name)
	fact := strings.HasSuffix(w[len(w)-1], "ed") || slices.Contains(nouns, w[len(w)-1])
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

var files = []protoreflect.FileDescriptor{
	tallyv1.File_tally_v1_orders_proto, tallyv1.File_tally_v1_payments_proto,
	tallyv1.File_tally_v1_confirmations_proto, tallyv1.File_tally_v1_exceptions_proto,
}

// envelopes returns the message of each topic.
func envelopes(t *testing.T) []protoreflect.MessageDescriptor {
	t.Helper()
	var list []protoreflect.MessageDescriptor
	for _, f := range files {
		for i := range f.Messages().Len() {
			if m := f.Messages().Get(i); m.Oneofs().ByName("event") != nil {
				list = append(list, m)
			}
		}
	}
	if len(list) != len(files) {
		t.Fatalf("%d envelopes in %d files", len(list), len(files))
	}
	return list
}

// TestTense: every member of an envelope says whether it is an event or a
// command, and its name says the same.
func TestTense(t *testing.T) {
	for _, envelope := range envelopes(t) {
		members := envelope.Oneofs().ByName("event").Fields()
		for i := range members.Len() {
			m := members.Get(i).Message()
			speech, _ := proto.GetExtension(m.Options(), tallyv1.E_Speech).(tallyv1.Speech)
			if wrong := misnamed(string(m.Name()), speech); wrong != "" {
				t.Errorf("%s: %s", m.FullName(), wrong)
			}
			if want := snake(string(m.Name())); string(members.Get(i).Name()) != want {
				t.Errorf("%s is called %s in its envelope, not %s", m.Name(),
					members.Get(i).Name(), want)
			}
		}
	}
	for name, speech := range map[string]tallyv1.Speech{
		"PlaceOrder": tallyv1.Speech_EVENT, "OrderPlaced": tallyv1.Speech_COMMAND,
		"OrderPlace": tallyv1.Speech_EVENT, "CancelRefused": tallyv1.Speech_EVENT,
		"PaymentReceived": tallyv1.Speech_SPEECH_UNSPECIFIED,
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
	for _, m := range envelopes(t) {
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
	for _, m := range envelopes(t) {
		visit(m)
	}
}
