package source

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// known is what one file of a set tells about the records of another.
type known struct {
	sums   map[string]sum   // of the payments of an order
	orders map[string]facts // of an order
}

type sum struct {
	minor    int64
	currency string
}

type facts struct {
	at       time.Time
	currency string
}

// CSV reads the files at paths as the mapping says, file by file, line by line.
// Where a field comes from another file, that file is read first, a second
// time. The first error ends the sequence.
func CSV(paths []string, m *Mapping) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		k, err := gather(paths, m)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, path := range paths {
			err := rows(path, m, func(r *row) error {
				record, err := r.record(k)
				record.Place = r.place()
				if err == nil && !yield(record, nil) {
					return errStopped
				}
				return err
			})
			if errors.Is(err, errStopped) {
				return
			} else if err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

var errStopped = errors.New("source: the reader has had enough")

// gather reads what fields of other files need.
func gather(paths []string, m *Mapping) (known, error) {
	k := known{sums: map[string]sum{}, orders: map[string]facts{}}
	payments, orders := false, false
	for _, path := range paths {
		f, ok := m.file(path)
		if !ok {
			return k, fmt.Errorf("%s: the mapping names no such file", path)
		}
		for _, field := range f.Fields {
			payments = payments || field.From == fromPayments
			orders = orders || field.From == fromOrder
		}
	}
	for _, path := range paths {
		f, _ := m.file(path)
		if f.Skip || f.Kind == Order && !orders || f.Kind == Payment && !payments {
			continue
		}
		if err := rows(path, m, k.learn); err != nil {
			return k, err
		}
	}
	return k, nil
}

// learn keeps what a row tells about the records of other files. What a row
// takes from elsewhere itself is not needed and stays empty.
func (k known) learn(r *row) error {
	id, err := r.text(fieldOrder)
	if err != nil {
		return err
	}
	currency := ""
	if r.f.Fields[fieldCurrency].From == "" {
		if currency, err = r.text(fieldCurrency); err != nil {
			return err
		}
	}
	if r.f.Kind == Order {
		when, err := r.time(fieldAt)
		k.orders[id] = facts{at: when, currency: currency}
		return err
	}
	minor, err := r.money(fieldAmount)
	if err != nil {
		return err
	}
	s := k.sums[id]
	if s.currency != "" && currency != "" && s.currency != currency {
		return r.wrong(fieldCurrency, fmt.Errorf("order %q is paid in %s and in %s, that has no sum",
			id, s.currency, currency))
	}
	if s.minor > maxMinor-minor {
		return r.wrong(fieldAmount, fmt.Errorf("the payments of order %q go beyond any limit", id))
	}
	k.sums[id] = sum{minor: s.minor + minor, currency: currency}
	return nil
}

// rows calls do for each row of the file at path.
func rows(path string, m *Mapping, do func(*row) error) error {
	f, ok := m.file(path)
	if !ok || f.Skip {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer file.Close()
	in := csv.NewReader(file)
	in.ReuseRecord = true
	if f.Comma != "" {
		in.Comma = []rune(f.Comma)[0]
	}
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return at(path, 1, 1, errors.New("the file is empty, it needs a line of column names"))
	} else if err != nil {
		return placed(path, err)
	}
	r := &row{path: path, f: f, in: in, columns: map[string]int{}}
	for i, name := range header {
		r.columns[clean(name)] = i
	}
	for name, field := range f.Fields {
		if _, ok := r.columns[field.Column]; field.Column != "" && !ok {
			return at(path, 1, 1, fmt.Errorf("there is no column %q, which the mapping takes %s from",
				field.Column, name))
		}
	}
	for {
		r.cells, err = in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return placed(path, err)
		}
		if err := do(r); err != nil {
			return err
		}
	}
}

// placed turns an error of package csv into ours.
func placed(path string, err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return at(path, parse.Line, max(1, parse.Column), parse.Err)
	}
	return fmt.Errorf("load: %s: %w", path, err)
}

// record makes the event of a row.
func (r *row) record(k known) (Record, error) {
	id, err := r.text(fieldOrder)
	if err != nil {
		return Record{}, err
	}
	if r.f.Kind == Payment {
		return r.payment(id, k)
	}
	return r.order(id, k)
}

func (r *row) order(id string, k known) (Record, error) {
	total, err := r.total(id, k)
	if err != nil {
		return Record{}, err
	}
	customer, err := r.text(fieldCustomer)
	if err != nil {
		return Record{}, err
	}
	when, err := r.time(fieldAt)
	if err != nil {
		return Record{}, err
	}
	due, err := r.time(fieldDue)
	if err != nil {
		return Record{}, err
	}
	return Record{Kind: Order, Key: []byte(id), At: when, Order: &tallyv1.OrderEvent{
		Meta: meta(when),
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, CustomerId: customer, Total: total, Due: timestamp(due),
		}},
	}}, nil
}

// total is the total of an order, its own or the sum of its payments.
func (r *row) total(id string, k known) (*tallyv1.Money, error) {
	currency, err := r.text(fieldCurrency)
	if err != nil {
		return nil, err
	}
	if r.f.Fields[fieldTotal].From != fromPayments {
		minor, err := r.money(fieldTotal)
		return &tallyv1.Money{Minor: new(minor), Currency: currency}, err
	}
	s := k.sums[id]
	if s.currency != "" && s.currency != currency {
		return nil, r.wrong(fieldCurrency, fmt.Errorf("order %q is in %s, its payments are in %s",
			id, currency, s.currency))
	}
	return &tallyv1.Money{Minor: new(s.minor), Currency: currency}, nil
}

func (r *row) payment(id string, k known) (Record, error) {
	payment, err := r.text(fieldPayment)
	if err != nil {
		return Record{}, err
	}
	minor, err := r.money(fieldAmount)
	if err != nil {
		return Record{}, err
	}
	method, err := r.text(fieldMethod)
	if err != nil {
		return Record{}, err
	}
	order, ok := k.orders[id]
	currency, when := order.currency, order.at
	if r.f.Fields[fieldCurrency].From == "" {
		if currency, err = r.text(fieldCurrency); err != nil {
			return Record{}, err
		}
	} else if !ok {
		return Record{}, r.wrong(fieldOrder, fmt.Errorf("no file has the order %q", id))
	}
	if r.f.Fields[fieldAt].From == "" {
		if when, err = r.time(fieldAt); err != nil {
			return Record{}, err
		}
	}
	return Record{Kind: Payment, Key: []byte(id), At: when, Payment: &tallyv1.PaymentEvent{
		Meta: meta(when),
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: payment, OrderId: id, Method: method,
			Amount: &tallyv1.Money{Minor: new(minor), Currency: currency},
		}},
	}}, nil
}

func meta(when time.Time) *tallyv1.Meta {
	if when.IsZero() {
		return nil
	}
	return &tallyv1.Meta{At: timestamp(when)}
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
