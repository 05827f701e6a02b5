package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Mapping says what the columns of CSV files mean.
type Mapping struct {
	// Files are tried in their order; the first whose pattern fits is taken.
	Files []FileMapping `json:"files"`
}

// A FileMapping says what the columns of the files with one name mean.
type FileMapping struct {
	// Name is the base name of the files, or a pattern as in path.Match.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Skip leaves the files out; nothing else may be set then.
	Skip bool `json:"skip,omitempty"`
	// Comma separates columns, a comma if empty.
	Comma string `json:"comma,omitempty"`
	// Fields says where each field of the event comes from.
	Fields map[string]Field `json:"fields,omitempty"`
}

// A Field says where the value of a field comes from: exactly one of Column,
// Constant and From. In a mapping a plain string is a column.
type Field struct {
	Column   string `json:"column,omitempty"`
	Constant string `json:"constant,omitempty"`
	// From takes the value from other files: an order's total may come from
	// "payments", as their sum; a payment's currency, time or customer from
	// "order", as the order that it pays has it.
	From string `json:"from,omitempty"`
	// Prefix is put before the value of a column.
	Prefix string `json:"prefix,omitempty"`
	// Decimals is how many digits behind the point a column of money has. With
	// 0 the column counts minor units.
	Decimals int `json:"decimals,omitempty"`
	// Layout is the layout of a column of times, in the terms of package time;
	// RFC 3339 if empty.
	Layout string `json:"layout,omitempty"`
}

// UnmarshalJSON reads a field, a plain string being a column.
func (f *Field) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &f.Column)
	}
	type plain Field
	return strict(text, (*plain)(f))
}

// Values that [Field.From] knows.
const (
	fromPayments = "payments"
	fromOrder    = "order"
)

// Names of the fields of a mapping.
const (
	fieldOrder    = "order_id"
	fieldCustomer = "customer_id"
	fieldPayment  = "payment_id"
	fieldTotal    = "total"
	fieldAmount   = "amount"
	fieldCurrency = "currency"
	fieldMethod   = "method"
	fieldAt       = "at"
	fieldDue      = "due"
)

func required(k Kind) []string {
	if k == Payment {
		return []string{fieldPayment, fieldOrder, fieldAmount, fieldCurrency}
	}
	return []string{fieldOrder, fieldTotal, fieldCurrency}
}

func optional(k Kind) []string {
	if k == Payment {
		return []string{fieldMethod, fieldAt}
	}
	return []string{fieldCustomer, fieldAt, fieldDue}
}

// ParseMapping reads a mapping from its JSON form. The name is for errors.
func ParseMapping(name string, text []byte) (*Mapping, error) {
	m := &Mapping{}
	if err := strict(text, m); err != nil {
		line, column := 1, 1
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			line, column = placeOf(text, len(text)+1)
			err = errors.New("the mapping ends too early")
		} else if errors.As(err, &syntax) {
			line, column = placeOf(text, int(syntax.Offset))
		} else if errors.As(err, &kind) {
			line, column = placeOf(text, int(kind.Offset))
		}
		return nil, at(name, line, column, err)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// strict decodes one JSON value and refuses names that nobody knows.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// placeOf turns an offset that counts from 0 into line and column.
func placeOf(text []byte, offset int) (line, column int) {
	before := text[:min(max(offset-1, 0), len(text))]
	return 1 + bytes.Count(before, []byte{'\n'}), len(before) - bytes.LastIndexByte(before, '\n')
}

// file returns the mapping of the file at path.
func (m *Mapping) file(name string) (*FileMapping, bool) {
	for i := range m.Files {
		if ok, err := path.Match(m.Files[i].Name, filepath.Base(name)); err == nil && ok {
			return &m.Files[i], true
		}
	}
	return nil, false
}

func (m *Mapping) validate() error {
	if len(m.Files) == 0 {
		return errors.New("the mapping names no files")
	}
	var errs []error
	for _, f := range m.Files {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("file %q: %w", f.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (f *FileMapping) validate() error {
	if _, err := path.Match(f.Name, ""); err != nil || f.Name == "" {
		return errors.New("name is no pattern")
	}
	if f.Skip {
		return nil
	}
	if len([]rune(f.Comma)) > 1 {
		return fmt.Errorf("comma %q is more than one character", f.Comma)
	}
	allowed := slices.Concat(required(f.Kind), optional(f.Kind))
	for name, field := range f.Fields {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("%s has no field %q, only %s", article(f.Kind), name,
				strings.Join(allowed, ", "))
		}
		if err := field.validate(f.Kind, name); err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	for _, name := range required(f.Kind) {
		if _, ok := f.Fields[name]; !ok {
			return fmt.Errorf("%s needs the field %q", article(f.Kind), name)
		}
	}
	return nil
}

func article(k Kind) string {
	if k == Order {
		return "an order"
	}
	return "a payment"
}

func (f Field) validate(kind Kind, name string) error {
	set := 0
	for _, v := range []string{f.Column, f.Constant, f.From} {
		if v != "" {
			set++
		}
	}
	if set != 1 {
		return errors.New("needs exactly one of column, constant and from")
	}
	if f.Decimals < 0 || f.Decimals > 4 {
		return fmt.Errorf("decimals must lie between 0 and 4, not %d", f.Decimals)
	}
	fine := f.From == "" ||
		kind == Order && name == fieldTotal && f.From == fromPayments ||
		kind == Payment && (name == fieldAt || name == fieldCurrency) && f.From == fromOrder
	if !fine {
		return fmt.Errorf("cannot come from %q", f.From)
	}
	return nil
}
