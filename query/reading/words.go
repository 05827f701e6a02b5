package reading

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Words says in a few words what is worth knowing of an event: amounts, whose
// they are, and reasons.
func (e Event) Words() string {
	if e.Body == nil {
		return ""
	}
	var words []string
	e.Body.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if word := field(f, v); word != "" {
			words = append(words, word)
		}
		return true
	})
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func field(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch name := string(f.Name()); {
	case f.IsList():
		return listed(v.List().Len(), strings.TrimSuffix(strings.TrimSuffix(name, "s"), "_id"))
	case name == "order_id" || name == "customer_id" || name == "method":
		return ""
	case f.Kind() == protoreflect.EnumKind:
		if value := f.Enum().Values().ByNumber(v.Enum()); value != nil {
			return strings.ToLower(string(value.Name()))
		}
		return ""
	case f.Kind() == protoreflect.StringKind:
		return strings.TrimSuffix(name, "_id") + " " + v.String()
	case f.Kind() == protoreflect.MessageKind && f.Message().Name() == "Money":
		money := v.Message()
		fields := money.Descriptor().Fields()
		return name + " " + money.Get(fields.ByName("currency")).String() + " " +
			Thousands(money.Get(fields.ByName("minor")).Int())
	}
	return ""
}

func listed(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// Thousands writes n with a comma between groups of three digits.
func Thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
