package source

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxMinor bounds an amount while it is read. The schemas have the final word.
const maxMinor = int64(1_000_000_000_000_000)

// A row is one line of a CSV file, with what it takes to say where a cell is.
type row struct {
	path    string
	f       *FileMapping
	in      *csv.Reader
	columns map[string]int
	cells   []string
}

// clean is the name of a column without what spreadsheets put around it.
func clean(name string) string {
	return strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
}

// text is the value of a field. A field that the mapping leaves out is empty.
func (r *row) text(name string) (string, error) {
	field, ok := r.f.Fields[name]
	if !ok || field.From != "" {
		return "", nil
	}
	if field.Constant != "" {
		return field.Constant, nil
	}
	value := strings.TrimSpace(r.cells[r.columns[field.Column]])
	if value == "" {
		for _, needed := range required(r.f.Kind) {
			if needed == name {
				return "", r.wrong(name, errors.New("is empty"))
			}
		}
		return "", nil
	}
	return field.Prefix + value, nil
}

// wrong names the place of a field in the file, and what is wrong with it.
func (r *row) wrong(name string, err error) error {
	field := r.f.Fields[name]
	if field.Column == "" {
		line, column := r.in.FieldPos(0)
		return at(r.path, line, column, fmt.Errorf("%s: %w", name, err))
	}
	line, column := r.in.FieldPos(r.columns[field.Column])
	return at(r.path, line, column, fmt.Errorf("column %q: %w", field.Column, err))
}

// place is where the row begins.
func (r *row) place() Place {
	line, column := r.in.FieldPos(0)
	return Place{r.path, line, column}
}

// money is a field of money in minor units.
func (r *row) money(name string) (int64, error) {
	text, err := r.text(name)
	if err != nil {
		return 0, err
	}
	minor, err := minorUnits(text, r.f.Fields[name].Decimals)
	if err != nil {
		return 0, r.wrong(name, err)
	}
	return minor, nil
}

// minorUnits reads an amount with that many digits behind the point, without
// going through a float.
func minorUnits(text string, decimals int) (int64, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > decimals {
		return 0, fmt.Errorf("%q has more than %d digits behind the point, which is what the mapping's "+
			"\"decimals\" says", text, decimals)
	}
	digits := whole + fraction + strings.Repeat("0", decimals-len(fraction))
	if strings.HasPrefix(digits, "-") {
		return 0, fmt.Errorf("%q is below zero", text)
	}
	minor, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(minor) > maxMinor {
		if errors.Is(err, strconv.ErrSyntax) {
			return 0, fmt.Errorf("%q is no amount", text)
		}
		return 0, fmt.Errorf("%q is too much", text)
	}
	return int64(minor), nil
}

// time is a field of a moment, zero when it is left out or empty.
func (r *row) time(name string) (time.Time, error) {
	text, err := r.text(name)
	if err != nil || text == "" {
		return time.Time{}, err
	}
	layout := r.f.Fields[name].Layout
	if layout == "" {
		layout = time.RFC3339
	}
	when, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, r.wrong(name, fmt.Errorf("%q is no time like %q", text, layout))
	}
	return when, nil
}
